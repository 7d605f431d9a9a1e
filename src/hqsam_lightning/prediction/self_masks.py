"""Masks that a SAM finds in photographs without any, to train on: `python -m hqsam_lightning.prediction.self_masks`.

Self-training: what the model is sure of in a photograph becomes a target, without its holes, and without a word on
where its border is. What learns from it beside scenes with exact masks keeps whole what has many colours and textures.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from hqsam_lightning.data.catalogue import IMAGE_SUFFIXES
from hqsam_lightning.data.image_files import naming_damage, open_image
from hqsam_lightning.errors import DataError, HQSamError
from hqsam_lightning.inference import HQSam
from hqsam_lightning.seeding import derive_rng
from hqsam_lightning.storage.files import write_whole
from hqsam_lightning.types import PromptGroup

OBJECT, UNSURE = 255, 128
LONGEST_SIDE = 720  # px of a photograph, as it is cut
BOXES = 24  # drawn a cut
BOX_SIDES = (0.25, 0.9)  # of the cut's
AREAS = (0.03, 0.7)  # of the cut, of masks that are kept
SURE = 1.5  # logit
LEAST_STABILITY = 0.6  # IoU of the masks at the logits SURE and -SURE, see segment-anything's stability score
MOST_OVERLAP = 0.5  # IoU of two masks of a cut
MOST_MASKS = 2  # of a cut
BORDER = 1 / 64  # of the cut: distance from the mask's border within which nothing is said


def write_self_masks(model: HQSam, photos: Path, out: Path, cuts: int, seed: int = 0) -> int:
    """Writes cuts of photographs with a mask each: a folder for ``data=folder``, with values of `OBJECT` and `UNSURE`.

    Args:
        model: finds the masks, from boxes that are drawn at random.
        photos: folder of image files.
        out: gets images/ and masks/, of the model's input size.
        cuts: of each photograph; each gives up to `MOST_MASKS` pairs.
        seed: decides cuts and boxes.

    Returns:
        Number of pairs.

    Raises:
        DataError: the folder holds no image, or one cannot be decoded.
        StorageError: a file cannot be written.
    """
    paths = (
        sorted(path for path in photos.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES) if photos.is_dir() else []
    )
    if not paths:
        raise DataError(f"{photos}: expected a folder of photographs; it holds none, or is missing")
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    count = 0
    for path in paths:
        with open_image(path) as image, naming_damage(path):
            image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            pixels = np.asarray(image.convert("RGB"))
        for number in range(cuts):
            rng = derive_rng(seed, path.name, number)
            cut = _cut(rng, pixels, model.image_size)
            for place, mask in enumerate(find_masks(rng, model, cut)):
                name = f"{path.stem}_{number:02d}_{place}"
                write_whole(out / "images" / f"{name}.jpg", _encoded(cut, "JPEG", quality=92))
                write_whole(out / "masks" / f"{name}.png", _encoded(mask, "PNG"))
                count += 1
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
    fine = F.interpolate(logits, (side, side), mode="bilinear")[:, 0].numpy()
    stability = (fine > SURE).sum((1, 2)) / np.maximum((fine > -SURE).sum((1, 2)), 1)
    kept: list[np.ndarray] = []
    for row in np.argsort(-stability, kind="stable"):
        if stability[row] < LEAST_STABILITY or len(kept) == MOST_MASKS:
            return
        mask = _largest_part(fine[row] > 0)
        if AREAS[0] < mask.mean() < AREAS[1] and all(_overlap(mask, each) <= MOST_OVERLAP for each in kept):
            kept.append(mask)
            yield without_border(mask)


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


def _largest_part(mask: np.ndarray) -> np.ndarray:
    count, labels, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return mask if count < 2 else labels == 1 + facts[1:, cv2.CC_STAT_AREA].argmax()


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max((first | second).sum(), 1))


def _encoded(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def main() -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(prog="python -m hqsam_lightning.prediction.self_masks")
    parser.add_argument("model", help="a name such as nano, or a file of SAM's weights")
    parser.add_argument("photos", type=Path, help="folder of photographs")
    parser.add_argument("out", type=Path, help="folder that gets images/ and masks/, for data=folder")
    parser.add_argument("--sam", help="name of a SAM of conf/sam, for a file whose sizes do not tell")
    parser.add_argument("--cuts", type=int, default=12, help="of each photograph, each with up to two masks")
    given = parser.parse_args()
    try:
        count = write_self_masks(HQSam.from_pretrained(given.model, sam=given.sam), given.photos, given.out, given.cuts)
    except HQSamError as error:
        sys.exit(f"error: {error}")
    print(f"{count} masks in {given.out}; train with data=folder paths.data_dir={given.out}")


if __name__ == "__main__":
    main()
