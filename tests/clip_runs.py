"""Runs suites of video on a tiny SAM and heads, without a command."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from conftest import randomise
from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.readable import collate_readable
from hqsam_lightning.evaluation.suites import Record, Setting
from hqsam_lightning.evaluation.suites.clips import ClipSuite
from hqsam_lightning.heads import HQHead, SamHead
from hqsam_lightning.sam import FrozenSam


def tiny_model(sam: FrozenSam) -> Model:
    """Plain SAM and a head with random weights."""
    torch.manual_seed(0)
    head = HQHead(sam)
    randomise(head, 3)
    return Model(sam, {"sam": SamHead(), "hq": head.eval()}, masks_at_once=2)


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
