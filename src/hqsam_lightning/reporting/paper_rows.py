"""Rows of the paper's tables among the recipes of a report."""

from __future__ import annotations

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.table import BASELINE
from hqsam_lightning.recipe import flatten
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.paper import Agreement, PaperRow
from hqsam_lightning.reporting.runs import Recipe

MISSING = "missing"
MOST_PAIRS = 5


def recipe_of_row(summary: Summary, row: PaperRow) -> Recipe | None:
    """The recipe that the row is from; None where it is missing. Plain SAM is the same in all that fit."""
    found = []
    for recipe in summary.recipes:
        values = flatten(recipe.runs[0].config)
        conditions = [row.when, *([row.miniature] if row.miniature else [])]
        fits = any(all(values.get(key) == value for key, value in each.items()) for each in conditions)
        if fits and any(variant == row.variant for variant, _ in recipe.rows):
            found.append(recipe)
    if len(found) > 1 and row.variant != BASELINE:
        raise ConfigError(
            f"runs: expected each row of the table in one recipe; {row.name} is in {found[0].label} and "
            f"{found[1].label}; make a report for each"
        )
    return found[0] if found else None


def describe_agreement(agreement: Agreement) -> str:
    """Whether the order is the paper's, and the first `MOST_PAIRS` pairs that are not."""
    if agreement.tau is None:
        return f"{agreement.compared} row(s) to compare, which have no order."
    numbers = f"Kendall's tau {agreement.tau:.2f} over {agreement.compared} rows"
    if not agreement.swapped:
        return f"the order agrees with the paper's ({numbers})."
    pairs = "; ".join(f"{lower} is above {upper}" for upper, lower in agreement.swapped[:MOST_PAIRS])
    more = len(agreement.swapped) - MOST_PAIRS
    others = f"; and {more} more pairs" if more > 0 else ""
    return f"the order does not agree with the paper's ({numbers}). Here, and not in the paper, {pairs}{others}."
