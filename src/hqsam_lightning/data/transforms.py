"""Flip, large-scale jitter and looks for training, stretching for evaluation; masks stay soft, never come out empty."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import albumentations as A
import numpy as np

from hqsam_lightning.checks import arguments, integer, list_of, number, where
from hqsam_lightning.cuts import cut_around
from hqsam_lightning.data.appearance import check_appearance, require_pixels
from hqsam_lightning.data.jitter import GREATEST_SCALE, IMAGE_PADDING, LargeScaleJitter, fit_size, resize
from hqsam_lightning.errors import DataError
from hqsam_lightning.seeding import derive_rng, derive_seed
from hqsam_lightning.types import OBJECT_THRESHOLD, Sample

TOUCHED = 1e-3
"""Share of a resized pixel above which ignored pixels make it ignored; what is below is rounding."""


class Framed(NamedTuple):
    """A sample in the model's input frame, S x S pixels.

    A pixel of the frame is ignored where ignored pixels of the sample contribute more than `TOUCHED` of it; padding is
    not ignored.

    Attributes:
        image: (S, S, 3) uint8.
        masks: (M, S, S) float32 in [0, 1], each with an object pixel; 0 where ignored.
        ignore: (S, S) bool; None where nothing in the frame is ignored.
    """

    image: np.ndarray
    masks: np.ndarray
    ignore: np.ndarray | None


class Augmentation:
    """Random flip and large-scale jitter, or a cut around an object, that never lose the object.

    A draw that loses every mask is drawn again; when all draws did, the sample is fitted into the frame without jitter.
    A draw that loses some of several masks keeps the others. A cut (zoom) is not jittered: it is stretched to the
    frame, as the validation of ``frame=box`` shows it.

    Args:
        image_size: side of the square output.
        flip_prob: probability of a horizontal flip.
        min_scale: see `LargeScaleJitter`.
        max_scale: see `LargeScaleJitter`.
        redraws: how often a draw that lost the object is repeated.
        appearance: albumentations transforms that change the image alone, in the input frame: uint8 in, uint8 out, of
            the same size. See `hqsam_lightning.data.appearance`.
        appearance_prob: probability that a sample gets them.
        zoom_prob: probability that a sample's view is the cut around one of its objects, drawn at random.
        zoom_margins: least and greatest margin of such a cut, see `hqsam_lightning.cuts.cut_around`.

    Raises:
        ConfigError: for a value out of range, or an appearance that moves or rescales the image; named with its key.
    """

    @arguments(
        "augmentation",
        flip_prob=number(0, 1),
        min_scale=number(0, GREATEST_SCALE, above=True),
        max_scale=number(0, GREATEST_SCALE, above=True),
        redraws=integer(0, 1000),
        appearance_prob=number(0, 1),
        zoom_prob=number(0, 1),
        zoom_margins=where(
            list_of(number(0, 10), least=2),
            "two margins [LEAST, GREATEST]",
            lambda margins: len(margins) == 2 and margins[0] <= margins[1],
        ),
    )
    def __init__(
        self,
        image_size: int,
        flip_prob: float = 0.5,
        min_scale: float = 0.1,
        max_scale: float = 2.0,
        redraws: int = 10,
        appearance: Sequence[A.ImageOnlyTransform] = (),
        appearance_prob: float = 1.0,
        zoom_prob: float = 0.0,
        zoom_margins: Sequence[float] = (0.1, 0.5),
    ) -> None:
        check_appearance(appearance)
        self.image_size = image_size
        self.redraws = redraws
        looks = [A.Sequential(list(appearance), p=appearance_prob)] if appearance_prob < 1 else appearance
        jitter = LargeScaleJitter(image_size, min_scale, max_scale)
        self.transform = A.Compose([A.HorizontalFlip(p=flip_prob), jitter, *looks], seed=0)
        self.zoom_prob, self.zoom_margins = zoom_prob, tuple(zoom_margins)
        self.zoomed = A.Compose([A.HorizontalFlip(p=flip_prob), *looks], seed=0)

    def __call__(self, image: np.ndarray, masks: np.ndarray, seed: int, ignore: np.ndarray | None = None) -> Framed:
        """Augments one sample.

        Args:
            image: (H0, W0, 3) uint8.
            masks: (M, H0, W0) float32, each with an object pixel that is not ignored; 0 where ignored.
            seed: the draw depends on it alone.
            ignore: (H0, W0) bool; None where nothing is ignored.

        Returns:
            The frame, with at least one of the masks.

        Raises:
            ConfigError: an appearance changed the image's type or size.
        """
        if self.zoom_prob and (rng := derive_rng(seed, "zoom")).random() < self.zoom_prob:
            return self._zoomed(image, masks, seed, ignore, rng)
        for attempt in range(1 + self.redraws):
            framed = self._draw(self.transform, image, masks, derive_seed(seed, attempt), ignore)
            kept = has_object(framed.masks)
            if kept.any():
                return framed if kept.all() else framed._replace(masks=framed.masks[kept])
        return place(image, masks, fit_size(image.shape[:2], self.image_size), self.image_size, ignore)

    def _draw(
        self, transform: A.Compose, image: np.ndarray, masks: np.ndarray, key: int, ignore: np.ndarray | None
    ) -> Framed:
        """What a transform makes of a sample; masks may be lost."""
        planes = masks if ignore is None else np.concatenate([masks, ignore[None].astype(masks.dtype)])
        # one generator for all transforms: seeded alike, each would draw the other's numbers
        transform.set_random_state(np.random.default_rng(key), random.Random(key))
        drawn = transform(image=image, masks=planes)
        require_pixels(drawn["image"], self.image_size)
        if ignore is None:
            return Framed(drawn["image"], drawn["masks"], None)
        inside, touched = drawn["masks"][:-1], drawn["masks"][-1] > TOUCHED
        inside[:, touched] = 0
        return Framed(drawn["image"], inside, touched if touched.any() else None)

    def _zoomed(
        self, image: np.ndarray, masks: np.ndarray, seed: int, ignore: np.ndarray | None, rng: np.random.Generator
    ) -> Framed:
        """The cut around an object, with the other masks that have an object pixel in it."""
        chosen = masks[rng.integers(len(masks))] > OBJECT_THRESHOLD
        lines, columns = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
        box = (float(columns[0]), float(lines[0]), float(columns[-1]), float(lines[-1]))
        cut = cut_around(box, image.shape[:2], rng.uniform(self.zoom_margins[0], self.zoom_margins[1]))
        inside = np.stack([cut.of(mask) for mask in masks])
        inside, side = inside[has_object(inside)], self.image_size
        framed = place(cut.of(image), inside, (side, side), side, None if ignore is None else cut.of(ignore))
        return self._draw(self.zoomed, framed.image, framed.masks, derive_seed(seed, 0), framed.ignore)


def has_object(masks: np.ndarray) -> np.ndarray:
    """Which of (M, H, W) masks have an object pixel."""
    return np.asarray((masks > OBJECT_THRESHOLD).any(axis=(1, 2)))


def clear_ignored(sample: Sample) -> Sample:
    """Takes the ignored pixels out of a sample's masks; gives the sample itself where nothing is ignored.

    Raises:
        DataError: the object pixels of a mask are all ignored.
    """
    if sample.ignore is None:
        return sample
    masks = np.where(sample.ignore, np.float32(0), sample.masks)
    lost = np.flatnonzero(~has_object(masks))
    if len(lost):
        raise DataError(
            f"{sample.sample_id}: expected every mask with an object pixel that is not ignored; mask {lost[0]} of "
            f"{len(masks)} has none; leave the mask out, or ignore fewer pixels"
        )
    return replace(sample, masks=masks)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes a mask with `resize`; an object too thin to survive leaves the pixels that its own fall into."""
    resized = resize(mask, size)
    if not (resized > OBJECT_THRESHOLD).any():
        resized[_own_pixels(mask, size)] = 1
    return resized


