"""Masks of plain SAM and of a trained head for a session, each photo encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch

from hqsam_lightning.errors import PromptError
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.inference.prompts import one_group, to_tensor
from hqsam_lightning.interactive.photos import Photo
from hqsam_lightning.interactive.session import Session
from hqsam_lightning.types import SamFeatures

SAM, HQ_SAM = "SAM", "HQ-SAM"


class Segmenter:
    """A model and its plain SAM, with the embeddings of the photos that were used last.

    Args:
        model: any `HQSam`; a plain SAM is alone.
        capacity: number of photos whose embeddings are kept; an older photo is encoded again when it comes back.

    Attributes:
        names: of the models, "SAM" first.
    """

    def __init__(self, model: HQSam, capacity: int) -> None:
        self.capacity = capacity
        models = {SAM: model} if model.is_plain_sam else {SAM: model.plain(), HQ_SAM: model}
        self._predictors = {name: SamPredictor(each) for name, each in models.items()}
        self._shares_features = model.head.own_encoder is None
        self._kept: OrderedDict[str, Mapping[str, SamFeatures]] = OrderedDict()

    @property
    def names(self) -> list[str]:
        """Of the models."""
        return list(self._predictors)

    def segment(self, session: Session, size: tuple[int, int] | None = None) -> dict[str, np.ndarray]:
        """Predicts the mask of each model.

        Args:
            session: with a photo and a prompt.
            size: (H, W) of the masks; None is the photo's.

        Returns:
            (H, W) float32 logits by name; a pixel belongs to the object where they are > 0.

        Raises:
            PromptError: there is no photo, or no prompt.
        """
        photo = session.require_photo()
        if not session.prompts:
            raise PromptError("expected a prompt first; click on the object, or drag a box around it")
        features = self._features_of(photo)
        return {name: self._predict(name, features[name], session, photo, size) for name in self.names}

    def _predict(
        self, name: str, features: SamFeatures, session: Session, photo: Photo, size: tuple[int, int] | None
    ) -> np.ndarray:
        """Decodes at the input frame's size, and resizes to the size wanted alone: photos may be large."""
        predictor = self._predictors[name]
        predictor.set_features(features, [photo.size])
        device, transform, model = predictor.device, predictor.transform, predictor.model
        points, corners = session.points(photo.size), session.corners(photo.size)
        coords = transform.apply_coords(points, photo.size) if len(points) else None
        labels = [click.is_object for click in session.clicks] if len(points) else None
        box = None if corners is None else transform.apply_boxes(corners, photo.size)
        group = one_group(
            to_tensor(coords, device, torch.float32, batch=True),
            to_tensor(labels, device, torch.int64, batch=True),
            to_tensor(box, device, torch.float32),
            None,
            model.sam.mask_input_size,
        )
        logits, _ = model.decode(features, [group], torch.zeros(1, dtype=torch.int64, device=device))
        whole = predictor.postprocess_masks(logits, predictor.input_size, size or photo.size)
        predictor.reset_image()
        return whole[0, 0].float().cpu().numpy()

    def _features_of(self, photo: Photo) -> Mapping[str, SamFeatures]:
        if photo.key not in self._kept:
            self._kept[photo.key] = self._encode(photo)
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        self._kept.move_to_end(photo.key)
        return self._kept[photo.key]

    def _encode(self, photo: Photo) -> Mapping[str, SamFeatures]:
        """One call of the encoder, or one per model where the head has an encoder of its own."""
        found: dict[str, SamFeatures] = {}
        for name, predictor in self._predictors.items():
            if found and self._shares_features:
                found[name] = next(iter(found.values()))
            else:
                predictor.set_image(photo.pixels)
                found[name] = predictor.encoded()
                predictor.reset_image()
        return found
