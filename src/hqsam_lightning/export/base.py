"""What a format is: whether it can hold a model, how it is written, and what a written file predicts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from torch import Tensor

from hqsam_lightning.errors import ConfigError, ExportError
from hqsam_lightning.export.samples import Sample, predict
from hqsam_lightning.inference.model import HQSam


class Format(ABC):
    """One format.

    Attributes:
        name: in messages and configs.
        suffix: that the file's name ends with; "" for a folder.
        packages: that it needs, by the name that they are imported by.
        extra: of this package that installs them.
    """

    name: str
    suffix: str = ""
    packages: Sequence[str] = ()
    extra: str = ""

    def check_place(self, out: Path) -> None:
        """Refuses a path that the format is not written to, and a format whose packages are missing.

        Raises:
            ConfigError: a package is missing, or the path has another suffix.
        """
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            raise ConfigError(
                f"format={self.name}: expected the package {missing[0]}, found none; "
                f"pip install 'hqsam-lightning[{self.extra}]'"
            )
        if out.suffix != self.suffix and self.suffix:
            raise ConfigError(f"out: expected a file {self.suffix} for format={self.name}; got {out}")

    def check(self, model: HQSam) -> None:
        """Refuses a model that the format cannot hold.

        Raises:
            ExportError: it cannot.
        """
        reason = self.refusal(model)
        if reason is not None:
            raise ExportError(f"format={self.name}: {reason}; formats that hold every head: safetensors")

    @abstractmethod
    def refusal(self, model: HQSam) -> str | None:
        """Why the format cannot hold a model; None where it can."""

    @abstractmethod
    def write(self, model: HQSam, out: Path, multimask_output: bool) -> None:
        """Writes a model.

        Args:
            model: on the CPU.
            out: file or folder that is not there.
            multimask_output: whether a graph gives three masks for each prompt, see `HQSam.decode`.
        """

    @abstractmethod
    def read(self, out: Path, model: HQSam, multimask_output: bool, sample: Sample) -> list[Tensor]:
        """What was written, asked for a sample's masks.

        Args:
            out: that was written.
            model: that it was written from.
            multimask_output: see `write`.
            sample: images and prompts.

        Returns:
            Logits (B, M, 4h, 4w) for each kind of prompts.
        """

    def expected(self, model: HQSam, multimask_output: bool, sample: Sample) -> list[Tensor]:
        """What the model itself predicts, as `read` gives it."""
        return predict(model, sample, multimask_output)
