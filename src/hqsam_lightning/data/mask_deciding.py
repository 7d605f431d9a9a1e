"""Decides what the values of the masks of a source mean, from many of its files at once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hqsam_lightning.data.mask_facts import ALPHA, COLOURS, LABELS, ONE_LEVEL, TWO_PLANES, MaskFacts, look_at
from hqsam_lightning.data.mask_values import AUTO, CHOICES, SOFT, MaskValues
from hqsam_lightning.data.problems import attempt_all, listed, spread
from hqsam_lightning.errors import DataError

SAMPLE = 200
"""Maximum number of masks from which the meaning of a source is decided, spread evenly over the files by name."""

_THREADS = 4
_FILLED_ONE_IN = 10

_log = logging.getLogger(__name__)


def decide(name: str, wanted: MaskValues, paths: Sequence[Path]) -> tuple[MaskValues, list[str]]:
    """Decides what the values of a source's masks mean, by its config and all its files, sorted; and logs it.

    Returns:
        The meaning, and the problems of the masks that cannot be read.

    Raises:
        DataError: the config leaves it open (``auto``), and the files are ambiguous or disagree; it lists the choices.
    """
    if wanted.kind != AUTO and not (wanted.kind == "binary" and wanted.threshold is None):
        _log.info("%s: mask_values=%s, as set", name, wanted)
        return wanted, []
    sample = spread(paths, SAMPLE)
    seen = attempt_all(look_at, sample, _THREADS)
    facts = [each for each in seen if isinstance(each, MaskFacts)]
    decided = _decide_auto(name, facts) if wanted.kind == AUTO else replace(wanted, threshold=_middle(facts))
    _log.info(
        "%s: mask_values=%s -> %s (%s) from %s of %s files",
        name, wanted.kind, decided, _summary(facts), len(sample), len(paths),
    )  # fmt: skip
    return decided, [each for each in seen if isinstance(each, str)]


def tolerated(count: int) -> int:
    """Number of files that may differ from the others with a warning instead of an error: 2 %."""
    return count // 50


def is_unlike(facts: MaskFacts, values: MaskValues) -> bool:
    """Whether a file does not fit a decided meaning."""
    if values.kind == "soft":
        fits = facts.reaches_full
    elif values.kind == "binary" and values.threshold is not None:
        fits = values.threshold < facts.high <= 2 * values.threshold + 1
    else:
        return False
    return facts.shows in (LABELS, COLOURS, ALPHA, TWO_PLANES) or not (fits or facts.high == 0)


def _decide_auto(name: str, facts: list[MaskFacts]) -> MaskValues:
    shows = {kind: [each for each in facts if each.shows == kind] for kind in (TWO_PLANES, ALPHA, COLOURS)}
    telling = [each for each in facts if each.shows != ONE_LEVEL]
    _refuse(name, facts, shows[TWO_PLANES], "have a varying alpha channel beside colours, and either may be the mask")
    if shows[ALPHA]:
        others = [each for each in telling if each.shows != ALPHA]
        _refuse(name, facts, others and shows[ALPHA], f"show {ALPHA}, others do not ({_named(others)})")
        return MaskValues("alpha")
    _refuse(name, facts, shows[COLOURS], "show several colours, which may be objects, borders to ignore or compression")
    inverted = [each for each in telling if each.inverted]
    # more than large objects can explain
    if len(inverted) > max(1, len(telling) // _FILLED_ONE_IN) or 2 * len(inverted) > len(telling):
        _refuse(name, facts, inverted, "are bright along the border and dark inside, as with a white background")
    _warn_of(name, inverted)
    return _decide_levels(name, facts)


def _decide_levels(name: str, facts: list[MaskFacts]) -> MaskValues:
    """Decides between soft and binary for masks of grey values or of one hue."""
    seen = [each for each in facts if each.high > 0]
    soft = [each for each in seen if each.reaches_full and each.shows != LABELS]
    if len(soft) >= len(seen) - tolerated(len(facts)):
        _warn_of(name, [each for each in seen if each not in soft])
        deep = [each for each in soft if each.is_16_bit]
        return replace(SOFT, full=255) if deep and all(each.high <= 255 for each in deep) else SOFT
    labels = [each for each in facts if each.shows == LABELS]
    _refuse(name, facts, labels, f"show {LABELS}, and may be classes, objects or borders to ignore")
    usual = Counter(each.high for each in seen).most_common(1)[0][0]
    others = [each for each in seen if each.high != usual]
    _refuse(name, facts, others, f"have another greatest value than the rest, which have {usual}")
    return MaskValues("binary", threshold=usual / 2)


def _middle(facts: list[MaskFacts]) -> float:
    """Middle of the values of all masks, which is the threshold between two levels."""
    high = max((each.high for each in facts), default=0)
    low = min((each.low for each in facts if each.low < high), default=0)
    return (low + high) / 2 if high else 127.5


def _warn_of(name: str, odd: list[MaskFacts]) -> None:
    if odd:
        _log.warning("%s: %s mask(s) unlike the rest of the source: %s", name, len(odd), _named(odd))


def _refuse(name: str, facts: list[MaskFacts], found: list[MaskFacts], finding: str) -> None:
    """Raises a DataError with the choices of ``mask_values`` if masks were found that leave the meaning open."""
    key = f"data.catalogue.{name}"
    if found:
        raise DataError(
            f"{name}: {key}.mask_values=auto cannot decide what the values of the masks mean: {len(found)} of "
            f"{len(facts)} masks looked at {finding}; e.g. {_named(found)}; set {key}.mask_values to {CHOICES}; "
            f"to leave out single files, list their stems in {key}.exclude"
        )


def _named(facts: list[MaskFacts]) -> str:
    return listed([f"{each.path} ({each.text})" for each in facts])


def _summary(facts: list[MaskFacts]) -> str:
    """Counts of the kinds of files, e.g. ``"0 and one other value: 12, grey edges: 3"``."""
    counts = Counter(each.shows for each in facts)
    kinds = [f"{kind}: {counts[kind]}" for kind in sorted(counts)] or ["no file could be read"]
    unused = sum(each.unused_alpha for each in facts)
    return ", ".join([*kinds, f"alpha channels that vary and are not used: {unused}"] if unused else kinds)
