"""Problems with a set's files, reported all at once."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hqsam_lightning.errors import DataError
from hqsam_lightning.escaping import printable

CHECKS = ("quick", "full")
"""How thoroughly files are checked at the start: their headers and a sample, or every file decoded."""

MOST_SHOWN = 20
"""How many problems an error lists; the rest are counted."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict, _short.maxstring, _short.maxother = 3, 8, 4, 60, 60


def shown(value: object) -> str:
    """A value as an error message shows it: short however long or nested it is, and printable."""
    return _short.repr(value)


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first names, printable, and dots where there are more."""
    return printable(", ".join(names[:most])) + (", ..." if len(names) > most else "")


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, evenly spread, including the first."""
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]


def attempt_all(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> list[Result | str]:
    """Calls a function for each item, in parallel; where it raises a `DataError`, gives its message instead."""

    def attempt(item: Item) -> Result | str:
        try:
            return function(item)
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(attempt, items))


class ProblemsError(DataError):
    """A set has several problems, of which the message shows some.

    Args:
        message: with the first problems.
        problems: all of them.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


def raise_problems(title: str, problems: Sequence[str], remedy: str) -> None:
    """Raises one `ProblemsError` for all problems, a line each, if there are any.

    Args:
        title: which file or key they are in.
        problems: the lines.
        remedy: what to do, as the end of the first line.
    """
    if problems:
        raise ProblemsError(as_lines(f"{title}: {len(problems)} problem(s); {remedy}", problems), problems)


def as_lines(title: str, problems: Sequence[str]) -> str:
    """A title and the first problems, a line each, with how many there are more."""
    lines = [title, *problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        lines.append(f"and {len(problems) - MOST_SHOWN} more")
    return "\n  - ".join(lines)


def describe_counts(counts: Mapping[str, int]) -> str:
    """Lists how many there are of what, leaving out zeros: ``"3 crowds, 1 photos without an instance"``."""
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing"
