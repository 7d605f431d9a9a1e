"""Tables and facts as they are written in Markdown; text of users shows as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from hqsam_lightning.escaping import escape_markdown, printable


def markdown_table(table: pd.DataFrame) -> list[str]:
    """Lines of a table of texts, escaped; pandas' own writer, which needs tabulate, does not escape."""
    rows = [[escape_markdown(str(cell)) for cell in row] for row in (table.columns, *table.to_numpy())]
    head, *body = [f"| {' | '.join(cells)} |" for cells in rows]
    return [head, "|" + " --- |" * len(table.columns), *body, ""]


def fact_lines(facts: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> list[str]:
    """A list of keys and values."""
    pairs = facts.items() if isinstance(facts, Mapping) else facts
    return [*(f"- {escape_markdown(f'{key.strip()}: {value}')}" for key, value in pairs), ""]


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
