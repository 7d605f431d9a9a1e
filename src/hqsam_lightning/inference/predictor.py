"""Masks of images by prompts, with the interface of segment-anything's `SamPredictor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.data.framing import Pad
from hqsam_lightning.errors import PromptError
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.inference.prompts import one_group, require_image, to_tensor
from hqsam_lightning.inference.square_frame import SquareFrame
from hqsam_lightning.types import SamFeatures

FORMATS = ("RGB", "BGR")


class SamPredictor:
    """Encodes images once, and predicts masks of them as often as there are prompts.

    Code written for `segment_anything.SamPredictor` runs unchanged. What it has beside: `hq_only`, several images at
    once (`set_images`, `predict_batch`), and stored features (`set_features`).

    Args:
        sam_model: any `HQSam`, plain SAM included.

    Attributes:
        model: the model.
        transform: converts images and coordinates to the input frame.
        is_image_set: whether there is an image to predict for.
        original_size: (H0, W0) of the first image.
        input_size: (H, W) that the first image has in the input frame, without padding.
    """

    def __init__(self, sam_model: HQSam) -> None:
        self.model = sam_model
        self.transform = SquareFrame(sam_model.image_size)
        self.reset_image()

    def reset_image(self) -> None:
        """Forgets the images."""
        self._features: SamFeatures | None = None
        self._sizes: list[tuple[int, int]] = []

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    @property
    def is_image_set(self) -> bool:
        """Whether there is an image to predict for."""
        return self._features is not None

    @property
    def original_size(self) -> tuple[int, int]:
        """(H0, W0) of the first image."""
        self.encoded()
        return self._sizes[0]

    @property
    def input_size(self) -> tuple[int, int]:
        """(H, W) of the first image in the input frame, without padding."""
        return self._inside(self.original_size)

    @property
    def features(self) -> Tensor | None:
        """(B, C, h, w) image embeddings; None before an image is set."""
        return None if self._features is None else self._features.image_embeddings

    def encoded(self) -> SamFeatures:
        """Everything that the encoder gave for the images; `set_features` takes it back.

        Raises:
            PromptError: no image is set.
        """
        if self._features is None:
            raise PromptError("predict: expected an image; call set_image(image) first")
        return self._features

    def get_image_embedding(self) -> Tensor:
        """(1, C, h, w) image embedding of the image that is set.

        Raises:
            PromptError: no image is set.
        """
        return self.encoded().image_embeddings

    def set_image(self, image: np.ndarray, image_format: str = "RGB") -> None:
        """Encodes an image.

        Args:
            image: (H0, W0, 3) uint8.
            image_format: order of its channels, "RGB" or "BGR".

        Raises:
            PromptError: another shape, type or format.
        """
        self.set_images([image], image_format)

    def set_images(self, images: Sequence[np.ndarray], image_format: str = "RGB") -> None:
        """Encodes several images in one call of the encoder.

        Args:
            images: each (H0, W0, 3) uint8; their sizes may differ.
            image_format: see `set_image`.
        """
        self.reset_image()
        if image_format not in FORMATS:
            raise PromptError(f"image_format: expected one of {', '.join(FORMATS)}; got {image_format!r}")
        checked = [require_image(image) for image in images]
        frame = Pad(self.model.image_size)
        step = 1 if image_format == self.model.image_format else -1
        frames = np.stack([frame.pixels(np.ascontiguousarray(image[..., ::step])) for image in checked])
        self._encode(torch.from_numpy(frames).permute(0, 3, 1, 2), [image.shape[:2] for image in checked])

    def set_torch_image(self, transformed_image: Tensor, original_image_size: Sequence[int]) -> None:
        """Encodes images that are resized already.

        Args:
            transformed_image: (B, 3, H, W) values 0 to 255, the longest side that of the input frame.
            original_image_size: (H0, W0) before resizing.

        Raises:
            PromptError: the tensor has another shape.
        """
        self.reset_image()
        side = self.model.image_size
        shape = tuple(transformed_image.shape)
        if len(shape) != 4 or shape[1] != 3 or max(shape[2:]) != side:
            raise PromptError(
                f"transformed_image: expected the shape (B, 3, H, W) with a longest side of {side}; got {shape}; "
                "resize it with transform.apply_image_torch"
            )
        height, width = (int(length) for length in original_image_size)
        mean = self.model.sam.sam.pixel_mean.cpu()
        padded = mean.expand(shape[0], 3, side, side).clone()
        padded[..., : shape[2], : shape[3]] = transformed_image.float().cpu()
        self._encode(padded, [(height, width)] * shape[0])

    def set_features(self, features: SamFeatures, original_sizes: Sequence[Sequence[int]]) -> None:
        """Takes features that were encoded before, by `encoded`.

        Args:
            features: of B images, by the same SAM.
            original_sizes: (H0, W0) of each image.

        Raises:
            PromptError: there is not one size for each image.
        """
        if len(original_sizes) != len(features.image_embeddings):
            raise PromptError(
                f"original_sizes: expected one for each of the {len(features.image_embeddings)} images; "
                f"got {len(original_sizes)}"
            )
        self._features = features
        self._sizes = [(int(height), int(width)) for height, width in original_sizes]

    def predict(
        self,
        point_coords: np.ndarray | None = None,
        point_labels: np.ndarray | None = None,
        box: np.ndarray | None = None,
        mask_input: np.ndarray | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        hq_only: bool = False,
        image: int = 0,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Predicts the masks of one prompt.

        Args:
            point_coords: (K, 2) points, (x, y) in pixels of the image.
            point_labels: (K,) 1 on the object, 0 off it.
            box: (4,) xyxy in pixels of the image.
            mask_input: (1, 4h, 4w) logits of a mask, as returned by an earlier call.
            multimask_output: three masks, for ambiguous prompts; one otherwise.
            return_logits: logits instead of masks.
            hq_only: the HQ logits alone; False takes the model's output, SAM + HQ where nothing else was chosen.
            image: number of the image, of those that are set.

        Returns:
            Masks (M, H0, W0), bool or float32 logits; SAM's predictions of their IoU (M,); and their logits
            (M, 4h, 4w) in the input frame, a `mask_input` for the next call. M is 3 with `multimask_output`, but 1 for
            the HQ logits alone.

        Raises:
            PromptError: no image is set, or a prompt has a wrong shape or is not finite.
        """
        prompt = self._as_tensors(image, point_coords, point_labels, box, mask_input, batch=True)
        found = self.predict_torch(*prompt, multimask_output, return_logits, hq_only, image)
        masks, scores, logits = (each[0].cpu().numpy() for each in found)
        return masks, scores, logits

    def predict_batch(
        self,
        point_coords_batch: Sequence[np.ndarray | None] | None = None,
        point_labels_batch: Sequence[np.ndarray | None] | None = None,
        box_batch: Sequence[np.ndarray | None] | None = None,
        mask_input_batch: Sequence[np.ndarray | None] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        hq_only: bool = False,
    ) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
        """Predicts the masks of one prompt, or of several boxes, for each image of `set_images`.

        Args:
            point_coords_batch: for each image, see `predict`; (N, K, 2) for N prompts of an image.
            point_labels_batch: likewise, (K,) or (N, K).
            box_batch: likewise, (4,) or (N, 4).
            mask_input_batch: likewise, (1, 4h, 4w) or (N, 1, 4h, 4w).
            multimask_output: see `predict`.
            return_logits: see `predict`.
            hq_only: see `predict`.

        Returns:
            For each image, masks, scores and logits with a leading axis N where the prompt had one.
        """
        self.encoded()
        found: list[tuple[np.ndarray, ...]] = []
        for image in range(len(self._sizes)):
            coords, labels, boxes, masks = (
                None if of_images is None else of_images[image]
                for of_images in (point_coords_batch, point_labels_batch, box_batch, mask_input_batch)
            )
            ranks = ((coords, 3), (boxes, 2), (masks, 4))
            is_several = any(value is not None and np.ndim(value) == rank for value, rank in ranks)
            prompt = self._as_tensors(image, coords, labels, boxes, masks, batch=not is_several)
            parts = self.predict_torch(*prompt, multimask_output, return_logits, hq_only, image)
            found.append(tuple(each.cpu().numpy() if is_several else each[0].cpu().numpy() for each in parts))
        masks_of, scores_of, logits_of = (list(each) for each in zip(*found, strict=True))
        return masks_of, scores_of, logits_of

    @torch.no_grad()
    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        hq_only: bool = False,
        image: int = 0,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predicts the masks of N prompts of an image, in one call of the decoder.

        Args:
            point_coords: (N, K, 2), (x, y) in pixels of the input frame, see `transform`.
            point_labels: (N, K).
            boxes: (N, 4) xyxy in pixels of the input frame.
            mask_input: (N, 1, 4h, 4w).
            multimask_output: see `predict`.
            return_logits: see `predict`.
            hq_only: see `predict`.
            image: see `predict`.

        Returns:
            Masks (N, M, H0, W0), scores (N, M) and logits (N, M, 4h, 4w).
        """
        features = self.encoded()
        group = one_group(point_coords, point_labels, boxes, mask_input, self.model.sam.mask_input_size)
        index = torch.full((len(group.rows),), image, device=self.device)
        output = "hq" if hq_only and not self.model.is_plain_sam else None
        logits, scores = self.model.decode(features, [group], index, multimask_output, output)
        masks = self.postprocess_masks(logits, self._inside(self._sizes[image]), self._sizes[image])
        return masks if return_logits else masks > self.model.mask_threshold, scores, logits

    def postprocess_masks(self, logits: Tensor, input_size: Sequence[int], original_size: Sequence[int]) -> Tensor:
        """(N, M, 4h, 4w) logits of the padded frame -> (N, M, H0, W0) of the image, by segment-anything's resizing."""
        return self.model.sam.sam.postprocess_masks(logits, tuple(input_size), tuple(original_size))

    def _encode(self, frames: Tensor, sizes: Sequence[Sequence[int]]) -> None:
        self.set_features(self.model.encode(frames.contiguous().to(self.device)), sizes)

    def _inside(self, size: tuple[int, int]) -> tuple[int, int]:
        return self.transform.get_preprocess_shape(*size, self.model.image_size)

    def _as_tensors(
        self, image: int, coords: Any, labels: Any, boxes: Any, masks: Any, batch: bool
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        """Prompts in pixels of an image, as `predict_torch` takes them; with `batch` they get a leading axis."""
        self.encoded()
        size = self._sizes[image]
        if coords is not None:
            coords = self.transform.apply_coords(np.asarray(coords), size)
        if boxes is not None:
            boxes = self.transform.apply_boxes(np.asarray(boxes), size)
        return (
            to_tensor(coords, self.device, torch.float32, batch),
            to_tensor(labels, self.device, torch.int64, batch),
            to_tensor(boxes, self.device, torch.float32),
            to_tensor(masks, self.device, torch.float32, batch),
        )
