"""Checks all sources before anything is trained or scored, and reports every problem in one error."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from hqsam_lightning.checks import choice, require
from hqsam_lightning.data.catalogue import Source
from hqsam_lightning.data.datasets.photo_pairs import PhotoPairs
from hqsam_lightning.data.problems import CHECKS, as_lines, listed
from hqsam_lightning.data.survey import NOTES, TURNED, Survey, survey
from hqsam_lightning.errors import DataError

_log = logging.getLogger(__name__)


def inspect_sources(
    sources: Sequence[Source], data_dir: Path, allow_missing: bool, check: str = "quick", strict: bool = True
) -> dict[str, PhotoPairs]:
    """Lists the pairs of all sources, decides what their masks' values mean, and checks them.

    Args:
        sources: what to check.
        data_dir: folder that the sources' folders are relative to.
        allow_missing: warn of absent or empty folders and of unexpected counts instead of refusing them.
        check: ``"quick"`` compares sizes by the files' headers, ``"full"`` decodes every photo and mask.
        strict: whether single files that cannot be used are problems; otherwise their photos are left out, as
            `PhotoSet.unreadable`, and logged.

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
        seen = survey(source, data_dir, check)
        gaps |= gaps_of(seen, is_only=len(sources) == 1)
        pairs, unreadable = ([], []) if strict else seen.sort_pairs()
        # a source of which nothing is left has problems, however lenient
        problems += seen.problems if pairs else [*seen.problems, *seen.faults]
        notes += _notes_of(seen)
        if seen.listing is not None and seen.values is not None:
            _log_listing(seen)
            if pairs and unreadable:
                _log.warning(as_lines(f"{source.name}: {len(unreadable)} photos left out", unreadable))
            found[source.name] = PhotoPairs(
                source.name, pairs or seen.listing.pairs, seen.values, source.max_masks, unreadable
            )
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


def gaps_of(seen: Survey, is_only: bool) -> dict[str, str]:
    """What a source lacks, each with the keys that would forgive it.

    Args:
        seen: of the source.
        is_only: whether the run has no other source: then it cannot be left out.
    """
    if seen.missing:
        keys = f"data.catalogue.{seen.source.name}.images and .masks"
        return {seen.missing: f", or {keys}" if is_only else ", or set data.allow_missing=true to continue without it"}
    if seen.listing is None or seen.is_complete:
        return {}
    source, count = seen.source, seen.found
    gap = f"{source.name}: expected {source.expected} pairs, found {count} in {source.images}; download the set again"
    return {
        gap: f", set data.catalogue.{source.name}.expected={count} if the set is as it should be, or set "
        "data.allow_missing=true to continue with what is there"
    }


def _notes_of(seen: Survey) -> Iterator[str]:
    for kind, text in NOTES.items():
        if found := seen.texts(kind):
            yield f"{seen.source.name}: {len(found)} mask(s) {text}: {listed(found)}"


def _log_listing(seen: Survey) -> None:
    assert seen.listing is not None
    level = logging.WARNING if seen.listing.lost else logging.INFO
    _log.log(level, "%s: %s", seen.source.name, seen.listing.describe())
    if turned := seen.texts(TURNED):
        _log.warning(
            "%s: EXIF turns %s photo(s) by 180 degrees, mirrors them, or turns square ones; this is applied; masks of "
            "the pixels as stored would not fit, which no size shows: %s",
            *(seen.source.name, len(turned), listed(turned)),
        )


def _as_list(title: str, lines: list[str]) -> str:
    return "\n  - ".join([title, *lines])
