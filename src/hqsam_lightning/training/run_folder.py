"""The folder of a run: whose it is, whether a run in it is continued, and the command that continues it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.utilities.rank_zero import _get_rank
from omegaconf import DictConfig, OmegaConf

from hqsam_lightning.errors import ConfigError, FinishedError
from hqsam_lightning.overrides import quote_override
from hqsam_lightning.storage.files import DISK_ERRORS, storage_error, write_whole
from hqsam_lightning.storage.locks import claim

FINISHED = "metrics.json"
"""Written last: a folder with it holds a finished run."""


def is_first_process() -> bool:
    """Whether this process is the first of the run's, as far as the environment of its launcher says.

    Processes that are launched for the other devices run the whole command again.
    """
    node = int(os.environ.get("NODE_RANK") or os.environ.get("GROUP_RANK") or 0)
    return (_get_rank() or 0) == 0 and node == 0


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Claims a run's folder, for the first of its processes.

    Raises:
        BusyError: another run writes there.
        StorageError: the folder cannot be written, or its disk is full.
    """
    remedy = "wait for its end, or choose another hydra.run.dir"
    with claim(folder, remedy) if is_first_process() else nullcontext():
        try:
            yield
        except OSError as cause:
            # of a library that writes there, such as a logger
            if cause.errno in DISK_ERRORS:
                raise storage_error(Path(cause.filename or folder), cause) from cause
            raise


def find_checkpoint(folder: Path, ckpt_path: str | None, resume: str) -> Path | None:
    """Finds the checkpoint that a run continues, and makes sure that the folder holds no other run.

    Args:
        folder: the run's.
        ckpt_path: that the config names; one in the run's own folder always counts.
        resume: "auto" continues an unfinished run of the folder, "never" refuses it.

    Raises:
        FinishedError: the folder holds a finished run.
        ConfigError: resume is "never" and the folder holds an unfinished run.
    """
    named = None if ckpt_path is None else Path(ckpt_path).expanduser()
    if named is not None and folder.resolve() in named.resolve().parents:
        return named
    own = folder / "checkpoints" / "last.ckpt"
    expected = "paths.output_dir: expected a folder without a run"
    if (folder / FINISHED).exists():
        raise FinishedError(
            f"{expected}; {folder / FINISHED} is there, of a finished run, and would be overwritten; choose another "
            f"hydra.run.dir, or train that run on with ckpt_path={own}"
        )
    if not own.exists():
        return named
    if resume == "never":
        raise ConfigError(
            f"{expected}; {own} is there and would be overwritten; set resume=auto to continue that run, or choose "
            "another hydra.run.dir"
        )
    return own


def write_hydra_files(folder: Path, config: DictConfig) -> None:
    """Writes .hydra/, as Hydra would have before the folder was claimed; nothing where Hydra did not start the run."""
    if not HydraConfig.initialized() or not is_first_process():
        return
    hydra = HydraConfig.get()
    texts = {
        "config.yaml": OmegaConf.to_yaml(config),
        "hydra.yaml": OmegaConf.to_yaml({"hydra": hydra}),
        "overrides.yaml": OmegaConf.to_yaml(hydra.overrides.task),
    }
    for name, text in texts.items():
        write_whole(folder / ".hydra" / name, text.encode())


def continue_command(module: str, folder: Path) -> str:
    """The command, for a shell, that continues a folder's run of an entry point such as "train".

    It is that of the whole sweep where the run is a trial of one.
    """
    if not HydraConfig.initialized():
        return f"{module}(config) with paths.output_dir={folder}"
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        overrides = [text for text in sys.argv[1:] if text.split("=")[0] not in ("hydra.sweep.dir", "resume")]
        place = quote_override("hydra.sweep.dir", str(hydra.sweep.dir))
    else:
        overrides = [text for text in hydra.overrides.task if text.split("=")[0] not in ("ckpt_path", "resume")]
        place = quote_override("hydra.run.dir", str(folder))
    return shlex.join(["python", "-m", f"hqsam_lightning.{module}", *overrides, place])
