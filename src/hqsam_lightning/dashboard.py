"""W&B's view of a project as code: `python -m hqsam_lightning.dashboard entity=TEAM project=hqsam_lightning`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import hydra
import wandb
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.schema import check_config

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as reports
    import wandb_workspaces.workspaces as workspaces

STEP = "trainer/global_step"
# title, and metrics that `HQSamModule` logs, as a regular expression
TRAINING = (("Loss of every variant", "train/.*/loss"), ("Learning rate", "lr-.*"))
PICTURES, TABLE = "val/panels", "results"


def dashboard(config: DictConfig) -> tuple[workspaces.Workspace, reports.Report]:
    """Saves the view and the report of a project, each new at every call.

    Args:
        config: composed from conf/dashboard.yaml.

    Raises:
        ConfigError: where `wandb-workspaces` is not installed, or W&B has no credentials.
    """
    if find_spec("wandb_workspaces") is None:
        raise ConfigError(
            "dashboard: expected the package wandb-workspaces, found none; pip install 'hqsam-lightning[dashboard]'"
        )
    if not wandb.login(prompt=False, verify=False):
        raise ConfigError("dashboard: expected W&B's credentials, found none; run `wandb login`, or set WANDB_API_KEY")
    view = build_view(config.entity, config.project, config.name, config.metrics).save()
    report = build_report(config.entity, config.project, config.name, config.metrics).save()
    print(f"view {view.url}\nreport {report.url}")
    return view, report


def build_view(entity: str, project: str, name: str, metrics: Sequence[str]) -> workspaces.Workspace:
    """The workspace: runs grouped by experiment; results, validation, training, pictures."""
    import wandb_workspaces.workspaces as ws

    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[ws.Section(name=title, panels=panels, is_open=True) for title, panels in _panels(metrics).items()],
        runset_settings=ws.RunsetSettings(groupby=[ws.Metric("group")]),
    )


def build_report(entity: str, project: str, name: str, metrics: Sequence[str]) -> reports.Report:
    """The report: what the numbers are, then the sections of the view with all runs."""
    import wandb_workspaces.reports.v2 as wr

    runs = wr.Runset(entity=entity, project=project, groupby=["group"])
    blocks: list[object] = [
        wr.P("Scores on the validation sets, by variant and output; runs of one experiment are a group.")
    ]
    for title, panels in _panels(metrics).items():
        blocks += [wr.H1(title), wr.PanelGrid(runsets=[runs], panels=panels)]
    return wr.Report(entity=entity, project=project, title=name, blocks=blocks)


def validation(metrics: Sequence[str]) -> list[tuple[str, str]]:
    """Title and expression of each metric's curves, of all objects and of thin ones."""
    names = [(name, f"{prefix}{name}") for name in metrics for prefix in ("", "thin_")]
    return [(name if name == key else f"{name}, thin objects", f"val/.+/.+/.+/{key}") for name, key in names]


def _panels(metrics: Sequence[str]) -> dict[str, list[Any]]:
    """The panels of each section, by title."""
    import wandb_workspaces.reports.v2 as wr

    curves = {"Validation": validation(metrics), "Training": TRAINING}
    plots: dict[str, list[Any]] = {
        section: [wr.LinePlot(title=title, x=STEP, metric_regex=expression) for title, expression in found]
        for section, found in curves.items()
    }
    pictures = wr.MediaBrowser(title="Image, ground truth, SAM, HQ-SAM", media_keys=[PICTURES])
    return {"Results": [wr.WeavePanelSummaryTable(table_name=TABLE)], **plots, "Pictures": [pictures]}


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="dashboard")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    dashboard(check_config(config, "dashboard"))


if __name__ == "__main__":
    run_hydra(main, "dashboard")
