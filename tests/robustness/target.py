"""What every target of the sweep is."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from hqsam_lightning.config import conf_dir
from hqsam_lightning.overrides import as_hydra_takes


class Target(ABC):
    """One reader.

    Attributes:
        inputs: how many the full sweep tries.
    """

    inputs: ClassVar[int]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def use(self, rng: random.Random) -> None:
        """Makes one input and reads it as a run would.

        Raises:
            HQSamError: where the input is refused.
        """


def composed(*overrides: str) -> DictConfig:
    """conf/train.yaml with overrides."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", overrides=as_hydra_takes(overrides, "train", conf_dir()))
