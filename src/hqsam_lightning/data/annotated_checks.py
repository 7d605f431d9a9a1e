"""Looks at annotated photos before anything is trained or scored, and names every problem in one error."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from hqsam_lightning.data.annotated import AnnotatedPhoto, PhotoMasks, size_problem
from hqsam_lightning.data.inspection import CHECKS
from hqsam_lightning.data.photo_frames import Frame, decide_exif, read_frames
from hqsam_lightning.data.reading import read_image
from hqsam_lightning.data.segmentations import has_pixels
from hqsam_lightning.errors import DataError, choice_error

REMEDY = "get the files again, or list the photos in data.exclude"

# a decoded photo costs a core and its pixels' memory
_THREADS = 4

MaskReader = Callable[[AnnotatedPhoto], PhotoMasks]


@dataclass(frozen=True)
class Finding:
    """What was found out about a photo.

    Attributes:
        problem: why it cannot be used; None for a sound one.
        usable: whether one of its masks has a pixel.
        empty: masks without a pixel; ``"quick"`` counts those before the first one with pixels.
    """

    problem: str | None = None
    usable: bool = False
    empty: int = 0


def require_check(check: str) -> None:
    """Checks the value of ``data.check``.

    Raises:
        ConfigError: it is not among `CHECKS`.
    """
    if check not in CHECKS:
        raise choice_error("data.check", check, CHECKS)


def read_photo_frames(
    photos: Sequence[AnnotatedPhoto], exif: str | None, read_masks: MaskReader
) -> tuple[list[Frame | str], bool]:
    """Reads all photos' headers, and decides whether they are turned by their EXIF orientation.

    Args:
        photos: to look at.
        exif: see `decide_exif`.
        read_masks: gives a photo's masks, which state its annotated size.

    Returns:
        The frames, see `read_frames`, and whether EXIF orientations are applied.

    Raises:
        ConfigError: see `decide_exif`.
    """
    frames = read_frames([photo.path for photo in photos])
    turned = [
        (photo.name, frame, read_masks(photo).size)
        for photo, frame in zip(photos, frames, strict=True)
        if isinstance(frame, Frame) and frame.orientation != 1
    ]
    return frames, decide_exif(exif, turned)


def inspect_photos(
    photos: Sequence[AnnotatedPhoto], frames: Sequence[Frame | str], exif: bool, check: str, read_masks: MaskReader
) -> list[Finding]:
    """Compares photos with their masks.

    Args:
        photos: to look at.
        frames: theirs, see `read_frames`.
        exif: whether EXIF orientations are applied.
        check: ``"quick"`` compares sizes and looks for one mask with a pixel, ``"full"`` decodes the photo and looks at
            all masks.
        read_masks: gives a photo's masks.
    """

    def inspect(photo: AnnotatedPhoto, frame: Frame | str) -> Finding:
        if isinstance(frame, str):
            return Finding(problem=frame)
        try:
            return _inspect(photo, read_masks(photo), frame.size(exif), exif, check)
        except DataError as error:
            return Finding(problem=str(error))

    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(inspect, photos, frames))


def _inspect(photo: AnnotatedPhoto, masks: PhotoMasks, size: tuple[int, int], exif: bool, check: str) -> Finding:
    problem = size_problem(photo, masks, size)
    if problem:
        return Finding(problem)
    if check == "full":
        read_image(photo.path, exif=exif)
    usable, empty = False, 0
    for segmentation in masks.segmentations:
        if has_pixels(segmentation, size):
            usable = True
            if check == "quick":
                break
        else:
            empty += 1
    return Finding(None, usable, empty)
