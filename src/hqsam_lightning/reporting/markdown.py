"""Tables and numbers as they are written in Markdown and on the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hqsam_lightning.escaping import escape_markdown, printable

NOTHING = "-"


def markdown_table(cells: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table whose first row is its head.

    Args:
        cells: Markdown; text of users is escaped before, see `hqsam_lightning.escaping`.
    """
    head, *body = cells
    rule = "|" + " --- |" * len(head)
    return [_line(head), rule, *(_line(row) for row in body)]


def heading(level: int, text: str) -> str:
    """A heading of plain text."""
    # number signs at the end would be taken for the heading's own
    escaped = re.sub("#+$", lambda match: "\\" + match[0], escape_markdown(text).strip())
    return f"{'#' * level} {escaped}"


def code_span(text: str) -> str:
    """Text as code on one line, whatever backticks it holds."""
    line = printable(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    # a space beside a backtick is taken off again; so is one on both sides of other text
    padded = f" {line} " if line.startswith(("`", " ")) or line.endswith(("`", " ")) else line
    return f"{fence}{padded}{fence}"


def percent(value: float) -> str:
    """0.1234 -> "12.3"."""
    return f"{100 * value:.1f}"


def interval(mean: float, low: float | None, high: float | None) -> str:
    """A difference in points with its interval, such as "+3.1 [2.0, 4.2]"."""
    text = f"{100 * mean:+.1f}"
    return text if low is None or high is None else f"{text} [{percent(low)}, {percent(high)}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
