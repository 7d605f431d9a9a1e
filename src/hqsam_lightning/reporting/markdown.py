"""Tables and numbers as they are written in Markdown and on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

NOTHING = "-"


def markdown_table(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first row is its head."""
    head, *body = cells
    rule = "|" + " --- |" * len(head)
    return [_line(head), rule, *(_line(row) for row in body)]


def percent(value: float) -> str:
    """0.1234 -> "12.3"."""
    return f"{100 * value:.1f}"


def interval(mean: float, low: float | None, high: float | None) -> str:
    """A difference in points with its interval, such as "+3.1 [2.0, 4.2]"."""
    text = f"{100 * mean:+.1f}"
    return text if low is None or high is None else f"{text} [{percent(low)}, {percent(high)}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
