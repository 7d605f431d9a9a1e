"""Lines in a log where no terminal shows a bar: when they are due, and what they estimate."""

import logging

import pytest

from hqsam_lightning.runtime.progress import Pace, clock_time, track


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def due(pace: Pace, clock: Clock, steps: int, seconds_per_step: float, first: int = 1) -> list[int]:
    lines = []
    for step in range(first, steps + 1):
        clock.now += seconds_per_step
        if pace.is_due(step):
            lines.append(step)
    return lines


@pytest.mark.parametrize(
    ("total", "every_steps", "seconds_per_step", "expected"),
    [
        (20, None, 0.1, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20]),
        (7, None, 0.1, [1, 2, 3, 4, 5, 6, 7]),
        (10, 4, 0.1, [4, 8, 10]),
        (100, 50, 10.0, [*range(6, 51, 6), 50, *range(56, 99, 6), 100]),
        (3, None, 100.0, [1, 2, 3]),
    ],
)
def test_a_line_comes_every_tenth_and_at_least_once_a_minute(total, every_steps, seconds_per_step, expected) -> None:
    clock = Clock()
    lines = due(Pace(total, 0, every_steps, 60, clock), clock, total, seconds_per_step)
    assert lines == sorted(set(expected))


def test_a_run_of_unknown_length_has_lines_by_time() -> None:
    clock = Clock()
    pace = Pace(None, every_seconds=60, clock=clock)
    assert due(pace, clock, 20, 13.0) == [5, 10, 15, 20]
    assert pace.left(20) == ""


@pytest.mark.parametrize(("done_before", "done", "left"), [(0, 10, "1:30"), (50, 60, "0:40"), (90, 100, "0:00")])
def test_the_remaining_time_goes_by_the_steps_of_this_process(done_before: int, done: int, left: str) -> None:
    clock = Clock()
    pace = Pace(100, done_before, clock=clock)
    assert pace.left(done_before) == ""
    clock.now = 10.0
    assert pace.left(done) == f", {left} left"


def test_times_are_read_as_on_a_clock() -> None:
    assert [clock_time(value) for value in (0, 59.6, 63, 3723.4, 360000)] == [
        "0:00",
        "1:00",
        "1:03",
        "1:02:03",
        "100:00:00",
    ]


def test_work_is_tracked_in_the_log_where_there_is_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(track(range(10), "encoding", every_seconds=1e9)) == list(range(10))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(",")[0] for line in lines] == [f"encoding: {done}/10 ({10 * done} %)" for done in range(1, 11)]
    assert lines[-1].endswith("0:00 left")


def test_nothing_to_track_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(track([], "encoding")) == []
    assert not caplog.records
