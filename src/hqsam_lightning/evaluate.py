"""Scores trained heads beside plain SAM, without training data: `python -m hqsam_lightning.evaluate ckpt=RUN`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import as_plain, conf_dir, make_callable, own_errors
from hqsam_lightning.data.framing import FRAMES, Frame, margins_of
from hqsam_lightning.data.problems import raise_problems
from hqsam_lightning.data.watched_loading import loader_errors
from hqsam_lightning.data.zoom import require_boxes
from hqsam_lightning.errors import ConfigError, FinishedError
from hqsam_lightning.evaluation.journal import Journal
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.running import Evaluation, Found, run
from hqsam_lightning.evaluation.scorer import build_scorer
from hqsam_lightning.evaluation.suites import Setting, Suite
from hqsam_lightning.evaluation.table import BASELINE
from hqsam_lightning.evaluation_config import Trained, complete
from hqsam_lightning.heads import Head, SamHead
from hqsam_lightning.prompts import Prompter
from hqsam_lightning.reporting.evaluation_report import report_evaluation
from hqsam_lightning.runtime.process_settings import begin_loading, with_process_settings
from hqsam_lightning.runtime.processes import launch, together, together_in_first
from hqsam_lightning.runtime.signals import Stopped, stop_on_signals
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.schema import check_config
from hqsam_lightning.training.build_trainer import check_devices
from hqsam_lightning.training.run_folder import FINISHED, continue_command, is_first_process, owned, write_hydra_files

UNFINISHED = "unfinished"
"""Folder, in that of the results, of what a cut evaluation has scored."""
NUMBERS_DEPEND_ON = ("protocols", "frame", "margin", "val_prompts", "metrics", "evaluation")
"""Keys of the config, beside what is read."""


@with_process_settings
@loader_errors()
def evaluate(config: DictConfig) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Scores a suite by plain SAM and by every head of the checkpoints; each image is encoded once for all.

    Args:
        config: composed from conf/evaluate.yaml.

    Returns:
        The score table, empty in all processes but the first, and the objects that were evaluated.

    Raises:
        HQSamError: for input that cannot work, before any long work starts; and at the end, when the results of the
            others are written, naming the images that could not be read.
        Stopped: after a signal; the same command continues.
    """
    config, trained = complete(config)
    config = check_config(config, "evaluate")
    folder = Path(config.paths.output_dir)
    with stop_on_signals(), owned(folder):
        if (folder / FINISHED).exists():
            raise FinishedError(
                f"paths.output_dir: expected a folder without results; {folder / FINISHED} is there, of a finished "
                "evaluation, and would be overwritten; choose another hydra.run.dir"
            )
        write_hydra_files(folder, config)
        try:
            found, evaluation = _evaluate(config, trained, folder)
        except Stopped as stop:
            if is_first_process():
                print(f"{stop.signal.name}: stopped; {continue_command('evaluate', folder)} continues", file=sys.stderr)
            raise
    remedy = "the results are those of the other images; repair them and evaluate again with another hydra.run.dir"
    raise_problems(f"{len(found.unreadable)} of {found.images} images left out", found.unreadable, remedy)
    return found.table, {"evaluation": evaluation}


def _evaluate(config: DictConfig, trained: list[Trained], folder: Path) -> tuple[Found, Evaluation]:
    check_devices(config.trainer)
    fabric = launch(config.trainer)
    evaluation = together(fabric, partial(build, config, trained, fabric.device))
    journal = Journal(folder / UNFINISHED)
    together_in_first(fabric, lambda: journal.begin(_facts(config, trained, evaluation)))
    loading = {
        "batch_size": config.batch_size,
        "num_workers": config.loader.num_workers,
        "timeout": config.loader.timeout,
        "worker_init_fn": begin_loading(config),
        "pin_memory": fabric.device.type == "cuda",
    }
    found = run(evaluation, fabric, journal, config.save_every, loading)
    if fabric.is_global_zero:
        report_evaluation(folder, config, evaluation, found, [str(each.weights.path) for each in trained])
        journal.remove()
    return found, evaluation


def build(config: DictConfig, trained: list[Trained], device: torch.device) -> Evaluation:
    """Builds the suite first, so that missing data is reported before weights are fetched; then SAM and the heads."""
    with own_errors("suite"):
        suite: Suite = instantiate(config.suite)
    with own_errors():
        sam: FrozenSam = instantiate(config.sam)
        heads = build_heads(trained, sam)
        settings = build_settings(config, sam, suite)
    model = Model(sam.to(device), {name: head.to(device) for name, head in heads.items()}, config.masks_at_once)
    return Evaluation(suite, settings, model, config.strict)


def _facts(config: DictConfig, trained: list[Trained], evaluation: Evaluation) -> dict[str, Any]:
    """What the numbers depend on."""
    plain = as_plain(config)
    heads = {name: each.weights.identity[variant] for each in trained for variant, name in each.names.items()}
    return {
        "sam": evaluation.model.sam.weights_sha256,
        "precision": evaluation.model.sam.precision,
        "heads": heads,
        "images": evaluation.suite.facts(),
        **{key: plain[key] for key in NUMBERS_DEPEND_ON},
    }


def build_heads(trained: list[Trained], sam: FrozenSam) -> dict[str, Head]:
    """Plain SAM, then the heads of the checkpoints under names that are unique.

    Raises:
        HQSamError: one was trained with another SAM.
    """
    heads: dict[str, Head] = {BASELINE: SamHead()}
    for each in trained:
        heads |= {name: each.weights.build(variant, sam) for variant, name in each.names.items()}
    return {name: head.eval() for name, head in heads.items()}


def build_settings(config: DictConfig, sam: FrozenSam, suite: Suite) -> dict[str, Setting]:
    """How the images are shown and scored, by the name of the pass: by each protocol whole photos, cuts, or both.

    Raises:
        ConfigError: cuts are wanted, but prompts have no boxes.
    """
    margins = margins_of(config.frame, config.margin)
    if margins != [None] and not suite.shows_boxes:
        raise ConfigError(
            f"frame: expected photo for a suite that shows prompts without boxes, {type(suite).__name__}; got "
            f"{config.frame}, and nothing says where to cut; set frame=photo, or choose a suite of boxes"
        )
    frames = [(name, FRAMES[name](sam.image_size, margin)) for margin in margins for name in config.protocols]
    prompts = {name: instantiate(prompts) for name, prompts in config.val_prompts.items()}
    if margins != [None]:
        require_boxes(prompts)
    return {
        name + frame.suffix.removeprefix(frame.kind): build_setting(config, sam, frame, prompts)
        for name, frame in frames
    }


def build_setting(config: DictConfig, sam: FrozenSam, frame: Frame, prompts: Mapping[str, Prompter]) -> Setting:
    """How the images are shown in a frame and scored."""
    named = {name + frame.suffix: kind for name, kind in prompts.items()}
    return Setting(build_scorer(config, (), list(named), frame), named, sam.mask_input_size)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="evaluate")
@clean_errors
def main(config: DictConfig) -> None:
    """Entry point of the command line."""
    evaluate(config)


make_callable(__name__, evaluate)


if __name__ == "__main__":
    run_hydra(main, "evaluate")
