"""Checks whatever sets a config of data names, and counts what is wrong with each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.utils import instantiate

from hqsam_lightning.config import own_errors
from hqsam_lightning.data.catalogue import Source, source_from_config
from hqsam_lightning.data.datasets import AnnotatedPhotos, SampleSet
from hqsam_lightning.data.inspection import gaps_of
from hqsam_lightning.data.problems import ProblemsError
from hqsam_lightning.data.sets import DataSets
from hqsam_lightning.data.survey import FAULTS, Survey, survey
from hqsam_lightning.errors import ConfigError, DataError, choice_error

TARGET = "_target_"


@dataclass
class Checked:
    """What a check found in one set.

    Attributes:
        name: of the set.
        expected: number of photos that the catalogue expects; None where it expects none.
        photos: number of photos found.
        masks: number of mask files, or of masks in JSON; None where it is not known before they are read.
        counts: number of files by kind of fault, one of `FAULTS`.
        notes: number of files that are worth a look.
        problems: messages; empty for a sound set.
        findings: (kind, file, text) of each file.
    """

    name: str
    expected: int | None = None
    photos: int = 0
    masks: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    notes: int = 0
    problems: list[str] = field(default_factory=list)
    findings: list[tuple[str, str, str]] = field(default_factory=list)


def check_sets(data: Mapping[str, Any], names: Sequence[str] | None, check: str) -> list[Checked]:
    """Checks the sets of a config of data, of those within it too, one after another.

    Args:
        data: as plain values.
        names: sources of its catalogue; None for those that it trains or validates on.
        check: ``"quick"`` or ``"full"``.

    Raises:
        ConfigError: a source or a key is unknown, or a value cannot work.
    """
    checked: list[Checked] = []
    for node in _nodes(data):
        if "catalogue" in node:
            checked += _check_catalogue(node, names, check)
        elif names is None:
            checked += _check_built(node, check)
    if not checked:
        raise ConfigError(
            f"sources: expected a config of data with a catalogue of sources; got {names}; set data=hqseg44k"
        )
    return checked


def as_table(checked: Sequence[Checked]) -> pd.DataFrame:
    """One line per set, of text; what does not apply is empty."""
    lines = [
        {
            "set": each.name,
            "expected": "" if each.expected is None else each.expected,
            "photos": each.photos,
            "masks": "" if each.masks is None else each.masks,
            **{kind: each.counts.get(kind, "") for kind in FAULTS},
            "to look at": each.notes,
            "result": f"{len(each.problems)} problem(s)" if each.problems else "sound",
        }
        for each in checked
    ]
    return pd.DataFrame(lines).astype(str)


def as_findings(checked: Sequence[Checked]) -> pd.DataFrame:
    """One line per finding: set, kind, file, and a text; problems without a file have none."""
    lines = [(each.name, *finding) for each in checked for finding in each.findings]
    for each in checked:
        known = {text for _, _, text in each.findings}
        others = (problem for problem in each.problems if problem.removeprefix(f"{each.name}: ") not in known)
        lines += [(each.name, "problem", "", problem) for problem in others]
    return pd.DataFrame(lines, columns=["set", "kind", "file", "text"], dtype=object)


def problems_of(error: DataError) -> list[str]:
    """All problems of an error, of which its message may show some."""
    return list(error.problems) if isinstance(error, ProblemsError) else [str(error)]


def _nodes(node: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The configs of sets, first those within others, each without the ones within it."""
    inside = {name: value for name, value in node.items() if isinstance(value, Mapping) and TARGET in value}
    for each in inside.values():
        yield from _nodes(each)
    own = {**node, **dict.fromkeys(inside)}
    # what only joins other sets has nothing of its own to check
    if not inside or own.keys() - inside.keys() != {TARGET}:
        yield own


def _check_catalogue(node: Mapping[str, Any], names: Sequence[str] | None, check: str) -> Iterator[Checked]:
    for source in sources_of(node, names):
        yield _of_survey(survey(source, Path(node["data_dir"]).expanduser(), check, progress=True))


def sources_of(node: Mapping[str, Any], names: Sequence[str] | None) -> list[Source]:
    """The sources of a catalogue: those of these names, or those that are trained or validated on where None.

    Raises:
        ConfigError: the catalogue has none of a name, or a source has a value that cannot work.
    """
    catalogue = node["catalogue"]
    chosen = dict.fromkeys([*node["sources"], *node["val_sources"]] if names is None else names)
    for name in chosen:
        if name not in catalogue:
            raise choice_error("sources", name, sorted(catalogue))
    return [source_from_config(name, catalogue[name]) for name in chosen]


def _of_survey(seen: Survey) -> Checked:
    pairs = [] if seen.listing is None else seen.listing.pairs
    return Checked(
        name=seen.source.name,
        expected=seen.source.expected,
        photos=seen.found,
        masks=sum(len(pair.masks) for pair in pairs),
        counts={kind: seen.count(kind) for kind in FAULTS},
        notes=len({finding.path for finding in seen.findings if finding.kind not in FAULTS}),
        problems=[*gaps_of(seen, is_only=True), *seen.problems, *seen.faults],
        findings=[(finding.kind, str(finding.path), finding.text) for finding in seen.findings],
    )


def _check_built(node: Mapping[str, Any], check: str) -> list[Checked]:
    """Builds sets as a run would; their own checks say what is wrong."""
    changes = {"check": check, "holdout": 0}
    try:
        with own_errors("data"):
            sets = instantiate({**node, **{key: value for key, value in changes.items() if key in node}})
    except DataError as error:
        return [Checked(node[TARGET].rpartition(".")[2].removesuffix("_sets"), problems=problems_of(error))]
    if not isinstance(sets, DataSets):
        raise ConfigError(f"data._target_: expected a function that returns DataSets; {node[TARGET]} does not")
    parts = {samples.identify(0).dataset: samples for samples, _ in sets.train} | sets.validation
    return [Checked(name, photos=len(samples), masks=_masks_in(samples)) for name, samples in parts.items()]


def _masks_in(samples: SampleSet) -> int | None:
    photos = samples.photos if isinstance(samples, AnnotatedPhotos) else []
    masks = [len(photo.masks.segmentations) for photo in photos if photo.masks is not None]
    return sum(masks) if masks else None
