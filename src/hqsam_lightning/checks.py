"""Types and ranges of values, shared by constructors and the schema of the config.

A check is an `Expected`: a phrase that says what is wanted, and whether a value is that. Booleans are not numbers,
NumPy's numbers are; NaN and infinity are refused.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from hqsam_lightning.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_NAME = 255
"""Maximum number of bytes that file systems allow in one part of a path."""
SHOWN = 80
"""Characters of a value that an error shows."""


@dataclass(frozen=True)
class Expected:
    """What a value has to be.

    Attributes:
        text: a phrase for errors, after "expected".
        accepts: whether a value is that.
    """

    text: str
    accepts: Callable[[Any], bool]

    def problem(self, value: object) -> str | None:
        """Describes a value that is not accepted; None for one that is."""
        return None if self.accepts(value) else f"expected {self.text}; got {show(value)}"


def show(value: object) -> str:
    """The value as errors print it, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def require(key: str, value: object, expected: Expected) -> None:
    """Raises a `ConfigError` that names the key unless the value is what is expected."""
    if problem := expected.problem(value):
        raise ConfigError(f"{key}: {problem}")


def arguments(section: str, **expected: Expected) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates a constructor or builder with what its arguments have to be.

    A call with another value raises a `ConfigError`; the schema reads the same declaration, so that a config is checked
    before anything is built.

    Args:
        section: of the config, which begins the keys in errors, e.g. ``"loss"``.
        **expected: by argument.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs).arguments
            for name, what in expected.items():
                if name in given:
                    require(f"{section}.{name}", given[name], what)
            return function(*args, **kwargs)

        wrapper.__expects__ = expected  # type: ignore[attr-defined]
        return wrapper

    return decorate


def integer(least: int | None = None, most: int | None = None) -> Expected:
    """An integer in [least, most]; None leaves a side open."""
    bounds = {(True, False): f" >= {least}", (False, True): f" <= {most}", (True, True): f" from {least} to {most}"}

    def accepts(value: Any) -> bool:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool):
            return False
        return (least is None or int(value) >= least) and (most is None or int(value) <= most)

    return Expected("an integer" + bounds.get((least is not None, most is not None), ""), accepts)


def number(low: float = -math.inf, high: float = math.inf, *, above: bool = False, below: bool = False) -> Expected:
    """A finite number.

    Args:
        low: minimum.
        high: maximum.
        above: whether low itself is refused.
        below: whether high itself is refused.
    """
    text = "a finite number"
    if math.isfinite(high):
        text = f"a number in {'(' if above else '['}{low:g}, {high:g}{')' if below else ']'}"
    elif math.isfinite(low):
        text = f"a finite number {'>' if above else '>='} {low:g}"

    def accepts(value: Any) -> bool:
        if not isinstance(value, numbers.Real) or isinstance(value, bool) or not math.isfinite(value):
            return False
        size = float(value)
        return (low < size if above else low <= size) and (size < high if below else size <= high)

    return Expected(text, accepts)


def boolean() -> Expected:
    """True or false."""
    return Expected("true or false", lambda value: isinstance(value, bool))


def choice(*choices: Any) -> Expected:
    """One of a few values, compared together with their types: 1 is not true."""
    words = {None: "null", True: "true", False: "false"}
    shown = ", ".join(words[each] if each is None or isinstance(each, bool) else str(each) for each in choices)
    return Expected(
        f"one of {shown}" if len(choices) > 1 else shown,
        lambda value: any(type(value) is type(each) and value == each for each in choices),
    )


def text(least: int = 0, most: int | None = None) -> Expected:
    """A string that a UTF-8 file can hold, of some length."""
    phrase = "text" + (" that is not empty" if least else "") + (f" of at most {most} characters" if most else "")
    return Expected(phrase, lambda value: _is_writable(value) and least <= len(value) <= (most or math.inf))


def path() -> Expected:
    """A path that a file system can take."""
    return where(
        text(1),
        "a path (text, not empty, no part of it longer than 255 bytes)",
        lambda value: bool(value.strip()) and all(len(part.encode()) <= LONGEST_NAME for part in value.split("/")),
    )


def _is_writable(value: Any) -> bool:
    """Whether the value is text that a UTF-8 file and a file system can hold."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def list_of(item: Expected, least: int = 0, most: int | None = None) -> Expected:
    """A list or tuple of some length, each of its items as expected."""
    length = f"{least} " if least == most else f"at least {least} " if least > 1 else ""
    phrase = f"a list of {length}items, each {item.text}" + (", not empty" if least == 1 and most != 1 else "")

    def accepts(value: Any) -> bool:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            return False
        return least <= len(value) <= (math.inf if most is None else most) and all(map(item.accepts, value))

    return Expected(phrase, accepts)


def mapping_of(item: Expected, keys: Sequence[str] | None = None) -> Expected:
    """A mapping with text as keys, each of its values as expected; None allows any keys."""
    names = f" of {', '.join(keys)}" if keys is not None else ""

    def accepts(value: Any) -> bool:
        if not isinstance(value, Mapping):
            return False
        named = all(isinstance(key, str) and (keys is None or key in keys) for key in value)
        return named and all(map(item.accepts, value.values()))

    return Expected(f"a mapping{names}, each value {item.text}", accepts)


def optional(item: Expected) -> Expected:
    """Null, or what is expected."""
    return Expected(f"{item.text}, or null", lambda value: value is None or item.accepts(value))


def either(*options: Expected) -> Expected:
    """Any of several."""
    return Expected(
        " or ".join(option.text for option in options),
        lambda value: any(option.accepts(value) for option in options),
    )


def anything() -> Expected:
    """Any value."""
    return Expected("anything", lambda value: True)


def where(item: Expected, phrase: str, holds: Callable[[Any], bool]) -> Expected:
    """What is expected, with a condition on its value.

    Args:
        item: that the value has to be first.
        phrase: the whole phrase for errors.
        holds: of values that the item accepts.
    """
    return Expected(phrase, lambda value: item.accepts(value) and holds(value))


def share_or_count() -> Expected:
    """Part of a whole, as a share or as a number of its items."""
    return Expected("a share in [0, 1), or an integer >= 1", either(number(0, 1, below=True), integer(1)).accepts)


def rising_pair() -> Expected:
    """Two integers, the first at least 1 and the second no smaller."""
    return where(
        list_of(integer(1), 2, 2),
        "two integers [least, most], 1 <= least <= most",
        lambda pair: pair[0] <= pair[1],
    )
