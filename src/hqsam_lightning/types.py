"""Typed containers that pass between the stages.

Legend of the shapes: B images, N masks (N >= B, over all images of a batch), M masks of one image, K points,
H x W the model's input frame, h x w the embedding grid (H/16 for SAM), C embedding channels, E early channels.
Coordinates are pixels of the input frame, (x, y) order; boxes are xyxy with inclusive corners.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from hqsam_lightning.cuts import Cut, CutPhotos, PhotoToCut

OBJECT_THRESHOLD = 128 / 255
"""A mask's value above which a pixel belongs to the object."""


@dataclass
class Sample:
    """One photo and its masks as read, before any transform.

    Attributes:
        image: (H0, W0, 3) uint8 RGB, at the photo's own size.
        masks: (M, H0, W0) float32 in [0, 1]; an object pixel is one > 128/255.
        sample_id: unique over all sets, e.g. ``"ecssd/0001"``; randomness and reports are keyed by it.
        dataset: name of the set that the sample belongs to.
        ignore: (H0, W0) bool, pixels that are neither trained on nor scored; None where every pixel counts. Every mask
            has an object pixel outside of them.
    """

    image: np.ndarray
    masks: np.ndarray
    sample_id: str
    dataset: str
    ignore: np.ndarray | None = None


@dataclass(frozen=True)
class Identity:
    """What tells a sample from others, and from itself after a change, without reading it.

    Attributes:
        sample_id: see `Sample`.
        dataset: see `Sample`.
        content: text that changes with what the sample shows.
    """

    sample_id: str
    dataset: str
    content: str


@dataclass
class Prompt:
    """What the user shows SAM for one mask; kinds that are not shown are None.

    Attributes:
        box: (4,) float32 xyxy.
        point_coords: (K, 2) float32.
        point_labels: (K,) int64; 1 on the object, 0 off it.
        mask: (1, 4h, 4w) float32 mask input of the prompt encoder.
    """

    box: Tensor | None = None
    point_coords: Tensor | None = None
    point_labels: Tensor | None = None
    mask: Tensor | None = None


@dataclass
class StoredFeatures:
    """What the frozen image encoder gave for one image, or for B.

    Attributes:
        image_embeddings: (C, h, w), or (B, C, h, w), in the type that it is stored in.
        early: (E, h, w), or (B, E, h, w), see `SamFeatures`.
        pixels: (3, H, W), or (B, 3, H, W) uint8, the images that they are of; None where nothing needs them.
    """

    image_embeddings: Tensor
    early: Tensor
    pixels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.image_embeddings)


@dataclass
class Example:
    """One image with its masks and prompts, in the model's input frame.

    Attributes:
        image: (3, H, W) uint8, what the encoder made of it where that was stored, or a photo of which each prompt is
            shown a cut.
        masks: (M, 1, H, W) float32 in [0, 1], soft after resizing; 0 where ignored.
        sample_id: see `Sample`.
        dataset: see `Sample`.
        ignore: (1, H, W) bool, pixels to which an ignored pixel of the sample contributed; None where there is none.
        prompts: M prompts of each kind by its name; that of training is "".
        seeds: M seeds for whatever is drawn later for a mask (the loss's points).
        original_masks: (M, H0, W0) bool at the photo's own size, False where ignored; None in training.
        original_ignore: (H0, W0) bool at the photo's own size; None in training, and where nothing is ignored.
    """

    image: Tensor | StoredFeatures | PhotoToCut
    masks: Tensor
    sample_id: str
    dataset: str
    ignore: Tensor | None = None
    prompts: dict[str, list[Prompt]] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=list)
    original_masks: Tensor | None = None
    original_ignore: Tensor | None = None


@dataclass
class PromptGroup:
    """Prompts of one combination of kinds and one number of points: one call of SAM's prompt encoder.

    Attributes:
        rows: (n,) int64, the rows of the batch's N masks that these prompts belong to.
        boxes: (n, 4) or None.
        point_coords: (n, K, 2) or None.
        point_labels: (n, K) or None.
        masks: (n, 1, 4h, 4w) or None.
    """

    rows: Tensor
    boxes: Tensor | None = None
    point_coords: Tensor | None = None
    point_labels: Tensor | None = None
    masks: Tensor | None = None

    def only(self, row: int) -> PromptGroup:
        """The prompt of one of the batch's masks."""
        place = int((self.rows == row).nonzero()[0])
        values = {name: value[place : place + 1] for name, value in vars(self).items() if value is not None}
        return PromptGroup(**values)


