"""A part of the sweep over damaged and odd inputs; docs/robustness.md has the whole of it."""

from pathlib import Path

import pytest

from robustness.sweep import run_target
from robustness.targets import TARGETS

SHARE = 0.03


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_are_used_or_refused(tmp_path: Path, name: str) -> None:
    count = round(TARGETS[name].inputs * SHARE)
    result = run_target(name, count, seed=1, folder=tmp_path)
    assert result["faults"] == []
    assert result.get("refused", 0) > 0, "nothing was damaged enough"
    assert result.get("used", 0) > 0, "nothing was sound enough"