def place(
    image: np.ndarray, masks: np.ndarray, size: tuple[int, int], side: int, ignore: np.ndarray | None = None
) -> Framed:
    """Resizes to (h, w) without jitter, then pads right and bottom to (side, side); shapes as in `Augmentation`."""
    pixels = np.full((side, side, 3), IMAGE_PADDING, np.uint8)
    pixels[: size[0], : size[1]] = resize(image.astype(np.float32), size).astype(np.uint8)
    return Framed(pixels, *frame_masks(masks, size, side, ignore))


def frame_masks(
    masks: np.ndarray, size: tuple[int, int], side: int, ignore: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Masks and ignored pixels resized to (h, w), then padded right and bottom to (side, side).

    An object that lies in touched pixels alone keeps those that its own, which are not ignored, fall into.
    """
    height, width = size
    framed = np.zeros((len(masks), side, side), np.float32)
    for mask, frame in zip(masks, framed, strict=True):
        frame[:height, :width] = resize_mask(mask, size)
    if ignore is None:
        return framed, None
    touched = np.zeros((side, side), bool)
    touched[:height, :width] = resize(ignore.astype(np.float32), size) > TOUCHED
    framed[:, touched] = 0
    for lost in np.flatnonzero(~has_object(framed)):
        own = _own_pixels(masks[lost], size)
        framed[lost][own], touched[own] = 1, False
    return framed, touched if touched.any() else None


def _own_pixels(mask: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns at (h, w) that a mask's object pixels fall into."""
    ys, xs = np.nonzero(mask > OBJECT_THRESHOLD)
    return ys * size[0] // mask.shape[0], xs * size[1] // mask.shape[1]
