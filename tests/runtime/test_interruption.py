"""What stopped a run, and one line about it."""

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from hqsam_lightning.errors import ConfigError, StorageError
from hqsam_lightning.runtime.interruption import describe_error, interruption_status


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def within(error: BaseException, context: BaseException) -> BaseException:
    error.__context__ = context
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        *((SystemExit(code), None) for code in (0, 1, 2, 128, None, "text")),
        *((SystemExit(code), code) for code in (129, 130, 138, 143)),
        (KeyboardInterrupt(), 130),
        (within(SystemExit(1), KeyboardInterrupt()), 130),
        (SIGTERMException(), 143),
        (within(SystemExit(0), SIGTERMException()), 143),
        (caused(RuntimeError(), within(ValueError(), SystemExit(143))), 143),
        (within(SystemExit(1), ConfigError("a")), None),
        (RuntimeError("a"), None),
    ],
)
def test_signals_are_told_from_failures(error: BaseException, status: int | None) -> None:
    assert interruption_status(error) == status


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (within(SystemExit(1), caused(RuntimeError("in hydra"), ConfigError("a.b: expected 1"))), "a.b: expected 1"),
        (within(SystemExit(1), KeyError("a")), "KeyError: 'a'"),
        (SystemExit(3), "it ended with status 3"),
        (StorageError("a: full"), "a: full"),
        (RuntimeError("two\nlines\tand \x1b[31m"), "RuntimeError: two lines and  [31m"),
        (RuntimeError("caf\udce9"), "RuntimeError: caf\\udce9"),
        (RuntimeError("x" * 10_000), f"RuntimeError: {'x' * 486}"),
    ],
)
def test_errors_are_one_line(error: BaseException, text: str) -> None:
    assert describe_error(error) == text


def test_a_circle_of_causes_ends() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first
    assert interruption_status(first) is None
    assert describe_error(first) == "RuntimeError: a"
