"""Measures this machine: `python -m benchmarks 'cases=[encoder, step]'`, from the root of a checkout."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.utils import to_absolute_path
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from benchmarks.boxes_case import boxes
from benchmarks.cases import Case, Row, encoder, inference, masks, step, variants
from benchmarks.data_cases import boundary, evaluation, loader, reader
from benchmarks.plot import save_plot
from benchmarks.predict_case import predict
from hqsam_lightning.checks import Expected, boolean, choice, integer, list_of, optional, path, require, text
from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError, choice_error
from hqsam_lightning.run_names import command_facts
from hqsam_lightning.runtime.code_facts import version_facts
from hqsam_lightning.sam.base import PRECISIONS

CASES: dict[str, Case] = {
    case.__name__: case
    for case in (encoder, inference, step, variants, masks, reader, loader, boundary, evaluation, boxes, predict)
}
PEERS = {
    "encoder": ("transformers",),
    "inference": ("transformers",),
    "step": ("segment_anything_hq",),
    "predict": ("segment_anything_hq", "transformers"),
}
COLUMNS = ("contestant", "seconds", "spread", "speed", "over", "peak GiB")
CONFIG_DIR = Path(__file__).parent
RULES: dict[str, Expected] = {
    "cases": list_of(text(1), least=1),
    "rounds": integer(1),
    "batch_size": integer(1),
    "num_points": integer(1),
    "images": list_of(integer(1), least=1),
    "precisions": list_of(choice(*PRECISIONS), least=1),
    "compiled": boolean(),
    "precision": choice(*PRECISIONS),
    "workers": list_of(integer(1), least=1),
    "variants": list_of(integer(1), least=1),
    "masks": list_of(integer(1), least=1),
    "photos": optional(path()),
    "max_photos": integer(1),
}


def benchmark(config: DictConfig) -> list[Row]:
    """Runs the cases that the config names, printing and writing each as it ends.

    Args:
        config: composed from benchmark.yaml.

    Raises:
        ConfigError: a value is out of its range, a case is unknown, or its peer is not installed.
    """
    for key, expected in RULES.items():
        value = config[key]
        require(key, OmegaConf.to_object(value) if OmegaConf.is_config(value) else value, expected)
    unknown = [name for name in config.cases if name not in CASES]
    if unknown:
        raise choice_error("cases", unknown[0], list(CASES))
    for name in config.cases:
        absent = [package for package in PEERS.get(name, ()) if find_spec(package) is None]
        if absent:
            raise ConfigError(
                f"cases: {name} compares with {absent[0]}, which is not installed; "
                "pip install 'hqsam-lightning[dev]', or leave the case out"
            )
    folder = Path(to_absolute_path(config.paths.output_dir))
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for name in config.cases:
        measured = CASES[name](config)
        _print(measured)
        rows += measured
        facts = _facts(config)
        (folder / "benchmark.json").write_text(json.dumps({"run": facts, "rows": [asdict(r) for r in rows]}, indent=2))
    save_plot(rows, folder / "benchmark.png")
    print(f"results in {folder}")
    return rows


def _print(rows: list[Row]) -> None:
    """Prints one table per case, and its notes below it, where they leave room for the numbers."""
    for case in dict.fromkeys(row.case for row in rows):
        table = Table(*COLUMNS, title=case)
        chosen = [row for row in rows if row.case == case]
        for row in chosen:
            memory = "" if row.memory is None else f"{row.memory:.2f}"
            table.add_row(
                row.name, f"{row.seconds:.3f}", f"{row.spread:.0%}", f"{row.speedup:.2f}x", row.reference, memory
            )
        Console().print(table)
        for row in chosen:
            if row.note:
                print(f"  {row.name}: {row.note}")


def _facts(config: DictConfig) -> dict[str, Any]:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    return {
        **command_facts("benchmarks"),
        "device": device,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "sam": config.sam.name,
        "image_size": config.sam.image_size,
        "batch_size": config.batch_size,
        "rounds": config.rounds,
        **version_facts(),
    }


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="benchmark")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    benchmark(config)


if __name__ == "__main__":
    # the groups are in conf/, the primary config is beside this file
    sys.argv[1:1] = ["--config-dir", str(CONFIG_DIR)]
    run_hydra(main, "benchmark")
