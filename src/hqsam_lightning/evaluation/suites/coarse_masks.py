"""Sets of photos whose masks are refined from coarse ones, such as those of a semantic segmentation (table 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch.nn import functional as F
from torch.utils.data import ConcatDataset, Dataset

from hqsam_lightning.data import DataSets
from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.examples import EvaluationExamples
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.evaluation.suites.base import Record, Setting
from hqsam_lightning.evaluation.suites.masks import MaskSuite
from hqsam_lightning.prompts import PromptMix
from hqsam_lightning.types import Example, Prompt

COARSE = "coarse_mask"
"""Name of the prompts in tables."""
MASK_PROMPT = 255.0
"""Value of an object's pixels in a mask prompt, as the released code trains with (0 is background)."""


class CoarseMaskSuite(MaskSuite):
    """Every mask of some sets, prompted with a coarse mask beside the config's prompts.

    Args:
        sets: see `MaskSuite`.
        coarse: the same photos with their coarse masks, by the same names of sets; None prompts with none.
        strict: whether a photo without a coarse mask is an error; otherwise it cannot be read.

    Raises:
        ConfigError: the coarse masks are of other sets.
        DataError: a photo has none.
    """

    def __init__(
        self, sets: DataSets | Mapping[str, SampleSet], coarse: DataSets | None = None, strict: bool = True
    ) -> None:
        super().__init__(sets)
        self.coarse = {} if coarse is None else dict(coarse.validation)
        self.shows_boxes = not self.coarse
        if coarse is not None and self.coarse.keys() != self.sets.keys():
            raise ConfigError(
                f"suite.coarse.val_sources: expected {', '.join(self.sets)}, as suite.sets.val_sources; got "
                f"{', '.join(self.coarse) or 'none'}"
            )
        self._places = {name: _places(self.sets[name], other, name, strict) for name, other in self.coarse.items()}

    def examples(self, setting: Setting) -> Dataset[Example]:
        """The sets one after the other."""
        if not self.coarse:
            return super().examples(setting)
        frame, size = setting.scorer.frame, setting.mask_input_size
        parts = []
        for name, samples in self.sets.items():
            examples = EvaluationExamples(samples, frame, setting.prompts, size, name)
            parts.append(CoarselyPrompted(examples, self.coarse[name], self._places[name]))
        return ConcatDataset(parts)

    def table(self, setting: Setting, records: Sequence[Record]) -> pd.DataFrame:
        """The lines, by set and prompts, the coarse masks last."""
        coarse = {COARSE + setting.scorer.frame.suffix: PromptMix({"box": 1})} if self.coarse else {}
        return super().table(replace(setting, prompts={**setting.prompts, **coarse}), records)


class CoarselyPrompted(Dataset[Example]):
    """Examples with a mask prompt besides.

    Args:
        examples: of a set.
        coarse: the same photos with coarse masks.
        places: index in `coarse` of each example; None where it has none.
    """

    def __init__(self, examples: EvaluationExamples, coarse: SampleSet, places: Sequence[int | None]) -> None:
        self.examples = examples
        self.coarse = coarse
        self.places = places

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        """Reads an image, its masks and its coarse masks; a `DataError` where they are not as many."""
        example, place = self.examples[index], self.places[index]
        if place is None:
            raise DataError(
                f"{example.sample_id}: expected a coarse mask that can be used, found none; repair or add it"
            )
        coarse = self.coarse[place]
        if len(coarse.masks) != len(example.masks):
            raise DataError(
                f"{example.sample_id}: expected as many coarse masks as masks, {len(example.masks)}; got "
                f"{len(coarse.masks)}"
            )
        frame, size = self.examples.frame, self.examples.mask_input_size
        framed = frame.place(coarse.image, coarse.masks)
        small = F.interpolate(torch.from_numpy(framed.masks)[:, None], (size, size), mode="bilinear")
        shown = [Prompt(mask=mask) for mask in (small > 0.5).float() * MASK_PROMPT]
        return replace(example, prompts={**example.prompts, COARSE + frame.suffix: shown})


def _places(samples: SampleSet, coarse: SampleSet, name: str, strict: bool) -> list[int | None]:
    """Index of each sample's coarse one, which has the same id; None, where it is not strict, for one without."""
    places = {coarse.identify(index).sample_id: index for index in range(len(coarse))}
    wanted = [samples.identify(index).sample_id for index in range(len(samples))]
    missing = [sample for sample in wanted if sample not in places]
    if missing and (strict or len(missing) == len(wanted)):
        raise DataError(
            f"suite.coarse: expected a coarse mask of each of {len(wanted)} photos of {name}; {len(missing)} have "
            f"none, such as {missing[0]}; add them, or list the photos in suite.sets.catalogue.{name}.exclude"
        )
    return [places.get(sample) for sample in wanted]
