"""Runs suites of video without a command."""

from __future__ import annotations

from types import SimpleNamespace

from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.readable import collate_readable
from hqsam_lightning.evaluation.suites import Record, Setting
from hqsam_lightning.evaluation.suites.clips import ClipSuite
from hqsam_lightning.sam import FrozenSam


def setting_of(sam: FrozenSam) -> Setting:
    scorer = SimpleNamespace(frame=Stretch(sam.image_size), run="run")
    return Setting(scorer, {}, sam.mask_input_size)


def score(suite: ClipSuite, model: Model) -> list[Record]:
    """Records of all clips, one after the other."""
    setting = setting_of(model.sam)
    examples = suite.examples(setting)
    records: list[Record] = []
    for index in range(len(examples)):
        (of_clip,) = suite.score(setting, collate_readable([examples[index]]).batch, model)
        records += of_clip
    return records
