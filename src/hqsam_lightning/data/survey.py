"""Looks at all files of a source: what is there, what cannot be used and why, and what is worth a look."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hqsam_lightning.data.catalogue import MissingDataError, Source
from hqsam_lightning.data.listing import Listing, Pair, list_source
from hqsam_lightning.data.mask_deciding import decide, is_unlike, tolerated
from hqsam_lightning.data.mask_facts import facts_of
from hqsam_lightning.data.mask_pixels import MaskPixels, levels_of, read_mask_pixels
from hqsam_lightning.data.mask_values import AUTO, LISTED, MaskValues, mask_values_from_config
from hqsam_lightning.data.problems import listed
from hqsam_lightning.data.reading import EmptyMaskError, Header, masks_of, read_header, read_image, size_mismatch
from hqsam_lightning.errors import DataError
from hqsam_lightning.runtime.progress import track
from hqsam_lightning.types import OBJECT_THRESHOLD

# A header costs a round trip to the disk, a decoded photo costs a core and its pixels' memory.
_QUICK_THREADS = 16
_FULL_THREADS = 4

NO_MASK, BROKEN, SIZE, EMPTY, NOT_A_MASK = "no mask", "broken", "size", "empty", "not a mask"
FAULTS = (NO_MASK, BROKEN, SIZE, EMPTY, NOT_A_MASK)
"""Kinds of findings for which a file cannot be used."""

UNLIKE, TURNED = "unlike", "turned"
NOTES = {
    "no background": "without any background",
    UNLIKE: "unlike the rest of the source, as ids or classes would be",
    "inverted": "bright along the border and dark inside, as with a white background",
    "unlisted": "with values that data.catalogue.<source>.mask_values does not list, which count as background",
    "partly empty": "without an object beside other masks of the photo, which are left out",
}
"""What is reported of masks that can be used, by kind of finding."""


class Finding(NamedTuple):
    """What is wrong or odd with a file.

    Attributes:
        kind: one of `FAULTS`, of `NOTES`, or `TURNED`.
        path: of the file.
        text: a whole message for a fault, the file and a detail for the others.
    """

    kind: str
    path: Path
    text: str


@dataclass
class Survey:
    """What is in the folders of a source.

    Attributes:
        source: as configured.
        listing: None where the folders are missing, or photos and masks cannot be told apart.
        values: what the masks' values mean; as configured where it could not be decided.
        missing: describes absent or empty folders; "" where there are photos.
        problems: messages for what leaves open how its files are read, each once.
        faults: messages for single files that cannot be used, each once.
        findings: file by file, in the order of the photos.
    """

    source: Source
    listing: Listing | None = None
    values: MaskValues | None = None
    missing: str = ""
    problems: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Number of photos, with those that the config excludes."""
        return 0 if self.listing is None else self.listing.photos

    @property
    def is_complete(self) -> bool:
        """Whether the number of photos is the expected one, if there is one."""
        return self.source.expected in (None, self.found)

    def sort_pairs(self) -> tuple[list[Pair], list[str]]:
        """The pairs without a fault, and what is wrong with each of the other photos."""
        faults = {finding.path: finding.text for finding in self.findings if finding.kind in FAULTS}
        pairs, others = [], self.texts(NO_MASK)
        for pair in [] if self.listing is None else self.listing.pairs:
            if found := [faults[path] for path in (pair.photo, *pair.masks) if path in faults]:
                others.append("; ".join(found))
            else:
                pairs.append(pair)
        return pairs, [f"{self.source.name}: {text}" for text in others]

    def texts(self, kind: str) -> list[str]:
        """Texts of the findings of a kind."""
        return [finding.text for finding in self.findings if finding.kind == kind]

    def count(self, kind: str) -> int:
        """Number of files with a finding of a kind."""
        return len({finding.path for finding in self.findings if finding.kind == kind})


def survey(source: Source, data_dir: Path, check: str, progress: bool = False) -> Survey:
    """Lists the pairs of a source, decides what its masks' values mean, and looks at each file.

    Args:
        source: what to look at.
        data_dir: folder that the source's folders are relative to.
        check: ``"quick"`` compares sizes by the files' headers, ``"full"`` decodes every photo and mask.
        progress: show how far it is.
    """
    result = Survey(source)
    try:
        result.listing = list_source(source, data_dir)
    except MissingDataError as error:
        result.missing = str(error)
    except DataError as error:
        result.problems.append(str(error))
    else:
        _look_at_pairs(result, result.listing, check, progress)
    return result


