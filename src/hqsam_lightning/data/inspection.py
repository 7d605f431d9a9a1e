"""Looks at all sources before anything is trained or scored, and names every problem in one error."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from hqsam_lightning.data.catalogue import MissingDataError, Source
from hqsam_lightning.data.listing import Listing, Pair, list_source
from hqsam_lightning.data.mask_deciding import decide, is_unlike, tolerated
from hqsam_lightning.data.mask_facts import facts_of
from hqsam_lightning.data.mask_pixels import MaskPixels, levels_of, read_mask_pixels
from hqsam_lightning.data.mask_values import AUTO, LISTED, MaskValues, mask_values_from_config
from hqsam_lightning.data.problems import listed
from hqsam_lightning.data.reading import image_frame, image_size, masks_of, read_image, size_mismatch
from hqsam_lightning.errors import DataError, choice_error
from hqsam_lightning.types import OBJECT_THRESHOLD

CHECKS = ("quick", "full")

# A header costs a round trip to the disk, a decoded photo costs a core and its pixels' memory.
_QUICK_THREADS = 16
_FULL_THREADS = 4

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedSource:
    """A source that can be read.

    Attributes:
        pairs: photos with their masks.
        mask_values: what the masks' values mean.
    """

    pairs: list[Pair]
    mask_values: MaskValues


@dataclass
class _Findings:
    """What was found in one pair, or in a source: problems, masks that are odd, and turned photos."""

    problems: list[str] = field(default_factory=list)
    no_background: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)
    inverted: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def add(self, other: _Findings) -> None:
        for name, found in vars(other).items():
            getattr(self, name).extend(found)


def inspect_sources(
    sources: Sequence[Source], data_dir: Path, allow_missing: bool, check: str = "quick"
) -> dict[str, CheckedSource]:
    """Lists the pairs of all sources, decides what their masks' values mean, and checks them.

    Args:
        sources: what to look at.
        data_dir: folder that the sources' folders are relative to.
        allow_missing: warn of absent or empty folders and of unexpected counts instead of refusing them.
        check: ``"quick"`` compares sizes by the files' headers, ``"full"`` decodes every photo and mask.

    Returns:
        Each source that has any pair, by its name.

    Raises:
        ConfigError: the check is unknown.
        DataError: one for all problems, a line each; or nothing is left to work on.
    """
    if check not in CHECKS:
        raise choice_error("data.check", check, CHECKS)
    found, gaps, problems = _list_sources(sources, data_dir)
    checked: dict[str, CheckedSource] = {}
    notes: list[str] = []
    for source in sources:
        if source.name in found:
            checked[source.name] = _check_source(source, found[source.name].pairs, check, problems, notes)
    if notes:
        _log.warning(_as_list("data.check=full: masks to look at", notes))
    if gaps and not allow_missing:
        problems = gaps + problems
    if problems:
        raise DataError(_as_list(f"problems with the data in {data_dir} (paths.data_dir): {len(problems)}", problems))
    if not found:
        raise DataError(_as_list(f"no pair of photo and mask is left in {data_dir} (paths.data_dir)", gaps))
    if gaps:
        _log.warning(_as_list("data.allow_missing=true: continuing with what is there", gaps))
    return checked


def _list_sources(sources: Sequence[Source], data_dir: Path) -> tuple[dict[str, Listing], list[str], list[str]]:
    """Lists all sources: what they hold, what is missing or of an unexpected count, and what cannot be listed."""
    found: dict[str, Listing] = {}
    gaps: list[str] = []
    problems: list[str] = []
    for source in sources:
        try:
            listing = list_source(source, data_dir)
        except MissingDataError as error:
            gaps.append(str(error))
        except DataError as error:
            problems.append(str(error))
        else:
            found[source.name] = listing
            _log.log(logging.WARNING if listing.lost else logging.INFO, "%s: %s", source.name, listing.describe())
            gaps.extend(_count_gaps(source, len(listing.pairs) + listing.excluded))
    return found, gaps, problems


def _as_list(title: str, lines: list[str]) -> str:
    return "\n  - ".join([title, *lines])


def _count_gaps(source: Source, count: int) -> list[str]:
    if source.expected is None or count == source.expected:
        return []
    return [
        f"{source.name}: expected {source.expected} pairs, found {count} in {source.images}; download the set again, "
        f"set data.catalogue.{source.name}.expected={count} if the set is as it should be, or set "
        "data.allow_missing=true to continue with what is there"
    ]


def _check_source(
    source: Source, pairs: list[Pair], check: str, problems: list[str], notes: list[str]
) -> CheckedSource:
    """Decides what the masks mean and checks the pairs; appends to the problems and the notes."""
    wanted = mask_values_from_config(f"data.catalogue.{source.name}.mask_values", source.mask_values)
    found = _Findings()
    try:
        values, found.problems = decide(source.name, wanted, [mask for pair in pairs for mask in pair.masks])
    except DataError as error:
        problems.append(str(error))
        values, check = wanted, "quick"
    threads = _QUICK_THREADS if check == "quick" else min(_FULL_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        for each in pool.map(lambda pair: _quick(pair) if check == "quick" else _full(pair, values), pairs):
            found.add(each)
    if found.turned:
        _log.warning(
            "%s: EXIF turns %s photo(s) by 180 degrees, mirrors them, or turns square ones; this is applied; masks of "
            "the pixels as stored would not fit, which no size shows: %s",
            *(source.name, len(found.turned), listed(found.turned)),
        )
    if wanted.kind == AUTO and len(found.unlike) > tolerated(sum(len(pair.masks) for pair in pairs)):
        found.problems.append(
            f"{len(found.unlike)} mask(s) are unlike the rest of the source, which was taken for {values}: "
            f"{listed(found.unlike)}; correct or exclude them, or set data.catalogue.{source.name}.mask_values"
        )
        found.unlike = []
    problems += [f"{source.name}: {problem}" for problem in dict.fromkeys(found.problems)]
    notes += [f"{source.name}: {note}" for note in _notes(found)]
    return CheckedSource(pairs, values)


def _notes(found: _Findings) -> Iterable[str]:
    texts: Mapping[str, list[str]] = {
        "without any background": found.no_background,
        "unlike the rest of the source, as ids or classes would be": found.unlike,
        "bright along the border and dark inside, as with a white background": found.inverted,
        "with values that data.catalogue.<source>.mask_values does not list, which count as background": found.unlisted,
        "without an object beside other masks of the photo, which are left out": found.empty,
    }
    return [f"{len(masks)} mask(s) {text}: {listed(masks)}" for text, masks in texts.items() if masks]


def _quick(pair: Pair) -> _Findings:
    """Compares the sizes of a photo and its masks by their headers."""
    found = _turned(pair)
    sizes: list[tuple[Path, tuple[int, int]]] = []
    for path in (pair.photo, *pair.masks):
        try:
            sizes.append((path, image_size(path)))
        except DataError as error:
            found.problems.append(str(error))
    if sizes and sizes[0][0] == pair.photo:
        photo_size = sizes[0][1]
        found.problems += [
            size_mismatch(pair.photo, photo_size, mask, size) for mask, size in sizes[1:] if size != photo_size
        ]
    return found


def _full(pair: Pair, values: MaskValues) -> _Findings:
    """Decodes a photo and its masks."""
    found = _turned(pair)
    size: tuple[int, ...] | None = None
    try:
        size = read_image(pair.photo).shape[:2]
    except DataError as error:
        found.problems.append(str(error))
    try:
        files: list[tuple[str | Path, MaskPixels]] = [(path, read_mask_pixels(path)) for path in pair.masks]
        _look_for_odd_values(files, values, found)
        # instances are never empty, and may be many
        read = masks_of(files, values, 1 if values.kind == "ids" else None)
    except DataError as error:
        found.problems.append(str(error))
        return found
    if size is not None and size != read.masks.shape[1:]:
        found.problems.append(size_mismatch(pair.photo, size, pair.masks[0], read.masks.shape[1:]))
    if (read.masks > OBJECT_THRESHOLD).all((1, 2)).any():
        found.no_background.append(str(pair.masks[0]))
    if read.empty:
        found.empty.append(f"{read.empty} of {pair.photo.name}")
    return found


def _turned(pair: Pair) -> _Findings:
    """Notes a photo that is turned without a change of its size, unless its masks are turned alike."""
    try:
        (height, width, orientation), *masks = (image_frame(path) for path in (pair.photo, *pair.masks))
    except DataError:  # the checks name it
        return _Findings()
    keeps_size = orientation in (2, 3, 4) or (orientation > 4 and height == width)
    alike = all(mask_orientation == orientation for _, _, mask_orientation in masks)
    return _Findings(turned=[str(pair.photo)] if keeps_size and not alike else [])


def _look_for_odd_values(files: Sequence[tuple[str | Path, MaskPixels]], values: MaskValues, found: _Findings) -> None:
    for path, pixels in files:
        facts = facts_of(pixels, Path(path))
        if is_unlike(facts, values):
            found.unlike.append(f"{path} ({facts.text})")
        if facts.inverted and values.kind in ("soft", "binary"):
            found.inverted.append(str(path))
        strangers = _unlisted(pixels, values)
        if strangers:
            found.unlisted.append(f"{path} ({strangers})")


def _unlisted(pixels: MaskPixels, values: MaskValues) -> str:
    """Values of a mask that its meaning does not list."""
    if values.kind != LISTED or pixels.raw is None:
        return ""
    known = {0, *values.objects, *values.ignore}
    return ", ".join(str(value) for value in levels_of(pixels.raw).tolist() if value not in known)
