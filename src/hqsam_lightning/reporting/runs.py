"""Run folders as read, which of them are one recipe at several seeds, and whether they can stand in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.scores import MaskScores, Row
from hqsam_lightning.recipe import recipe_of, without

KEYS_IN_LABEL = 3  # more where these do not tell the recipes apart


@dataclass(frozen=True)
class Run:
    """What a run left in its folder.

    Attributes:
        folder: as given.
        facts: command, date, seed, SAM, ...
        config: resolved, as plain values.
        masks: the scored masks of all its validation sets.
    """

    folder: Path
    facts: dict[str, Any]
    config: dict[str, Any]
    masks: list[MaskScores]

    @property
    def rows(self) -> list[Row]:
        """(variant, output) pairs, plain SAM first."""
        return list(self.masks[0].scores)

    @property
    def recipe_keys(self) -> dict[str, Any]:
        """The run's recipe but for its seed, see `recipe_of`."""
        return without(recipe_of(self.config, str(self.facts.get("sam_sha256"))[:12]), ("seed",))


@dataclass(frozen=True)
class Recipe:
    """Runs that differ in the seed alone.

    Attributes:
        label: what tells it from the other recipes of the report.
        runs: at least one, by seed.
    """

    label: str
    runs: list[Run]

    @property
    def rows(self) -> list[Row]:
        """(variant, output) pairs, plain SAM first."""
        return self.runs[0].rows

    @property
    def output(self) -> str:
        """The output that the runs went by: "hq" or "sum"."""
        return str(self.runs[0].facts["output"])


def group_runs(runs: Sequence[Run]) -> list[Recipe]:
    """Puts the runs that differ in the seed alone together, in the order given, and labels what differs otherwise.

    Raises:
        ConfigError: for two runs of one recipe and seed, or of one recipe and different methods.
    """
    groups: list[list[Run]] = []
    for run in runs:
        group = next((group for group in groups if group[0].recipe_keys == run.recipe_keys), None)
        if group is None:
            groups.append([run])
            continue
        twin = next((other for other in group if other.facts["seed"] == run.facts["seed"]), None)
        if twin is not None:
            raise ConfigError(
                f"runs: expected each seed of a recipe once; {twin.folder} and {run.folder} are both seed "
                f"{run.facts['seed']} of {run.facts['name']}; leave one out"
            )
        _require_same_rows(group[0], run)
        group.append(run)
    labels = _labels([group[0] for group in groups])
    ordered = [sorted(group, key=lambda run: run.facts["seed"]) for group in groups]
    return [Recipe(label, group) for label, group in zip(labels, ordered, strict=True)]


def check_comparable(runs: Sequence[Run]) -> None:
    """Makes sure that the runs scored the same masks in the same way.

    Raises:
        ConfigError: naming what differs between which two folders.
    """
    first = runs[0]
    for run in runs[1:]:
        for what, mine, other in (
            ("evaluation.dilation_ratio", first.facts["dilation_ratio"], run.facts["dilation_ratio"]),
            ("validation prompts (val_prompts)", first.config["val_prompts"], run.config["val_prompts"]),
            ("validation sets", _sets(first), _sets(run)),
        ):
            if mine != other:
                raise ConfigError(
                    f"runs: expected runs of one {what}; {first.folder} has {mine}, {run.folder} has {other}; "
                    "make a report for each"
                )
        differing = _first_differing_mask(first, run)
        if differing is not None:
            raise ConfigError(
                f"runs: expected the same masks in the validation sets; {differing} of {first.folder} is not that of "
                f"{run.folder}; make a report for each"
            )


def describe_set(masks: Sequence[MaskScores]) -> str:
    """Such as "100 images, 112 masks: 60 thin, 52 solid"."""
    images, thin = len({mask.sample_id for mask in masks}), sum(mask.thin for mask in masks)
    return f"{images} images, {len(masks)} masks: {thin} thin, {len(masks) - thin} solid"


def by_dataset(masks: Sequence[MaskScores]) -> dict[str, list[MaskScores]]:
    """The masks of each set, in the order of the file."""
    sets: dict[str, list[MaskScores]] = {}
    for mask in masks:
        sets.setdefault(mask.dataset, []).append(mask)
    return sets


def _require_same_rows(first: Run, run: Run) -> None:
    if set(first.rows) != set(run.rows):
        raise ConfigError(
            f"runs: expected the same methods in the runs of one recipe; {first.folder} scored {first.rows}, "
            f"{run.folder} {run.rows}; leave one out"
        )


def _labels(runs: Sequence[Run]) -> list[str]:
    names = [str(run.facts["name"]) for run in runs]
    if len(set(names)) == len(names):
        return names
    keys = list(dict.fromkeys(key for run in runs for key in run.recipe_keys))
    differing = [key for key in keys if any(run.recipe_keys.get(key) != runs[0].recipe_keys.get(key) for run in runs)]
    labels = [_label(run, differing[:KEYS_IN_LABEL], _short) for run in runs]
    if len(set(labels)) < len(labels):
        labels = [_label(run, differing, str) for run in runs]
    return _distinct(labels)


def _distinct(labels: Sequence[str]) -> list[str]:
    """Numbers those that are the same, as of 1 and "1": entries are looked up by label."""
    repeated = {label for label, count in Counter(labels).items() if count > 1}
    return [f"{label} #{place}" if label in repeated else label for place, label in enumerate(labels, start=1)]


def _label(run: Run, keys: Sequence[str], write: Callable[[Any], str]) -> str:
    """Such as "quickstart (lr=0.001, fusion_width=2)": keys by their last part where that tells them apart."""
    ends = [key.rsplit(".", 1)[-1] for key in keys]
    names = ends if len(set(ends)) == len(ends) else keys
    values = (f"{name}={write(run.recipe_keys.get(key))}" for name, key in zip(names, keys, strict=True))
    return f"{run.facts['name']} ({', '.join(values)})"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def describe_sam(run: Run) -> str:
    """The run's frozen SAM, such as "nano with weights de953d5bd46b in fp32"."""
    precision = run.config["sam"]["precision"]
    return f"{run.facts['sam']} with weights {run.facts['sam_sha256'][:12]} in {precision}"


def _sets(run: Run) -> str:
    return "; ".join(f"{name} ({describe_set(masks)})" for name, masks in sorted(by_dataset(run.masks).items()))


def _first_differing_mask(first: Run, second: Run) -> str | None:
    """Masks are told apart by their names and, since scenes of another seed have the same names, by their shape."""
    shapes = [{(m.dataset, m.sample_id, m.mask): m.thinness for m in run.masks} for run in (first, second)]
    keys = [key for key in shapes[0] if shapes[0][key] != shapes[1].get(key)]
    return f"mask {keys[0][2]} of {keys[0][1]}" if keys else None
