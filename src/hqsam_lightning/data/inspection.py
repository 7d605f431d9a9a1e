"""Looks at all sources before anything is trained or scored, and names every problem in one error."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from hqsam_lightning.data.catalogue import MissingDataError, Source, list_pairs, without_excluded
from hqsam_lightning.data.reading import image_size, read_image, read_mask, size_mismatch
from hqsam_lightning.errors import DataError, choice_error

CHECKS = ("quick", "full")

# A header costs a round trip to the disk, a decoded photo costs a core and its pixels' memory.
_QUICK_THREADS = 16
_FULL_THREADS = 4
_CHUNK = 256

_log = logging.getLogger(__name__)

Pairs = list[tuple[Path, Path]]


def inspect_sources(
    sources: Sequence[Source], data_dir: Path, allow_missing: bool, check: str = "quick"
) -> dict[str, Pairs]:
    """Lists the pairs of all sources and checks them.

    Args:
        sources: what to look at.
        data_dir: folder that the sources' folders are relative to.
        allow_missing: warn of absent or empty folders and of unexpected counts instead of refusing them.
        check: ``"quick"`` compares sizes by the files' headers, ``"full"`` decodes every photo and mask.

    Returns:
        The (photo, mask) paths of each source that has any, by the source's name.

    Raises:
        ConfigError: the check is unknown.
        DataError: one for all problems, a line each; or nothing is left to work on.
    """
    if check not in CHECKS:
        raise choice_error("data.check", check, CHECKS)
    found, gaps, problems = _list_sources(sources, data_dir)
    problems += _damaged_pairs(found, check)
    if gaps and not allow_missing:
        problems = gaps + problems
    if problems:
        raise DataError(_as_list(f"problems with the data in {data_dir} (paths.data_dir): {len(problems)}", problems))
    if not found:
        raise DataError(_as_list(f"no pair of photo and mask is left in {data_dir} (paths.data_dir)", gaps))
    if gaps:
        _log.warning(_as_list("data.allow_missing=true: going on with what is there", gaps))
    return found


def _list_sources(sources: Sequence[Source], data_dir: Path) -> tuple[dict[str, Pairs], list[str], list[str]]:
    """Lists all sources: their pairs, what is missing or of an unexpected count, and what cannot be listed."""
    found: dict[str, Pairs] = {}
    gaps: list[str] = []
    problems: list[str] = []
    for source in sources:
        try:
            pairs = list_pairs(source, data_dir)
            found[source.name] = without_excluded(source, pairs)
        except MissingDataError as error:
            gaps.append(str(error))
        except DataError as error:
            problems.append(str(error))
        else:
            gaps.extend(_count_gaps(source, len(pairs)))
    return found, gaps, problems


def _as_list(title: str, lines: list[str]) -> str:
    return "\n  - ".join([title, *lines])


def _count_gaps(source: Source, count: int) -> list[str]:
    if source.expected is None or count == source.expected:
        return []
    return [
        f"{source.name}: expected {source.expected} pairs, found {count} in {source.images}; download the set again, "
        f"set data.catalogue.{source.name}.expected={count} if the set is as it should be, or set "
        "data.allow_missing=true to go on with what is there"
    ]


def _damaged_pairs(found: dict[str, Pairs], check: str) -> list[str]:
    """Describes the damaged pairs, in the order of the sources and their photos."""
    jobs = [(name, *pair) for name, pairs in found.items() for pair in pairs]
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    threads = _QUICK_THREADS if check == "quick" else min(_FULL_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        return [problem for problems in pool.map(partial(_check_chunk, check), chunks) for problem in problems]


def _check_chunk(check: str, jobs: list[tuple[str, Path, Path]]) -> list[str]:
    return [f"{name}: {problem}" for name, photo, mask in jobs for problem in _pair_problems(photo, mask, check)]


def _pair_problems(photo: Path, mask: Path, check: str) -> list[str]:
    """Describes what is wrong with one pair."""
    sizes: list[tuple[int, ...]] = []
    problems: list[str] = []
    for path, read in ((photo, read_image), (mask, read_mask)):
        try:
            sizes.append(image_size(path) if check == "quick" else read(path).shape[:2])
        except DataError as error:
            problems.append(str(error))
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        problems.append(size_mismatch(photo, sizes[0], mask, sizes[1]))
    return problems
