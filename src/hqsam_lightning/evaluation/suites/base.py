"""The contract of a suite: it turns files into prompted masks, and masks into rows of the score table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils.data import Dataset

from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.metrics import Quantity
from hqsam_lightning.prompts import Prompter
from hqsam_lightning.types import Batch, Example

Record = dict[str, Any]
"""What is kept of one prediction until all images are done: plain values of JSON, whatever the suite needs."""


@dataclass(frozen=True)
class Setting:
    """How a suite's images are shown and scored: one pass over them.

    Attributes:
        scorer: scores masks; its frame fits images into the model's frame and back.
        prompts: draw each mask's prompts, by their name in the table; the main ones first.
        mask_input_size: side of the prompt encoder's mask input.
    """

    scorer: Scorer
    prompts: Mapping[str, Prompter]
    mask_input_size: int


class Suite(ABC):
    """Turns files into prompted masks, and masks into rows of the score table.

    Its three steps are apart so that an evaluation can be spread over devices, and continued after it was cut:
    `examples` are read and predicted in any order, `score` keeps what is needed of each, and `table` sees all of it at
    the end. A suite whose scores are those of masks keeps lines of the table; one that scores a whole set, such as by
    average precision, keeps what that is computed of. What a suite cannot use of its files, it leaves out, counts and
    names in `left_out`, or refuses where it is strict; images that cannot be read are the evaluation's matter.
    """

    one_by_one: bool = False
    """Whether an example has a forward pass to itself, such as a clip of many frames."""
    shows_boxes: bool = False
    """Whether every prompt has a box, and the suite shows each the cut around it where the setting's frame asks for it.

    Examples then hold a `hqsam_lightning.cuts.PhotoToCut`, and a mask is restored with the `Batch.cut_of` its row.
    """

    @abstractmethod
    def examples(self, setting: Setting) -> Dataset[Example]:
        """Gives the images with their prompted masks, in an order that never changes; it has a length."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Plain values that change with what the suite reads: an evaluation continues only where they are the same."""

    @abstractmethod
    def score(self, setting: Setting, batch: Batch, model: Model) -> list[list[Record]]:
        """Predicts a few images and keeps what is needed of it.

        Args:
            setting: as for `examples`.
            batch: of a few examples, on the model's device.
            model: encodes its images, and decodes any prompts of them.

        Returns:
            Records of each of the batch's B images, in their order.
        """

    @abstractmethod
    def table(self, setting: Setting, records: Sequence[Record]) -> pd.DataFrame:
        """Makes the score table of all records, which are in the order of the examples.

        A score of a whole set has `hqsam_lightning.evaluation.table.WHOLE_SET` as its sample and group, mask 0 and NaN
        as thinness.
        """

    def metrics(self, setting: Setting) -> Mapping[str, Quantity]:
        """What the table's metrics are, by their names there: those of masks, unless the suite has its own."""
        return setting.scorer.metrics

    def left_out(self) -> Sequence[str]:
        """What of the files is not used, and why: a sentence each."""
        return ()

    def unreadable(self) -> Sequence[str]:
        """Why each image that is no example cannot be read, if it was to be one."""
        return ()

    def write(self, folder: Path, setting: Setting, records: Sequence[Record]) -> None:
        """Writes further results into a folder that is this setting's own, and is not there yet; none by default."""
        return
