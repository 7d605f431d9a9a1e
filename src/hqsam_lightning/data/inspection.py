"""Checks all sources before anything is trained or scored, and reports every problem in one error."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hqsam_lightning.checks import choice, require
from hqsam_lightning.data.catalogue import MissingDataError, Source
from hqsam_lightning.data.datasets.photo_pairs import PhotoPairs
from hqsam_lightning.data.listing import Pair, list_source
from hqsam_lightning.data.mask_deciding import decide, is_unlike, tolerated
from hqsam_lightning.data.mask_facts import facts_of
from hqsam_lightning.data.mask_pixels import MaskPixels, levels_of, read_mask_pixels
from hqsam_lightning.data.mask_values import AUTO, LISTED, MaskValues, mask_values_from_config
from hqsam_lightning.data.problems import CHECKS, listed
from hqsam_lightning.data.reading import Header, masks_of, read_header, read_image, size_mismatch
from hqsam_lightning.errors import DataError
from hqsam_lightning.types import OBJECT_THRESHOLD

# A header costs a round trip to the disk, a decoded photo costs a core and its pixels' memory.
_QUICK_THREADS = 16
_FULL_THREADS = 4

_log = logging.getLogger(__name__)


Finding = tuple[str, str]
"""A kind of finding, and where it was found."""

PROBLEM, TURNED, UNLIKE = "problem", "turned", "unlike"
NOTES = {
    "no background": "without any background",
    UNLIKE: "unlike the rest of the source, as ids or classes would be",
    "inverted": "bright along the border and dark inside, as with a white background",
    "unlisted": "with values that data.catalogue.<source>.mask_values does not list, which count as background",
    "empty": "without an object beside other masks of the photo, which are left out",
}
"""What is reported of masks, by kind of finding."""


def inspect_sources(
    sources: Sequence[Source], data_dir: Path, allow_missing: bool, check: str = "quick"
) -> dict[str, PhotoPairs]:
    """Lists the pairs of all sources, decides what their masks' values mean, and checks them.

    Args:
        sources: what to check.
        data_dir: folder that the sources' folders are relative to.
        allow_missing: warn of absent or empty folders and of unexpected counts instead of refusing them.
        check: ``"quick"`` compares sizes by the files' headers, ``"full"`` decodes every photo and mask.

    Returns:
        Each source that has any pair, by its name.

    Raises:
        ConfigError: the check is unknown.
        DataError: one for all problems, a line each; or nothing is left to work on.
    """
    require("data.check", check, choice(*CHECKS))
    found: dict[str, PhotoPairs] = {}
    gaps: dict[str, str] = {}
    problems: list[str] = []
    notes: list[str] = []
    for source in sources:
        try:
            listing = list_source(source, data_dir)
        except MissingDataError as error:
            gaps[str(error)] = _remedy(source, len(sources))
        except DataError as error:
            problems.append(str(error))
        else:
            _log.log(logging.WARNING if listing.lost else logging.INFO, "%s: %s", source.name, listing.describe())
            gaps |= _count_gaps(source, len(listing.pairs) + listing.excluded)
            found[source.name] = _check_source(source, listing.pairs, check, problems, notes)
    # warnings name no whole keys: of an evaluation's sets they are not below `data`
    if notes:
        _log.warning(_as_list("check=full: masks to look at", notes))
    if not allow_missing:
        problems = [gap + remedy for gap, remedy in gaps.items()] + problems
    if problems:
        raise DataError(_as_list(f"problems with the data in {data_dir} (paths.data_dir): {len(problems)}", problems))
    if not found:
        raise DataError(_as_list(f"no pair of photo and mask is left in {data_dir} (paths.data_dir)", list(gaps)))
    if gaps:
        _log.warning(_as_list("allow_missing=true: continuing with what is there", list(gaps)))
    return found


def _as_list(title: str, lines: list[str]) -> str:
    return "\n  - ".join([title, *lines])


def _remedy(source: Source, count: int) -> str:
    """What else to do about a folder that is missing: the only source of a run cannot be left out."""
    if count == 1:
        return f", or data.catalogue.{source.name}.images and .masks"
    return ", or set data.allow_missing=true to continue without it"


def _count_gaps(source: Source, count: int) -> dict[str, str]:
    if source.expected in (None, count):
        return {}
    gap = f"{source.name}: expected {source.expected} pairs, found {count} in {source.images}; download the set again"
    return {
        gap: f", set data.catalogue.{source.name}.expected={count} if the set is as it should be, or set "
        "data.allow_missing=true to continue with what is there"
    }


def _check_source(source: Source, pairs: list[Pair], check: str, problems: list[str], notes: list[str]) -> PhotoPairs:
    """Decides what the masks mean and checks the pairs; appends to the problems and the notes."""
    wanted = mask_values_from_config(f"data.catalogue.{source.name}.mask_values", source.mask_values)
    found: dict[str, list[str]] = defaultdict(list)
    try:
        values, found[PROBLEM] = decide(source.name, wanted, [mask for pair in pairs for mask in pair.masks])
    except DataError as error:
        problems.append(str(error))
        values, check = wanted, "quick"
    threads = _QUICK_THREADS if check == "quick" else min(_FULL_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for findings in pool.map(lambda pair: list(_inspect(pair, check, values)), pairs):
            for kind, text in findings:
                found[kind].append(text)
    if found[TURNED]:
        _log.warning(
            "%s: EXIF turns %s photo(s) by 180 degrees, mirrors them, or turns square ones; this is applied; masks of "
            "the pixels as stored would not fit, which no size shows: %s",
            *(source.name, len(found[TURNED]), listed(found[TURNED])),
        )
    if wanted.kind == AUTO and len(found[UNLIKE]) > tolerated(sum(len(pair.masks) for pair in pairs)):
        unlike = found.pop(UNLIKE)
        found[PROBLEM].append(
            f"{len(unlike)} mask(s) are unlike the rest of the source, which was taken for {values}: "
            f"{listed(unlike)}; correct or exclude them, or set data.catalogue.{source.name}.mask_values"
        )
    problems += [f"{source.name}: {problem}" for problem in dict.fromkeys(found[PROBLEM])]
    notes += [
        f"{source.name}: {len(found[kind])} mask(s) {text}: {listed(found[kind])}"
        for kind, text in NOTES.items()
        if found[kind]
    ]
    return PhotoPairs(source.name, pairs, values, source.max_masks)


def _inspect(pair: Pair, check: str, values: MaskValues) -> Iterator[Finding]:
    yield from _compare_headers(pair)
    if check == "full":
        try:
            read_image(pair.photo)
        except DataError as error:
            yield PROBLEM, str(error)
        try:
            yield from _decode_masks(pair, values)
        except DataError as error:
            yield PROBLEM, str(error)


def _compare_headers(pair: Pair) -> Iterator[Finding]:
    """Compares a photo and its masks in size, and in orientation where that leaves the photo's size as it is."""
    frames: dict[Path, Header] = {}
    for path in (pair.photo, *pair.masks):
        try:
            frames[path] = read_header(path)
        except DataError as error:
            yield PROBLEM, str(error)
    photo = frames.pop(pair.photo, None)
    if photo is None:
        return
    for path, mask in frames.items():
        if mask.size() != photo.size():
            yield PROBLEM, size_mismatch(pair.photo, photo.size(), path, mask.size())
    keeps_size = photo.orientation in (2, 3, 4) or (photo.orientation > 4 and photo.height == photo.width)
    if keeps_size and any(mask.orientation != photo.orientation for mask in frames.values()):
        yield TURNED, str(pair.photo)


def _decode_masks(pair: Pair, values: MaskValues) -> Iterator[Finding]:
    files = list(map(read_mask_pixels, pair.masks))
    for pixels in files:
        facts = facts_of(pixels)
        if is_unlike(facts, values):
            yield UNLIKE, f"{pixels.path} ({facts.text})"
        if facts.inverted and values.kind in ("soft", "binary"):
            yield "inverted", str(pixels.path)
        if strangers := _unlisted(pixels, values):
            yield "unlisted", f"{pixels.path} ({strangers})"
    # instances are never empty, and may be many
    read = masks_of(files, values, 1 if values.kind == "ids" else None)
    if (read.masks > OBJECT_THRESHOLD).all((1, 2)).any():
        yield "no background", str(pair.masks[0])
    if read.empty:
        yield "empty", f"{read.empty} of {pair.photo.name}"


def _unlisted(pixels: MaskPixels, values: MaskValues) -> str:
    """Values of a mask that its meaning does not list."""
    if values.kind != LISTED or pixels.raw is None:
        return ""
    known = {0, *values.objects, *values.ignore}
    return ", ".join(str(value) for value in levels_of(pixels.raw).tolist() if value not in known)
