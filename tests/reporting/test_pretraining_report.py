"""The weights file is what was scored and what build_sam loads; the tables say the numbers."""

import copy
from pathlib import Path

import torch
from safetensors.torch import load_file

from hqsam_lightning.errors import DataError
from hqsam_lightning.reporting.pretraining_report import (
    METRICS_KIND,
    METRICS_VERSION,
    round_to_half,
    write_results,
)
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.sam.shipped import save_shipped
from hqsam_lightning.storage.files import read_document

SCORES = {"filled_box": 0.5, "box": 0.8125, "point": 0.25}


def test_the_file_holds_what_was_scored(tiny_sam: FrozenSam, tmp_path: Path) -> None:
    sam = copy.deepcopy(tiny_sam.sam)
    before = {name: value.clone() for name, value in sam.state_dict().items()}
    round_to_half(sam)
    save_shipped(sam, tmp_path / "sam.safetensors")
    stored = load_file(tmp_path / "sam.safetensors")
    assert stored.keys() == sam.state_dict().keys()
    changed = 0
    for name, value in sam.state_dict().items():
        assert value.dtype == torch.float32
        assert stored[name].dtype == torch.float16
        assert torch.equal(stored[name].float(), value), name
        assert torch.allclose(value, before[name], rtol=1e-3, atol=1e-6), name
        changed += not torch.equal(value, before[name])
    assert changed


def test_tables(tmp_path: Path) -> None:
    write_results(tmp_path, SCORES, {"steps": 7}, {"seed": 3})
    assert read_document(tmp_path / "metrics.json", METRICS_KIND, METRICS_VERSION, DataError, "") == {
        "run": {"steps": 7},
        "rows": [{"prompt": name, "miou": value} for name, value in SCORES.items()],
        "config": {"seed": 3},
    }
    text = (tmp_path / "results.md").read_text()
    assert "| filled box (no model) | 50.0 |\n| box | 81.2 |\n| 1 point | 25.0 |" in text
    assert "- steps: 7" in text
