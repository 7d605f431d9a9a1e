"""Masks that a SAM finds in photographs without any, to train on: `python -m hqsam_lightning.prediction.self_masks`.

Self-training: what the model is sure of in a photograph becomes a target, without its holes, and without a word on
where its border is. What learns from it beside scenes with exact masks keeps whole what has many colours and textures.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from segment_anything.utils.amg import calculate_stability_score, remove_small_regions
from torch import Tensor
from torch.nn import functional as F

from hqsam_lightning.checks import integer, require
from hqsam_lightning.data.reading import read_image
from hqsam_lightning.errors import DataError, HQSamError
from hqsam_lightning.inference import HQSam
from hqsam_lightning.metrics import mask_iou
from hqsam_lightning.prediction.photos import find_photos
from hqsam_lightning.seeding import derive_rng
from hqsam_lightning.storage.files import write_whole
from hqsam_lightning.types import PromptGroup

OBJECT, UNSURE = 255, 128
LONGEST_SIDE = 720  # px of a photograph, as it is cut
BOXES = 24  # drawn a cut
BOX_SIDES = (0.25, 0.9)  # of the cut's
AREAS = (0.03, 0.7)  # of the cut, of masks that are kept
SURE = 1.5  # logit
LEAST_STABILITY = 0.6  # stability score of segment-anything, between the logits SURE and -SURE
MOST_OVERLAP = 0.5  # IoU of two masks of a cut
MOST_MASKS = 2  # of a cut
BORDER = 1 / 64  # of the cut: distance from the mask's border within which nothing is said


def write_self_masks(model: HQSam, photos: str, out: Path, cuts: int, seed: int = 0) -> int:
    """Writes cuts of photographs with a mask each: a folder for ``data=self_masked``, of values `OBJECT` and `UNSURE`.

    Args:
        model: finds the masks, from boxes that are drawn at random.
        photos: a folder, a file or a glob pattern, see `find_photos`.
        out: gets images/ and masks/, of the model's input size.
        cuts: of each photograph; each gives up to `MOST_MASKS` pairs.
        seed: decides cuts and boxes.

    Returns:
        Number of pairs.

    Raises:
        ConfigError: for less than one cut.
        DataError: there is no photograph, one cannot be decoded, out holds pairs, or the model is sure of nothing.
        StorageError: a file cannot be written.
    """
    require("--cuts", cuts, integer(1))
    if any(out.glob("images/*")):
        raise DataError(
            f"{out}: expected no pairs there; images/ holds some, and two runs would mix; choose another folder"
        )
    found = find_photos(photos)
    for photo in found:
        read_image(photo.path)  # a broken one is named before the work begins
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    count = 0
    for photo in found:
        image = Image.fromarray(read_image(photo.path))
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        for number in range(cuts):
            rng = derive_rng(seed, photo.name, number)
            cut = _cut(rng, np.asarray(image), model.image_size)
            for place, mask in enumerate(find_masks(rng, model, cut)):
                name = f"{photo.stem}_{number:02d}_{place}"
                write_whole(out / "images" / f"{name}.jpg", _encoded(cut, "JPEG", quality=92))
                write_whole(out / "masks" / f"{name}.png", _encoded(mask, "PNG"))
                count += 1
    if not count:
        raise DataError(f"{photos}: expected a thing that the model is sure of; it is of none; take other photographs")
    return count


def find_masks(rng: np.random.Generator, model: HQSam, image: np.ndarray) -> Iterator[np.ndarray]:
    """Masks of things that a model is sure of, the surest first, each (S, S) uint8: `OBJECT`, `UNSURE` or 0.

    Args:
        rng: draws the boxes.
        model: with an input frame of S px.
        image: (S, S, 3) uint8 RGB.
    """
    side = len(image)
    extents = side * rng.uniform(*BOX_SIDES, (BOXES, 2))
    corners = rng.uniform(0, 1, (BOXES, 2)) * (side - extents)
    boxes = torch.from_numpy(np.hstack([corners, corners + extents]).astype(np.float32))
    features = model.encode(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])
    prompts = [PromptGroup(torch.arange(BOXES), boxes=boxes)]
    logits, _ = model.decode(features, prompts, torch.zeros(BOXES, dtype=torch.long))
    fine = F.interpolate(logits, (side, side), mode="bilinear")[:, 0]
    stability = calculate_stability_score(fine, 0.0, SURE).nan_to_num()  # 0/0 where there is no mask
    kept: list[Tensor] = []
    for row in stability.argsort(descending=True, stable=True).tolist():
        if stability[row] < LEAST_STABILITY or len(kept) == MOST_MASKS:
            return
        mask, _ = remove_small_regions((fine[row] > 0).numpy(), math.inf, "islands")  # all but the largest
        pair, whole = without_border(mask), torch.from_numpy(mask)[None]
        if not AREAS[0] < mask.mean() < AREAS[1] or not (pair == OBJECT).any():
            continue
        if all(float(mask_iou(whole, other)) <= MOST_OVERLAP for other in kept):
            kept.append(whole)
            yield pair


def without_border(mask: np.ndarray) -> np.ndarray:
    """A mask (S, S) bool without its holes, and `UNSURE` near its border: (S, S) uint8."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, 1, cv2.FILLED)
    depth = cv2.distanceTransform(whole, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = cv2.distanceTransform(1 - whole, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    unsure = np.maximum(depth, distance) <= BORDER * len(mask)
    return np.where(unsure, UNSURE, whole * OBJECT).astype(np.uint8)


def _cut(rng: np.random.Generator, pixels: np.ndarray, side: int) -> np.ndarray:
    """A part of a photograph, stretched to a square: (side, side, 3)."""
    height, width = pixels.shape[:2]
    share = rng.uniform(0.35, 1)
    lines = round(share * min(height, width))
    columns = min(width, round(lines * rng.uniform(1, 1.4)))
    top, left = rng.integers(height - lines + 1), rng.integers(width - columns + 1)
    part = np.ascontiguousarray(pixels[top : top + lines, left : left + columns])
    return cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)


def _encoded(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def main() -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(prog="python -m hqsam_lightning.prediction.self_masks")
    parser.add_argument("model", help="a name such as nano, or a file of SAM's weights")
    parser.add_argument("photos", help="folder of photographs, or a glob pattern")
    parser.add_argument("out", type=Path, help="folder that gets images/ and masks/, for data=self_masked")
    parser.add_argument("--sam", help="name of a SAM of conf/sam, for a file whose sizes do not tell")
    parser.add_argument("--cuts", type=int, default=12, help="of each photograph, each with up to two masks")
    given = parser.parse_args()
    try:
        count = write_self_masks(HQSam.from_pretrained(given.model, sam=given.sam), given.photos, given.out, given.cuts)
    except HQSamError as error:
        sys.exit(f"error: {error}")
    print(f"{count} masks in {given.out}; train with data@data.photographs=self_masked paths.data_dir={given.out}")


if __name__ == "__main__":
    main()
