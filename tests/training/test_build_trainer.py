"""Devices and SLURM tasks that do not fit are named with their key before anything else happens."""

import pytest
import torch

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.training import build_trainer as module
from hqsam_lightning.training.build_trainer import build_trainer, check_devices


class Device:
    """A kind of device of which this machine has some."""

    def __init__(self, count: int) -> None:
        self.count = count

    def is_available(self) -> bool:
        return self.count > 0

    def auto_device_count(self) -> int:
        return self.count


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    for name in ("SLURM_NTASKS", "SLURM_JOB_NAME", "SLURM_NNODES", "SLURM_NTASKS_PER_NODE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return lambda cuda=0, mps=0: monkeypatch.setattr(module, "GPUS", {"cuda": Device(cuda), "mps": Device(mps)})


@pytest.mark.parametrize(
    ("there", "trainer", "message"),
    [
        ({}, {"accelerator": "gpu", "devices": 8}, r"accelerator: expected .* \(cpu\), got gpu; .*add trainer=cpu"),
        ({}, {"accelerator": "cuda"}, r"accelerator: expected .* \(cpu\), got cuda"),
        ({"mps": 1}, {"accelerator": "cuda"}, r"accelerator: expected .* \(cpu, mps\), got cuda"),
        ({"cuda": 2}, {"accelerator": "mps"}, r"accelerator: expected .* \(cpu, cuda\), got mps"),
        ({"cuda": 2}, {"accelerator": "gpu", "devices": 8}, r"devices: expected at most the 2 cuda .* got 8; set .*=2"),
        ({"mps": 1}, {"accelerator": "gpu", "devices": 3}, r"devices: expected at most the 1 mps .* got 3"),
    ],
)
def test_devices_that_are_not_there_are_named(machine, there, trainer, message) -> None:
    machine(**there)
    with pytest.raises(ConfigError, match=rf"^trainer\.{message}"):
        check_devices(trainer)


@pytest.mark.parametrize(
    ("there", "trainer"),
    [
        ({}, {"accelerator": "auto", "devices": 1}),
        ({}, {"accelerator": "cpu", "devices": 4}),
        ({"cuda": 2}, {"accelerator": "gpu", "devices": 2}),
        ({"cuda": 2}, {"accelerator": "gpu", "devices": "auto"}),
        ({"cuda": 2}, {"accelerator": "gpu", "devices": -1}),
        ({"cuda": 8}, {"accelerator": "cuda", "devices": [0, 3]}),
        ({"mps": 1}, {}),
    ],
)
def test_devices_that_are_there_are_taken(machine, there, trainer) -> None:
    machine(**there)
    check_devices(trainer)


def test_torchrun_may_show_a_process_one_device(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(cuda=1)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    check_devices({"accelerator": "gpu", "devices": 8})


@pytest.mark.parametrize(
    ("slurm", "devices", "nodes"),
    [
        ({"NTASKS": "4", "NTASKS_PER_NODE": "4", "NNODES": "1"}, 2, 1),
        ({"NTASKS": "8", "NTASKS_PER_NODE": "8", "NNODES": "1"}, 8, 2),
        ({"NTASKS": "8", "NTASKS_PER_NODE": "4", "NNODES": "2"}, 8, 1),
        ({"NTASKS": "2", "NNODES": "1"}, 2, 1),
        ({"NTASKS": "1", "NNODES": "1"}, 2, 1),
    ],
)
def test_tasks_of_slurm_that_do_not_fit_are_named(machine, monkeypatch, slurm, devices, nodes) -> None:
    machine()
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    expected = (
        rf"trainer\.devices, trainer\.num_nodes: .* SLURM started: {slurm['NTASKS']} task\(s\) .*"
        rf"#SBATCH --nodes={nodes} --ntasks-per-node={devices}"
    )
    with pytest.raises(ConfigError, match=expected):
        check_devices({"accelerator": "cpu", "devices": devices, "num_nodes": nodes})


@pytest.mark.parametrize(
    ("slurm", "devices", "nodes"),
    [
        ({"NTASKS": "1", "NNODES": "1"}, 1, 1),
        ({"NTASKS": "8", "NTASKS_PER_NODE": "4", "NNODES": "2"}, 4, 2),
        ({"NTASKS": "4", "NTASKS_PER_NODE": "4", "NNODES": "1", "JOB_NAME": "interactive"}, 1, 1),
        ({"NTASKS": "1", "NNODES": "2", "TORCHELASTIC": "1"}, 4, 2),
    ],
)
def test_tasks_of_slurm_that_fit_are_taken(machine, monkeypatch, slurm, devices, nodes) -> None:
    machine()
    for name, value in slurm.items():
        monkeypatch.setenv("TORCHELASTIC_RUN_ID" if name == "TORCHELASTIC" else f"SLURM_{name}", value)
    check_devices({"accelerator": "cpu", "devices": devices, "num_nodes": nodes})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.devices=0", "trainer: expected settings that Lightning accepts; .*devices=0"),
        ("trainer.num_nodes=0", "trainer: expected settings that Lightning accepts; .*num_nodes"),
        ("trainer.strategy=best", "trainer: expected settings that Lightning accepts; .*best"),
    ],
)
def test_what_lightning_refuses_names_the_section(make_config, machine, override: str, message: str) -> None:
    machine()
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        build_trainer(make_config("trainer=cpu", override), [], [])


def test_a_trainer_is_built(make_config, machine) -> None:
    machine()
    assert build_trainer(make_config("trainer=cpu"), [], []).strategy.root_device == torch.device("cpu")
