"""Run folders as read, which of them are one recipe at several seeds, and whether they can stand in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.table import WHOLE_SET, Row, of_objects, rows_of
from hqsam_lightning.recipe import recipe_of, without
from hqsam_lightning.reporting.metric_facts import MetricFacts

KEYS_IN_LABEL = 3  # more where these do not tell the recipes apart
SAM_NAME = "sam.name"
MASK = ["dataset", "sample", "mask"]


@dataclass(frozen=True)
class Run:
    """What a run left in its folder.

    Attributes:
        folder: as given.
        facts: command, date, seed, SAM, ...
        config: resolved, as plain values.
        table: of scores, see `hqsam_lightning.evaluation.table`.
        metrics: of the table, by name.
    """

    folder: Path
    facts: dict[str, Any]
    config: dict[str, Any]
    table: pd.DataFrame
    metrics: dict[str, MetricFacts]

    @property
    def recipe_keys(self) -> dict[str, Any]:
        """The run's recipe but for its seed, see `recipe_of`."""
        sam, data = (str(self.facts.get(key))[:12] for key in ("sam_sha256", "data_sha256"))
        begun_from = {name: sha256[:12] for name, sha256 in self.facts.get("begun_from", {}).items()}
        return without(recipe_of(self.config, sam, data, begun_from), ("seed",))

    @property
    def sam(self) -> str:
        """Its frozen SAM, such as "nano with weights de953d5bd46b in fp32"."""
        return f"{self.facts['sam']} with weights {self.facts['sam_sha256'][:12]} in {self.config['sam']['precision']}"


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
        return rows_of(self.runs[0].table)

    @property
    def metric(self) -> str:
        """What the runs chose their best checkpoints by; otherwise the last metric of their tables."""
        run = self.runs[0]
        chosen = run.config.get("evaluation", {}).get("metric")
        return chosen if chosen in run.metrics else list(run.metrics)[-1]

    def shown_row(self, variant: str, output: str | None = None) -> Row:
        """A variant's row by an output, or by its first one where it has no such; None is the output of the runs."""
        wanted = output or str(self.runs[0].facts["output"])
        outputs = [each for name, each in self.rows if name == variant]
        return variant, wanted if wanted in outputs else outputs[0]

    @property
    def shown_rows(self) -> list[Row]:
        """Each variant's row by the output of the runs."""
        return [self.shown_row(variant) for variant in dict.fromkeys(variant for variant, _ in self.rows)]


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
        for what, of in (
            ("metrics", lambda each: each.config["metrics"]),
            ("validation prompts (val_prompts)", lambda each: each.config["val_prompts"]),
            ("validation sets", _sets),
        ):
            if of(first) != of(run):
                raise ConfigError(
                    f"runs: expected runs of one {what}; {first.folder} has {of(first)}, {run.folder} has {of(run)}; "
                    "make a report for each"
                )
        differing = _first_differing_mask(first, run)
        if differing is not None:
            raise ConfigError(
                f"runs: expected the same masks in the validation sets; {differing} of {first.folder} is not that of "
                f"{run.folder}; make a report for each"
            )


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """The keys of the runs' recipes in which any two of them differ."""
    recipes = [run.recipe_keys for run in runs]
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    return [key for key in keys if any(recipe.get(key) != recipes[0].get(key) for recipe in recipes)]


def shorten(value: Any) -> str:
    """A key's value as labels and plots show it: three digits of a float."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def describe_set(table: pd.DataFrame) -> str:
    """Such as "100 images, 112 masks: 60 thin, 52 solid"; "the whole set" where no mask has scores of its own."""
    masks = table[table["sample"] != WHOLE_SET].drop_duplicates(MASK)
    if masks.empty:
        return "the whole set"
    counts = (len(of_objects(masks, group)) for group in ("all", "thin", "solid"))
    return "{} images, {} masks: {} thin, {} solid".format(masks["sample"].nunique(), *counts)


def _require_same_rows(first: Run, run: Run) -> None:
    rows = [rows_of(each.table) for each in (first, run)]
    if set(rows[0]) != set(rows[1]):
        raise ConfigError(
            f"runs: expected the same methods in the runs of one recipe; {first.folder} scored {rows[0]}, "
            f"{run.folder} {rows[1]}; leave one out"
        )


def _labels(runs: Sequence[Run]) -> list[str]:
    """The runs' names; those of one name with the keys in which these differ."""
    named: dict[str, list[Run]] = {}
    for run in runs:
        named.setdefault(str(run.facts["name"]), []).append(run)
    labels = {id(run): label for group in named.values() for run, label in zip(group, _labels_of(group), strict=True)}
    return _distinct([labels[id(run)] for run in runs])


def _labels_of(runs: Sequence[Run]) -> list[str]:
    """Labels of runs of one name."""
    if len(runs) == 1:
        return [str(runs[0].facts["name"])]
    differing = differing_keys(runs)
    labels = [_label(run, _telling(differing)[:KEYS_IN_LABEL], shorten) for run in runs]
    return labels if len(set(labels)) == len(labels) else [_label(run, differing, str) for run in runs]


def _telling(differing: Sequence[str]) -> list[str]:
    """The keys without what SAM's name stands for where that differs."""
    is_named = SAM_NAME in differing
    return [key for key in differing if key == SAM_NAME or not (is_named and key.startswith("sam."))]


def _distinct(labels: Sequence[str]) -> list[str]:
    """Numbers those that are the same, as of 1 and "1": numbers are looked up by label."""
    repeated = {label for label, count in Counter(labels).items() if count > 1}
    return [f"{label} #{place}" if label in repeated else label for place, label in enumerate(labels, start=1)]


def _label(run: Run, keys: Sequence[str], write: Callable[[Any], str]) -> str:
    """Such as "quickstart (lr=0.001, fusion_width=2)": keys by their last part where that tells them apart."""
    ends = ["sam" if key == SAM_NAME else key.rsplit(".", 1)[-1] for key in keys]
    names = ends if len(set(ends)) == len(ends) else keys
    values = (f"{name}={write(run.recipe_keys.get(key))}" for name, key in zip(names, keys, strict=True))
    return f"{run.facts['name']} ({', '.join(values)})"


def _sets(run: Run) -> str:
    return "; ".join(f"{name} ({describe_set(table)})" for name, table in run.table.groupby("dataset"))


def _first_differing_mask(first: Run, second: Run) -> str | None:
    """Masks are told apart by their names and, since scenes of another seed have the same names, by their shape."""
    shapes = [run.table.drop_duplicates(MASK)[[*MASK, "thinness"]] for run in (first, second)]
    both = shapes[0].merge(shapes[1], on=[*MASK, "thinness"], how="left", indicator=True)
    differing = both[both["_merge"] == "left_only"]
    return None if differing.empty else f"mask {differing['mask'].iloc[0]} of {differing['sample'].iloc[0]}"
