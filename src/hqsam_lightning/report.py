"""Puts runs into tables and plots: `python -m hqsam_lightning.report runs='[outputs/a, outputs/b]' out=FOLDER`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import choice_error
from hqsam_lightning.reporting.comparison import paper_section
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.reporting.report_files import write_report
from hqsam_lightning.reporting.run_folders import find_runs, read_run
from hqsam_lightning.reporting.runs import Run, check_comparable, group_runs
from hqsam_lightning.run_names import own_command
from hqsam_lightning.runtime.decoration import decoration
from hqsam_lightning.schema import check_config


def report(config: DictConfig) -> Summary:
    """Reads the runs and writes report.md, report.html, report.csv and recall.png.

    Args:
        config: composed from conf/report.yaml.

    Returns:
        The report's numbers.

    Raises:
        HQSamError: for a value that cannot work, a folder without a finished run, runs that cannot stand in one table,
            or a folder that cannot be written.
    """
    config = check_config(config, "report")
    paper = None if config.table is None else read_paper_table(paper_table_path(config.table))
    given = [config.runs] if isinstance(config.runs, str) else config.runs
    runs = _comparable_runs([Path(str(folder)) for folder in given])
    known = runs[0].metrics
    if config.plot_metric is not None and config.plot_metric not in known:
        raise choice_error("plot_metric", config.plot_metric, [*known, "null"])
    summary = Summary(group_runs(runs), config.plot_metric)
    coco = Summary(group_runs(_comparable_runs(list(map(Path, config.coco))))) if config.coco else None
    write_report(Path(config.out), summary, paper, own_command("hqsam_lightning.report"), coco)
    print(f"report in {config.out}")
    return summary


def print_beside_paper(folders: Sequence[Path], table: str) -> None:
    """Prints the paper's numbers beside those of runs; what goes wrong is a warning, since the runs are finished.

    Args:
        folders: of runs, or of sweeps.
        table: see `paper_table_path`.
    """
    with decoration("the table beside the paper's numbers,"):
        summary = Summary(group_runs(_comparable_runs(folders)))
        lines = paper_section(summary, read_paper_table(paper_table_path(table)))
        print("\n".join(["", f"The paper's numbers ({table}) beside these:", "", *lines]))


def paper_table_path(table: str) -> Path:
    """The table.yaml of a folder of experiments/, by the folder's name, or of a path that ends in .yaml."""
    if table.endswith(".yaml"):
        return Path(table).expanduser()
    return Path(conf_dir()).parent / "experiments" / table / "table.yaml"


def _comparable_runs(folders: Sequence[Path]) -> list[Run]:
    runs = [read_run(run) for folder in folders for run in find_runs(folder)]
    check_comparable(runs)
    return runs


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="report")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    report(config)


if __name__ == "__main__":
    run_hydra(main, "report")
