"""Puts runs into tables and plots: `python -m hqsam_lightning.report runs='[outputs/a, outputs/b]' out=FOLDER`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, conf_dir, run_hydra
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.reporting.report_files import write_report
from hqsam_lightning.reporting.runs import check_comparable, find_runs, group_runs, read_run
from hqsam_lightning.reporting.summary import Summary
from hqsam_lightning.schema import check_config


def report(config: DictConfig) -> Summary:
    """Reads the runs and writes report.md, report.html, report.csv and recall.png.

    Args:
        config: composed from conf/report.yaml.

    Returns:
        The report's numbers.

    Raises:
        HQSamError: for a folder without a finished run, or runs that cannot stand in one table.
    """
    if not config.runs:
        raise ConfigError("runs: expected folders of finished runs, got none; give runs='[outputs/a, outputs/b]'")
    paper = read_paper_table(Path(config.table).expanduser()) if config.table else None
    runs = [read_run(folder) for given in config.runs for folder in find_runs(Path(given).expanduser())]
    check_comparable(runs)
    summary = Summary(group_runs(runs))
    command = shlex.join(["python", "-m", "hqsam_lightning.report", *sys.argv[1:]])
    write_report(Path(config.out).expanduser(), summary, paper, command)
    print(f"report in {config.out}")
    return summary


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="report")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    report(check_config(config, "report"))


if __name__ == "__main__":
    run_hydra(main, "report")
