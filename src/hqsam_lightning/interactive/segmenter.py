"""Masks of plain SAM and of a trained head for a session; each photo, or cut of it, is encoded once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np
import torch

from hqsam_lightning.cuts import Cut, cut_around
from hqsam_lightning.errors import PromptError
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.inference.prompts import one_group, to_tensor
from hqsam_lightning.inference.tiles import BACKGROUND
from hqsam_lightning.interactive.photos import Photo
from hqsam_lightning.interactive.session import Session
from hqsam_lightning.types import PromptGroup, SamFeatures

SAM, HQ_SAM = "SAM", "HQ-SAM"


class Segmenter:
    """A model and its plain SAM, with the embeddings of the photos that were used last.

    Args:
        model: any `HQSam`; a plain SAM is alone.
        capacity: number of photos whose embeddings are kept; an older photo is encoded again when it comes back.
        margin: shows a session with a box the cut around it and the clicks on the object, see
            `hqsam_lightning.cuts.cut_around`; None always shows the whole photo.

    Attributes:
        names: of the models, "SAM" first.
    """

    def __init__(self, model: HQSam, capacity: int, margin: float | None = None) -> None:
        self.capacity, self.margin = capacity, margin
        models = {SAM: model} if model.is_plain_sam else {SAM: model.plain(), HQ_SAM: model}
        self._predictors = {name: SamPredictor(each) for name, each in models.items()}
        self._shares_features = model.head.own_encoder is None
        self._kept: OrderedDict[tuple[str, Cut], Mapping[str, SamFeatures]] = OrderedDict()

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
        shown = self._shown(session, photo)
        features = self._features_of(photo, shown)
        return {
            name: self._predict(name, features[name], session, shown, photo.size, size or photo.size)
            for name in self.names
        }

    def _shown(self, session: Session, photo: Photo) -> Cut:
        """The part of the photo that the models see."""
        corners = session.corners(photo.size)
        if self.margin is None or corners is None:
            return Cut(0, 0, photo.size[1], photo.size[0])
        on_object = [click.is_object for click in session.clicks]
        places = np.concatenate([corners.reshape(2, 2), session.points(photo.size)[on_object]])
        return cut_around([*places.min(axis=0).tolist(), *places.max(axis=0).tolist()], photo.size, self.margin)

    def _predict(
        self,
        name: str,
        features: SamFeatures,
        session: Session,
        shown: Cut,
        whole: tuple[int, int],
        size: tuple[int, int],
    ) -> np.ndarray:
        """Decodes at the input frame's size, and resizes to the size wanted alone: photos may be large.

        Args:
            name: of the model.
            features: of what is shown.
            session: with the prompts.
            shown: part of the photo.
            whole: (H0, W0) of the photo.
            size: (H, W) that is wanted of all of it.
        """
        predictor = self._predictors[name]
        predictor.set_features(features, [shown.size])
        device, model = predictor.device, predictor.model
        group = _group(session, shown, whole, predictor)
        logits, _ = model.decode(features, [group], torch.zeros(1, dtype=torch.int64, device=device))
        part = _scaled(shown, whole, size)
        found = predictor.postprocess_masks(logits, predictor.input_size, part.size)
        predictor.reset_image()
        return part.paste(found, size, BACKGROUND)[0, 0].float().cpu().numpy()

    def _features_of(self, photo: Photo, shown: Cut) -> Mapping[str, SamFeatures]:
        key = photo.key, shown
        if key not in self._kept:
            self._kept[key] = self._encode(shown.of(photo.pixels))
            while len(self._kept) > self.capacity:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _encode(self, pixels: np.ndarray) -> Mapping[str, SamFeatures]:
        """One call of the encoder, or one per model where the head has an encoder of its own."""
        found: dict[str, SamFeatures] = {}
        for name, predictor in self._predictors.items():
            if found and self._shares_features:
                found[name] = next(iter(found.values()))
            else:
                predictor.set_image(np.ascontiguousarray(pixels))
                found[name] = predictor.encoded()
                predictor.reset_image()
        return found


def _group(session: Session, shown: Cut, whole: tuple[int, int], predictor: SamPredictor) -> PromptGroup:
    """The prompts of a session in the frame of what is shown; clicks outside of it, off the object, are left out."""
    points, labels = session.points(whole), np.array([click.is_object for click in session.clicks], bool)
    corners, corner = session.corners(whole), np.array([shown.left, shown.top])
    inside = ((points >= corner) & (points <= corner + np.array([shown.width, shown.height]))).all(axis=1)
    points, labels = points[inside] - corner, labels[inside]
    transform, device = predictor.transform, predictor.device
    coords = transform.apply_coords(points, shown.size) if len(points) else None
    box = None if corners is None else transform.apply_boxes(corners - np.tile(corner, 2), shown.size)
    return one_group(
        to_tensor(coords, device, torch.float32, batch=True),
        to_tensor(labels if len(points) else None, device, torch.int64, batch=True),
        to_tensor(box, device, torch.float32),
        None,
        predictor.model.sam.mask_input_size,
    )


def _scaled(cut: Cut, whole: tuple[int, int], size: tuple[int, int]) -> Cut:
    """A cut of a photo of (H0, W0) in the same photo at (H, W): at least a pixel."""
    left, right = (round(x * size[1] / whole[1]) for x in (cut.left, cut.left + cut.width))
    top, bottom = (round(y * size[0] / whole[0]) for y in (cut.top, cut.top + cut.height))
    left, top = min(left, size[1] - 1), min(top, size[0] - 1)
    return Cut(left, top, max(1, right - left), max(1, bottom - top))
