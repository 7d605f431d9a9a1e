"""Builds the Trainer of a run; missing devices are reported with their config key before Lightning looks for them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, cast

import lightning as L
import torch
import torch.distributed
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.accelerators import CUDAAccelerator, MPSAccelerator
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from hqsam_lightning.errors import ConfigError, HQSamError

GPUS = {"cuda": CUDAAccelerator, "mps": MPSAccelerator}


def build_trainer(config: DictConfig, callbacks: Sequence[L.Callback], loggers: Sequence[Logger]) -> L.Trainer:
    """Builds the Trainer of a run's config.

    Raises:
        ConfigError: the section does not fit this machine, or the tasks that SLURM started.
    """
    check_devices(config.trainer)
    try:
        return cast(L.Trainer, instantiate(config.trainer, callbacks=list(callbacks), logger=list(loggers)))
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, MisconfigurationException | ValueError) and not isinstance(cause, HQSamError):
            raise ConfigError(f"trainer: expected settings that Lightning accepts; {cause}") from error
        raise


def check_devices(trainer: Mapping[str, Any]) -> None:
    """Checks that the devices which the config's section trainer requests exist.

    Raises:
        ConfigError: naming the key, what there is, and what to set.
    """
    accelerator, devices = trainer.get("accelerator", "auto"), trainer.get("devices", "auto")
    if isinstance(accelerator, str):
        _check_accelerator(accelerator, devices)
    _check_slurm(devices, trainer.get("num_nodes", 1))


def _check_accelerator(accelerator: str, devices: Any) -> None:
    wanted = GPUS if accelerator == "gpu" else {name: kind for name, kind in GPUS.items() if name == accelerator}
    if not wanted:
        return
    there = {name: kind.auto_device_count() for name, kind in GPUS.items() if kind.is_available()}
    found = {name: count for name, count in there.items() if name in wanted}
    if not found:
        raise ConfigError(
            f"trainer.accelerator: expected one that this machine has ({', '.join(['cpu', *there])}), "
            f"got {accelerator}; PyTorch {torch.__version__} finds no such device; add trainer=cpu to train on the "
            "CPU, or check the driver, CUDA_VISIBLE_DEVICES, and that this PyTorch was built for the device"
        )
    name, count = next(iter(found.items()))
    # torchrun may show each process one device alone
    if isinstance(devices, int) and devices > count and not torch.distributed.is_torchelastic_launched():
        raise ConfigError(
            f"trainer.devices: expected at most the {count} {name} device(s) of this machine, got {devices}; "
            f"set trainer.devices={count}: a step still sees batch.total images"
        )


def _check_slurm(devices: Any, nodes: Any) -> None:
    """Checks that SLURM started one task per device; Lightning takes the number of processes from it."""
    tasks = os.environ.get("SLURM_NTASKS", "")
    if not tasks.isdigit() or SLURMEnvironment.job_name() in ("bash", "interactive"):
        return
    if torch.distributed.is_torchelastic_launched():
        return
    if not isinstance(devices, int) or devices < 1 or not isinstance(nodes, int):
        return
    found_nodes = int(os.environ.get("SLURM_NNODES", nodes))
    if int(tasks) == devices * nodes and found_nodes == nodes and _tasks_per_node(devices) == devices:
        return
    raise ConfigError(
        f"trainer.devices, trainer.num_nodes: expected as many processes as SLURM started: {tasks} task(s) on "
        f"{found_nodes} node(s); got {devices} device(s) x {nodes} node(s); begin the job with "
        f"#SBATCH --nodes={nodes} --ntasks-per-node={devices} and srun, or set trainer.devices and trainer.num_nodes "
        "to the job's (docs/multi_node.md)"
    )


def _tasks_per_node(devices: int) -> int:
    """Value of --ntasks-per-node, which Lightning requires for several tasks."""
    value = os.environ.get("SLURM_NTASKS_PER_NODE", "")
    if value.isdigit():
        return int(value)
    return devices if os.environ["SLURM_NTASKS"] == "1" else 0