def _look_at_pairs(result: Survey, listing: Listing, check: str, progress: bool) -> None:
    source, pairs = result.source, listing.pairs
    if listing.unmasked:
        result.faults.append(listing.unmasked_problem)
        result.findings += [Finding(NO_MASK, photo, f"{photo} has no mask") for photo in listing.unmasked]
    wanted = mask_values_from_config(f"data.catalogue.{source.name}.mask_values", source.mask_values)
    faults: list[str] = []
    try:
        result.values, faults = decide(source.name, wanted, [mask for pair in pairs for mask in pair.masks])
    except DataError as error:
        result.problems.append(str(error))
        result.values, check = wanted, "quick"
    values = result.values
    threads = _QUICK_THREADS if check == "quick" else min(_FULL_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        inspected = pool.map(lambda pair: list(_inspect(pair, check, values)), pairs)
        for _, findings in zip(track(pairs, f"checking {source.name}") if progress else pairs, inspected, strict=True):
            result.findings += findings
    faults += [finding.text for finding in result.findings if finding.kind in FAULTS and finding.kind != NO_MASK]
    unlike = result.texts(UNLIKE)
    if wanted.kind == AUTO and len(unlike) > tolerated(sum(len(pair.masks) for pair in pairs)):
        result.problems.append(
            f"{source.name}: {len(unlike)} mask(s) are unlike the rest of the source, which was taken for {values}: "
            f"{listed(unlike)}; correct or exclude them, or set data.catalogue.{source.name}.mask_values"
        )
        result.findings = [
            finding._replace(kind=NOT_A_MASK) if finding.kind == UNLIKE else finding for finding in result.findings
        ]
    result.faults += [f"{source.name}: {fault}" for fault in dict.fromkeys(faults)]


def _inspect(pair: Pair, check: str, values: MaskValues) -> Iterator[Finding]:
    yield from _compare_headers(pair)
    if check == "full":
        try:
            read_image(pair.photo)
        except DataError as error:
            yield Finding(BROKEN, pair.photo, str(error))
        yield from _decode_masks(pair, values)


def _compare_headers(pair: Pair) -> Iterator[Finding]:
    """Compares a photo and its masks in size, and in orientation where that leaves the photo's size as it is."""
    frames: dict[Path, Header] = {}
    for path in (pair.photo, *pair.masks):
        try:
            frames[path] = read_header(path)
        except DataError as error:
            yield Finding(BROKEN, path, str(error))
    photo = frames.pop(pair.photo, None)
    if photo is None:
        return
    for path, mask in frames.items():
        if mask.size() != photo.size():
            yield Finding(SIZE, path, size_mismatch(pair.photo, photo.size(), path, mask.size()))
    keeps_size = photo.orientation in (2, 3, 4) or (photo.orientation > 4 and photo.height == photo.width)
    if keeps_size and any(mask.orientation != photo.orientation for mask in frames.values()):
        yield Finding(TURNED, pair.photo, str(pair.photo))


def _decode_masks(pair: Pair, values: MaskValues) -> Iterator[Finding]:
    files: list[MaskPixels] = []
    for path in pair.masks:
        try:
            files.append(read_mask_pixels(path))
        except DataError as error:
            yield Finding(BROKEN, path, str(error))
    for pixels in files:
        yield from _look_at_values(pixels, values)
    if len(files) < len(pair.masks):
        return
    try:
        # instances are never empty, and may be many
        read = masks_of(files, values, 1 if values.kind == "ids" else None)
    except EmptyMaskError as error:
        yield Finding(EMPTY, pair.masks[0], str(error))
    except DataError as error:
        yield Finding(NOT_A_MASK, pair.masks[0], str(error))
    else:
        if (read.masks > OBJECT_THRESHOLD).all((1, 2)).any():
            yield Finding("no background", pair.masks[0], str(pair.masks[0]))
        if read.empty:
            yield Finding("partly empty", pair.photo, f"{read.empty} of {pair.photo.name}")


def _look_at_values(pixels: MaskPixels, values: MaskValues) -> Iterator[Finding]:
    facts = facts_of(pixels)
    if is_unlike(facts, values):
        yield Finding(UNLIKE, pixels.path, f"{pixels.path} ({facts.text})")
    if facts.inverted and values.kind in ("soft", "binary"):
        yield Finding("inverted", pixels.path, str(pixels.path))
    if strangers := _unlisted(pixels, values):
        yield Finding("unlisted", pixels.path, f"{pixels.path} ({strangers})")


def _unlisted(pixels: MaskPixels, values: MaskValues) -> str:
    """Values of a mask that its meaning does not list."""
    if values.kind != LISTED or pixels.raw is None:
        return ""
    known = {0, *values.objects, *values.ignore}
    return ", ".join(str(value) for value in levels_of(pixels.raw).tolist() if value not in known)
