"""Loggers that a run outlives: W&B works without credentials and falls back to offline; none ends a run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from hqsam_lightning.checks import number, require
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.run_names import run_name, run_tags, task_overrides
from hqsam_lightning.runtime.decoration import decoration
from hqsam_lightning.storage.files import write_whole

log = logging.getLogger(__name__)

ID_FILE = "wandb_id.txt"
FINISH_TIMEOUT = 120.0
"""Seconds that W&B may take at the end of a run; what it did not send is on the disk for `wandb sync`."""


class _Outlived(Logger):
    """A logger whose failures are warnings, since weights and scores do not need it; the first is logged.

    Errors of our own, such as a refused setting, still end the run.
    """

    key = "logger"
    _failed = False

    def log_metrics(self, *arguments: Any, **options: Any) -> None:
        """As Lightning's."""
        with self._outlived():
            super().log_metrics(*arguments, **options)  # type: ignore[safe-super]

    def log_hyperparams(self, *arguments: Any, **options: Any) -> None:
        """As Lightning's."""
        with self._outlived():
            super().log_hyperparams(*arguments, **options)  # type: ignore[safe-super]

    def save(self) -> None:
        """As Lightning's."""
        with self._outlived():
            super().save()

    def finalize(self, status: str) -> None:
        """As Lightning's."""
        with self._outlived():
            super().finalize(status)

    @contextmanager
    def _outlived(self) -> Iterator[None]:
        try:
            yield
        except ConfigError:
            raise
        except Exception as error:  # of any package behind a logger
            if not self._failed:
                log.warning(
                    "%s failed (%s: %s): what it logs may be missing from here on; the run continues",
                    *(self.key, type(error).__name__, error),
                )
            self._failed = True


class RunCSVLogger(_Outlived, CSVLogger):
    """Lightning's CSVLogger, which a run outlives."""

    key = "logger.csv"


class RunWandbLogger(_Outlived, WandbLogger):
    """Lightning's WandbLogger, which a run outlives and which writes offline where W&B has no key or does not answer.

    `WANDB_MODE` decides where it is set. An offline run is uploaded with `wandb sync`.

    Args:
        save_dir: the run's folder, which holds `wandb/`; a run that is resumed in it continues the same W&B run.
        project: W&B project.
        name: of the run; None makes it of the experiment, the overrides and the seed.
        group: of runs that belong together.
        tags: of the run, besides those for experiment, SAM and data.
        experiment: its name.
        seed: of the run.
        ckpt_path: checkpoint of the run that is resumed: in another folder, too, it continues that run's W&B run.
        require_online: end the run where W&B cannot be reached, instead of logging offline.
        timeout: seconds to wait for W&B to answer.

    Raises:
        ConfigError: for a timeout that is not positive.
    """

    key = "logger.wandb"

    def __init__(
        self,
        save_dir: str,
        project: str,
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        experiment: str = "run",
        seed: int = 0,
        ckpt_path: str | None = None,
        require_online: bool = False,
        timeout: float = 30.0,
    ) -> None:
        import wandb  # here: a run that logs elsewhere needs none

        require("logger.wandb.timeout", timeout, number(0, above=True))
        folder = Path(save_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._require_online = require_online
        self._id_file = folder / ID_FILE
        mode = os.environ.get("WANDB_MODE") or ("online" if _has_key() else "offline")
        super().__init__(
            save_dir=save_dir,
            project=project,
            name=name or run_name(experiment, seed, task_overrides()),
            group=group,
            tags=[*run_tags(), *tags],
            mode=mode,
            offline=mode != "online",
            version=_known_id(folder, ckpt_path),
            settings=wandb.Settings(init_timeout=timeout, finish_timeout=FINISH_TIMEOUT),
        )

    @property
    def experiment(self) -> Any:
        """The W&B run; begun at the first use.

        Raises:
            ConfigError: when it cannot begin.
        """
        if self._experiment is not None:
            return super().experiment
        mode = os.environ.get("WANDB_MODE")
        try:
            made = self._begin()
        finally:
            # Lightning sets it, and the next trial of a multirun would find it
            os.environ.pop("WANDB_MODE", None)
            os.environ.update({} if mode is None else {"WANDB_MODE": mode})
        if self._experiment is not None and not self._id_file.is_file():
            write_whole(self._id_file, f"{self._experiment.id}\n".encode())
        return made

    def _begin(self) -> Any:
        try:
            return super().experiment
        except Exception as error:  # W&B raises errors of many kinds, its own and those of its transport
            reason = f"{type(error).__name__}: {error}".strip()
            if self._offline:
                raise ConfigError(f"logger.wandb: expected a W&B run to begin offline, got {reason}") from error
            if self._require_online:
                raise ConfigError(
                    f"logger.wandb.require_online: expected W&B to answer, got {reason}; check the network and the key "
                    "(`wandb login`), or set logger.wandb.require_online=false to continue offline"
                ) from error
        log.warning(
            "W&B cannot be reached (%s): this run is logged offline; upload it later with `wandb sync %s`",
            *(reason, Path(self._save_dir or ".") / "wandb" / "offline-run-*"),
        )
        self._offline = True
        self._wandb_init["mode"] = "offline"
        return self._begin()


def finish_wandb() -> None:
    """Ends the W&B run, so that the next trial of a multirun does not log into it."""
    if wandb := sys.modules.get("wandb"):
        with decoration("the end of the W&B run"):
            wandb.finish()


def _has_key() -> bool:
    import wandb

    try:
        return bool(wandb.login(prompt=False, verify=False))
    except (wandb.Error, ValueError) as error:  # a key that W&B does not accept as one
        log.warning("W&B refuses its key (%s): this run is logged offline", error)
        return False


def _known_id(folder: Path, ckpt_path: str | None) -> str | None:
    """Of the run's own folder, otherwise of the run whose checkpoint is resumed."""
    folders = [folder] + ([Path(ckpt_path).expanduser().absolute().parent.parent] if ckpt_path else [])
    for place in folders:
        if (place / ID_FILE).is_file():
            text = (place / ID_FILE).read_text().strip()
            if text.isalnum():
                return text
            log.warning("%s: expected the id of a W&B run, got %r; a new one is begun", place / ID_FILE, text[:40])
    return None


def log_results(loggers: Sequence[Logger], means: pd.DataFrame) -> None:
    """Logs the result table to W&B: a line per mean over masks, see `hqsam_lightning.evaluation.table.summarise`."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.log_table("results", columns=list(means.columns), data=means.to_numpy().tolist())
