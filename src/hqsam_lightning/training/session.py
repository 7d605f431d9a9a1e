"""What training and pretraining share: a claimed folder, the checkpoint that is continued, and the trainer."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from hydra.utils import instantiate
from omegaconf import DictConfig

from hqsam_lightning.config import as_plain
from hqsam_lightning.errors import CheckpointError
from hqsam_lightning.runtime.process_settings import apply_to_device
from hqsam_lightning.runtime.signals import stop_on_signals
from hqsam_lightning.training.build_trainer import build_trainer
from hqsam_lightning.training.callbacks.fit_clock import FitClock
from hqsam_lightning.training.callbacks.last_checkpoint import LastCheckpoint
from hqsam_lightning.training.checkpoint import INFO_KEY, check_recipe, is_of_pretraining, read_checkpoint
from hqsam_lightning.training.finite import FiniteWatch
from hqsam_lightning.training.loggers import finish_wandb
from hqsam_lightning.training.run_folder import continue_command, find_checkpoint, owned, write_hydra_files
from hqsam_lightning.training.run_summary import log_setting
from hqsam_lightning.training.stopping import StopOnSignal, stops_reported

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """A run in its folder, before its model and data are built.

    Attributes:
        folder: of the run.
        callbacks: of the config, by name.
        trainer: with these callbacks and those of every run.
        clock: of the trainer.
        ckpt_path: of the checkpoint that the run continues; None begins a new one.
        checkpoint: its content.
    """

    folder: Path
    callbacks: dict[str, L.Callback]
    trainer: L.Trainer
    clock: FitClock
    ckpt_path: Path | None
    checkpoint: dict[str, Any] | None


@contextmanager
def open_session(config: DictConfig, command: str, first: Sequence[L.Callback] = ()) -> Iterator[Session]:
    """Claims the run's folder and builds the trainer; a signal that ends the run is reported with how to continue.

    Args:
        config: checked.
        command: name of the entry point, "train" or "pretrain".
        first: callbacks that precede all others.

    Raises:
        ConfigError: the folder holds another run, see `find_checkpoint`; or the trainer does not fit this machine.
        CheckpointError: the checkpoint is damaged, another command's, or of another recipe.
    """
    L.seed_everything(config.seed, verbose=False)
    folder = Path(config.paths.output_dir)
    callbacks = {name: instantiate(value) for name, value in config.callbacks.items()}
    last = next((each for each in callbacks.values() if isinstance(each, LastCheckpoint)), None)
    with stop_on_signals(), stops_reported(last, continue_command(command, folder), folder), owned(folder):
        path = find_checkpoint(folder, config.ckpt_path, config.resume)
        checkpoint = None if path is None else _read_resumed(path, config, command, last)
        write_hydra_files(folder, config)
        log_setting(config)
        loggers = [instantiate(value) for value in (config.get("logger") or {}).values()]
        clock = FitClock()
        try:
            every = [*first, clock, *callbacks.values(), FiniteWatch(last), StopOnSignal(last)]
            trainer = build_trainer(config, every, loggers)
            apply_to_device(config, trainer)
            yield Session(folder, callbacks, trainer, clock, path, checkpoint)
        finally:
            finish_wandb()


def _read_resumed(path: Path, config: DictConfig, command: str, last: LastCheckpoint | None) -> dict[str, Any]:
    """Reads the checkpoint that the run continues; `last` learns what of it still holds."""
    content = read_checkpoint(path)
    if "loops" not in content:
        raise CheckpointError(
            f"ckpt_path={path}: expected a checkpoint that a run can be resumed from; it holds the weights of one "
            "variant alone; use checkpoints/last.ckpt of the run"
        )
    writer = "pretrain" if is_of_pretraining(content) else "train"
    if writer != command:
        raise CheckpointError(
            f"ckpt_path={path}: expected a checkpoint that {command} wrote; it is one of {writer}; "
            "use checkpoints/last.ckpt of the run"
        )
    plain, before = as_plain(config), content[INFO_KEY]["config"]
    check_recipe(content, plain)
    if last is not None:
        last.resumes_plan = all(before[key] == plain[key] for key in ("trainer", "callbacks"))
    log.info("continuing at step %d, from %s", content["global_step"], path)
    return content
