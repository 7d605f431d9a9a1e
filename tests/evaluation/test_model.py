"""Encoding once and decoding in chunks gives the logits of each head alone."""

import pytest
import torch

from conftest import randomise
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.heads import HQHead, SamHead, TunedSamHead
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import Prompt


@pytest.fixture
def model(tiny_sam: FrozenSam) -> Model:
    heads = {"sam": SamHead(), "hq": HQHead(tiny_sam), "tuned": TunedSamHead(tiny_sam)}
    for seed, head in enumerate(heads.values()):
        randomise(head, seed)
    return Model(tiny_sam, {name: head.eval() for name, head in heads.items()}, masks_at_once=2)


def test_logits_are_those_of_each_head_alone(model: Model) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=generator, dtype=torch.uint8)
    boxes = [Prompt(box=torch.tensor([4.0, 6.0, 30.0 + row, 40.0])) for row in range(5)]
    points = [Prompt(point_coords=torch.tensor([[9.0, 8.0]]), point_labels=torch.tensor([1]))]
    prompts, index = [*boxes, *points], torch.tensor([0, 1, 0, 0, 1, 1])
    encoded = model.encode(images)
    logits = encoded.logits(group_prompts(prompts), index)
    assert list(logits) == model.rows == [("sam", "sam"), ("hq", "hq"), ("hq", "sum"), ("tuned", "hq")]
    for row, prompt in enumerate(prompts):
        for name, head in model.heads.items():
            image = images[index[row], None]
            encoder = head.own_encoder or model.sam.sam.image_encoder
            features = model.sam.encode_with(encoder, image)
            alone = head(model.sam, features, model.sam.encode_prompts(group_prompts([prompt]), torch.tensor([0])))
            for output in head.outputs:
                torch.testing.assert_close(logits[name, output][row], alone.select(output)[0], rtol=1e-4, atol=1e-4)


def test_some_variants_alone(model: Model) -> None:
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    prompts = group_prompts([Prompt(box=torch.tensor([4.0, 6.0, 30.0, 40.0]))])
    assert set(model.encode(images).logits(prompts, torch.tensor([0]), ["hq"])) == {("hq", "hq"), ("hq", "sum")}