@dataclass
class Batch:
    """B images with N rows: each of their masks, once for every kind of prompts that it is shown with.

    Attributes:
        images: (B, 3, H, W) uint8, the images' stored features, or B photos of which each row is shown a cut.
        masks: (N, 1, H, W) float32 in [0, 1]; 0 where ignored.
        image_index: (N,) int64, the image that each mask belongs to.
        prompts: groups whose rows together are 0 .. N-1, each once.
        seeds: N seeds, see `Example`.
        original_masks: N masks, each (H0, W0) bool, the same tensor for all rows of a mask; None in training.
        sample_ids: N ids, one per row.
        datasets: N set names, one per row.
        prompt_names: N names, those of the prompts that each row shows; "" in training.
        ignore: (B, 1, H, W) bool, pixels that are not trained on; None where no image has any.
        original_ignore: for each of the N masks, (H0, W0) bool pixels that are not scored, or None where every pixel
            is; None where no image ignores any.
    """

    images: Tensor | StoredFeatures | CutPhotos
    masks: Tensor
    image_index: Tensor
    prompts: list[PromptGroup]
    seeds: list[int]
    original_masks: list[Tensor] | None
    sample_ids: list[str]
    datasets: list[str]
    prompt_names: list[str] = field(default_factory=list)
    ignore: Tensor | None = None
    original_ignore: list[Tensor | None] | None = None

    @property
    def pixels(self) -> Tensor:
        """The (B, 3, H, W) images of a batch that holds more than stored features."""
        pixels = self.images.pixels if isinstance(self.images, StoredFeatures) else self.images
        if not isinstance(pixels, Tensor):
            raise TypeError("expected a batch of images, got one of stored features or of cuts")
        return pixels

    def cut_of(self, row: int) -> Cut | None:
        """What one of the N rows is shown of its photo; None where that is the whole photo."""
        return self.images.cuts[row] if isinstance(self.images, CutPhotos) else None

    def mask_weights(self) -> Tensor:
        """(N,) weights that sum to 1: each image counts alike, and so does each mask of an image.

        A mean over several processes' or passes' batches is then the same however the images are spread.
        """
        ones = torch.ones(len(self.image_index), device=self.image_index.device)
        # bincount would wait for the device
        counts = ones.new_zeros(len(self.images)).index_add_(0, self.image_index, ones)
        return 1 / (counts[self.image_index] * len(self.images))

    def mask_ignore(self) -> Tensor | None:
        """(N, 1, H, W) bool: the ignored pixels of each mask's image; None where no image has any."""
        return None if self.ignore is None else self.ignore[self.image_index]

    def original_ignore_of(self, row: int) -> Tensor | None:
        """(H0, W0) bool: the pixels in which one of the N masks is not scored; None where it is in every pixel."""
        return None if self.original_ignore is None else self.original_ignore[row]

    def box_of(self, row: int) -> Tensor | None:
        """(4,) xyxy box of a row's prompt; None where it has none."""
        for group in self.prompts:
            place = (group.rows == row).nonzero()
            if len(place) and group.boxes is not None:
                return group.boxes[place[0, 0]]
        return None

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory, from which copies to a GPU do not wait."""
        return self._map_tensors(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return self._map_tensors(lambda tensor: tensor.to(device, non_blocking=device.type == "cuda"))

    def _map_tensors(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Applies a function once to each tensor, so that what rows share stays shared."""
        results: dict[int, Tensor] = {}

        def apply(tensor: Tensor) -> Tensor:
            if id(tensor) not in results:
                results[id(tensor)] = function(tensor)
            return results[id(tensor)]

        return cast(Batch, apply_to_collection(self, Tensor, apply))


@dataclass
class SamFeatures:
    """What the frozen image encoder gives for B images.

    Attributes:
        image_embeddings: (B, C, h, w), the final feature.
        early: (B, E, h, w), output of a ViT's first global-attention block, or what TinyViT's third stage begins with.
        dense_pe: (1, C, h, w), positional encoding of the grid.
        pixels: (B, 3, H, W) uint8, the images; None where the features were stored without them.
    """

    image_embeddings: Tensor
    early: Tensor
    dense_pe: Tensor
    pixels: Tensor | None = None


@dataclass
class PromptEmbeddings:
    """One `PromptGroup` after SAM's prompt encoder.

    Attributes:
        rows: (n,) int64, rows of the batch's masks.
        image_index: (n,) int64, the image of each row.
        sparse: (n, T, C) token embeddings of points and boxes.
        dense: (n, C, h, w) embedding of the mask input.
    """

    rows: Tensor
    image_index: Tensor
    sparse: Tensor
    dense: Tensor


@dataclass
class MaskLogits:
    """What a head predicts for N masks; a pixel belongs to the mask where the logit is > 0.

    Attributes:
        sam: (N, 1, 4h, 4w) logits of SAM's own mask token, or (N, 3, 4h, 4w) those of its three multi-mask tokens.
        hq: (N, 1, 4h, 4w) logits that the method trains: those of the HQ token; None for plain SAM.
        iou: (N,) SAM's prediction of its mask's IoU, or (N, 3).
    """

    sam: Tensor
    hq: Tensor | None
    iou: Tensor

    def select(self, output: str) -> Tensor:
        """Returns the logits to score; those of SAM where the method trains none.

        Args:
            output: ``"sam"``, ``"hq"`` (the released evaluation) or ``"sum"`` (the paper).

        Raises:
            ValueError: for another output.
        """
        if output not in ("sam", "hq", "sum"):
            raise ValueError(f"expected the output sam, hq or sum; got {output!r}")
        if output == "sam" or self.hq is None:
            return self.sam
        return self.hq if output == "hq" else self.sam + self.hq
