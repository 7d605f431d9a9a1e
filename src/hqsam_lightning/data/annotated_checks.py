"""Checks annotated photos before anything is trained or scored, and decides whether their EXIF orientation applies."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hqsam_lightning.data.datasets.annotated import AnnotatedPhoto, PhotoMasks, no_mask, size_problem
from hqsam_lightning.data.problems import attempt_all, shown, spread
from hqsam_lightning.data.reading import Header, read_header, read_image
from hqsam_lightning.data.segmentations import has_pixels
from hqsam_lightning.errors import ConfigError, DataError

REMEDY = "get the files again, or list the photos in data.exclude"

# a header costs a round trip to the disk; a decoded photo costs a core and its pixels' memory
_HEADER_THREADS = 16
_DECODING_THREADS = 4
_NAMED = 3

ReadMasks = Callable[[AnnotatedPhoto], PhotoMasks]

log = logging.getLogger(__name__)


class Checked(NamedTuple):
    """A photo that can be read.

    Attributes:
        photo: the photo.
        usable: whether one of its masks has a pixel.
        empty: masks without a pixel; the quick check counts those before the first one with pixels.
    """

    photo: AnnotatedPhoto
    usable: bool
    empty: int


def check_photos(
    photos: Sequence[AnnotatedPhoto],
    read_masks: ReadMasks,
    exif: str | None,
    check: str,
    sample: int | None = None,
) -> tuple[list[Checked], bool, list[str]]:
    """Compares photos with their masks.

    Args:
        photos: whose headers are all read.
        read_masks: gives the masks of a photo.
        exif: ``"apply"`` or ``"ignore"`` the EXIF orientations; None leaves the choice to the annotated sizes, if all
            of them decide it, which those of photos turned by 180 degrees, or mirrored, never do.
        check: ``"quick"`` compares sizes and looks for one mask with a pixel, ``"full"`` decodes the photo and looks
            at all masks.
        sample: number of photos, evenly spread, whose masks the quick check reads, each of which must have a mask with
            a pixel; None: all photos, which need none.

    Returns:
        The photos whose masks were checked and can be used, whether EXIF orientations are applied, and what is wrong
        with the photos that cannot be used.

    Raises:
        ConfigError: ``data.exif`` is None and the sizes do not decide it.
    """
    frames = attempt_all(read_header, [photo.path for photo in photos], _HEADER_THREADS)
    problems = [frame for frame in frames if isinstance(frame, str)]
    sound = [(photo, frame) for photo, frame in zip(photos, frames, strict=True) if isinstance(frame, Header)]
    applied = _decide_exif(exif, sound, read_masks)

    def inspect(pair: tuple[AnnotatedPhoto, Header]) -> Checked:
        photo, frame = pair
        masks, size = read_masks(photo), frame.size(applied)
        if problem := size_problem(photo, masks, size):
            raise DataError(problem)
        if check == "full":
            read_image(photo.path, exif=applied)
        usable, empty = False, 0
        for segmentation in masks.segmentations:
            covers = has_pixels(segmentation, size)
            usable, empty = usable or covers, empty + (not covers)
            if usable and check == "quick":
                break
        if sample is not None and not usable:
            raise DataError(no_mask(photo))
        return Checked(photo, usable, empty)

    looked_at = sound if sample is None or check == "full" else spread(sound, sample)
    found = attempt_all(inspect, looked_at, min(_DECODING_THREADS, os.cpu_count() or 1))
    problems = [*(each for each in found if isinstance(each, str)), *problems]
    return [each for each in found if isinstance(each, Checked)], applied, problems


def _decide_exif(exif: str | None, photos: Sequence[tuple[AnnotatedPhoto, Header]], read_masks: ReadMasks) -> bool:
    turned = [(photo, frame) for photo, frame in photos if frame.orientation != 1]
    if not turned:
        return True
    votes = Counter(_vote(frame, read_masks(photo).size) for photo, frame in turned)
    if exif is None and len(votes) == 1 and None not in votes:
        (exif,) = votes
        log.info(
            "data.exif=%s: the annotated sizes of all %d photos with an EXIF orientation fit it", exif, len(turned)
        )
    if exif is None:
        named = ", ".join(f"{shown(photo.name)} ({frame.orientation})" for photo, frame in turned[:_NAMED])
        raise ConfigError(
            f"data.exif: expected apply or ignore, got null; {len(turned)} photo(s) have an EXIF orientation, "
            f"e.g. {named}; set apply if the annotations were made on photos as viewers show them, ignore if on the "
            "pixels as stored (OpenCV with IMREAD_IGNORE_ORIENTATION, or Pillow without exif_transpose); the "
            f"annotated sizes fit apply for {votes['apply']} of them, ignore for {votes['ignore']}"
        )
    log.info("data.exif=%s: %d photo(s) have an EXIF orientation", exif, len(turned))
    return exif == "apply"


def _vote(frame: Header, size: tuple[int, int] | None) -> str | None:
    """Which choice an annotated (height, width) is for; None where it does not decide."""
    stored, turned = frame.size(exif=False), frame.size()
    if stored == turned or size not in (stored, turned):
        return None
    return "apply" if size == turned else "ignore"
