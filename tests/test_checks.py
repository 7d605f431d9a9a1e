"""Types and ranges that constructors and the schema share."""

import numpy as np
import pytest

from hqsam_lightning import checks
from hqsam_lightning.errors import ConfigError


@pytest.mark.parametrize(
    ("expected", "good", "bad"),
    [
        (checks.integer(1), [1, 10**12, np.int64(3), np.uint8(1)], [0, -1, 1.0, True, "1", None, np.float32(2), [1]]),
        (checks.integer(0, 5), [0, 5], [6, -1, np.int32(6)]),
        (checks.number(0, 1), [0, 1, 0.5, np.float32(0.25)], [-0.1, 1.5, float("nan"), False, "0.5", None]),
        (checks.number(0, above=True), [1e-30, 3], [0, -1, float("inf"), float("-inf")]),
        (checks.number(0, 1, below=True), [0, 0.999], [1, 1.0]),
        (checks.boolean(), [True, False], [0, 1, "true", None]),
        (checks.choice("a", 1, None), ["a", 1, None], [True, "1", "b", 1.0]),
        (checks.text(1, 3), ["abc"], ["", "abcd", 3, None, "a\0b"]),
        (checks.path(), ["/a/b c (1)", "~/x", "é" * 100], ["", "  ", "a\0", "x" * 256, 5, None, "é" * 200]),
        (checks.list_of(checks.integer(1), 1, 2), [[1], (1, 2)], [[], [0], [1, 2, 3], "12", {1: 1}, None]),
        (checks.mapping_of(checks.integer(0), ["a"]), [{}, {"a": 0}], [{"b": 0}, {"a": -1}, [("a", 0)], None]),
        (checks.optional(checks.integer()), [None, 3], ["null", 0.5]),
        (checks.either(checks.boolean(), checks.integer(5)), [True, 5], [4, "x"]),
        (checks.rising_pair(), [[1, 3], (2, 2)], [[3, 1], [0, 1], [1], [1, 2, 3], [1, 2.0], 3]),
    ],
)
def test_what_is_accepted(expected: checks.Expected, good: list, bad: list) -> None:
    assert [value for value in good if not expected.accepts(value)] == []
    assert [value for value in bad if expected.accepts(value)] == []


def test_the_error_names_key_value_and_range() -> None:
    with pytest.raises(ConfigError, match=r"^a\.b: expected an integer from 1 to 4; got 7$"):
        checks.require("a.b", 7, checks.integer(1, 4))
    with pytest.raises(ConfigError, match=r"^a\.b: expected a number in \(0, 2\]; got nan$"):
        checks.require("a.b", float("nan"), checks.number(0, 2, above=True))
    with pytest.raises(ConfigError, match=r"^a: expected true or false; got 'xxx.*\(5002 characters\)$"):
        checks.require("a", "x" * 5000, checks.boolean())


def test_declared_arguments_are_checked_however_they_are_given() -> None:
    class Part:
        @checks.arguments("part", size=checks.integer(1))
        def __init__(self, size: int = 1, note: str = "") -> None:
            self.size = size

    assert (Part().size, Part(2).size, Part(size=np.int64(3)).size) == (1, 2, 3)
    for arguments, named in (((0,), {}), ((), {"size": True}), ((1.5,), {"note": "x"})):
        with pytest.raises(ConfigError, match=r"^part\.size: expected an integer >= 1; got "):
            Part(*arguments, **named)


@pytest.mark.parametrize("value", ["\ud800", "a/\udce9.png", "x\0"])
def test_text_that_no_file_can_hold_is_no_text_and_no_path(value: str) -> None:
    assert not checks.path().accepts(value)
    assert not checks.text().accepts(value)
