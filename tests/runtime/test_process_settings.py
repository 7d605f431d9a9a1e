"""Settings of the whole process are the config's, end with the command, and are not touched by building things."""

import logging
import subprocess
import sys
import warnings
from types import SimpleNamespace

import cv2
import pytest
import torch
from omegaconf import OmegaConf

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.runtime import process_settings
from hqsam_lightning.runtime.process_settings import (
    BeginLoading,
    ProcessSettings,
    apply_to_device,
    begin_loading,
    with_process_settings,
)
from patience import PATIENCE


def config(**section: object):
    return OmegaConf.create({"process": section})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"loader_niceness": 20}, r"process\.loader_niceness: expected an integer from 0 to 19; got 20"),
        ({"loader_niceness": -1}, r"process\.loader_niceness: expected an integer from 0 to 19; got -1"),
        ({"loader_niceness": "much"}, r"process\.loader_niceness: expected an integer from 0 to 19; got 'much'"),
        ({"opencv_threads": -1}, r"process\.opencv_threads: expected an integer from 0 to 1024; got -1"),
        ({"opencv_threads": True}, r"process\.opencv_threads: expected an integer from 0 to 1024; got True"),
        ({"keep_freed_memory": 1}, r"process\.keep_freed_memory: expected true or false; got 1"),
        ({"keep_memory": True}, r"process\.keep_memory: expected one of .*keep_freed_memory"),
    ],
)
def test_values_are_checked(section: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ProcessSettings.from_config(config(**section))


def test_the_config_names_every_setting(make_config) -> None:
    assert ProcessSettings(**make_config().process) == ProcessSettings()


def test_settings_end_with_the_command() -> None:
    ours, lightnings = (
        logging.getLogger(name) for name in ("hqsam_lightning", "lightning.pytorch.utilities.rank_zero")
    )
    before = (cv2.getNumThreads(), ours.level, lightnings.level, list(warnings.filters))
    seen = {}

    @with_process_settings
    def command(config) -> str:
        seen["threads"] = cv2.getNumThreads()
        warnings.warn("Found 3 module(s) in eval mode at the start of training.", UserWarning, stacklevel=1)
        trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")), is_global_zero=False)
        apply_to_device(config, trainer)
        seen["level"] = ours.level
        return "done"

    assert command(config(opencv_threads=3)) == "done"
    assert seen == {"threads": 3, "level": logging.ERROR}
    assert (cv2.getNumThreads(), ours.level, lightnings.level, list(warnings.filters)) == before
    assert logging.root.manager.disable == logging.NOTSET, "other packages' logging is theirs"


@pytest.mark.parametrize(
    "message", ["Found 3 module(s) in eval mode", "Checkpoint directory /x exists and is not empty"]
)
def test_warnings_are_shown_where_the_config_says_so(message: str) -> None:
    command = with_process_settings(lambda config: warnings.warn(message, UserWarning, stacklevel=1))
    command(config())
    with pytest.warns(UserWarning, match="Found|Checkpoint"):
        command(config(hide_expected_warnings=False))


def test_a_glyph_that_the_font_lacks_is_no_warning() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    figure.text(0, 0, "写真")
    with_process_settings(lambda config: FigureCanvasAgg(figure).draw())(config())


@pytest.mark.parametrize(("device", "wanted", "calls"), [("cpu", True, 1), ("cpu", False, 0), ("meta", True, 0)])
def test_freed_memory_is_kept_on_a_cpu_alone(monkeypatch, device: str, wanted: bool, calls: int) -> None:
    called = []
    monkeypatch.setattr(process_settings, "keep_freed_memory", lambda: called.append(1))
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device(device)), is_global_zero=True)
    apply_to_device(config(keep_freed_memory=wanted), trainer)
    assert len(called) == calls


def test_loading_processes_are_set_up_as_the_config_says(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    monkeypatch.setattr(process_settings, "keep_freed_memory", lambda: done.append("memory"))
    monkeypatch.setattr(process_settings.os, "nice", lambda more: done.append(more))
    monkeypatch.setattr(process_settings.cv2, "setNumThreads", lambda threads: done.append(f"{threads} threads"))
    begin_loading(config(loader_niceness=5))(0)
    assert done == ["0 threads", 5, "memory"]
    done.clear()
    BeginLoading()(3)
    assert done == ["0 threads"], "a data module built in Python changes nothing else"


PROGRAM = """
import logging, os, signal, sys, warnings
import cv2
before = (cv2.getNumThreads(), os.nice(0), logging.root.manager.disable, signal.getsignal(signal.SIGTERM))
import hqsam_lightning.data.datamodule
from hqsam_lightning.data import Augmentation, DataSets, PromptedDataModule
from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.prompts import PromptMix
samples, prompts = Scenes(2, 64), PromptMix({"box": 1})
PromptedDataModule(DataSets([(samples, 1.0)], {}), Augmentation(64), prompts, {"box": prompts}, 64, 16, 1, 1, seed=0)
after = (cv2.getNumThreads(), os.nice(0), logging.root.manager.disable, signal.getsignal(signal.SIGTERM))
assert before == after, (before, after)
"""


def test_importing_and_building_changes_nothing_of_the_process() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=PATIENCE)
