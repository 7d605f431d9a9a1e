"""A small model to evaluate."""

import pytest

from conftest import randomise
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.heads import HQHead, SamHead
from hqsam_lightning.sam import FrozenSam


@pytest.fixture(scope="session")
def model(tiny_sam: FrozenSam) -> Model:
    head = HQHead(tiny_sam)
    randomise(head, seed=3)
    return Model(tiny_sam, {"sam": SamHead(), "hq": head.eval()}, masks_at_once=64)
