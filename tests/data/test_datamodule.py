"""Validation with several kinds of prompts costs one call of the encoder per image."""

import pytest
import torch

from hqsam_lightning.data import Augmentation, DataSets, PromptedDataModule
from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.heads import SamHead
from hqsam_lightning.heads.base import predictions
from hqsam_lightning.prompts import PromptMix
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import SamFeatures

NOISES = {"box": 0.0, "box_noise_20": 0.2, "box_noise_40": 0.4}


def logits_of(sam: FrozenSam, kinds: dict[str, PromptMix]) -> dict[tuple[str, str, int], torch.Tensor]:
    """Logits by kind of prompts, sample and number of the mask."""
    sets = DataSets([(Scenes(1, 64), 1.0)], {"a": Scenes(3, 64, objects=(2, 2)), "b": Scenes(2, 64, split="val")})
    data = PromptedDataModule(sets, Augmentation(64), PromptMix({"box": 1}), kinds, 64, 16, 2, 1, seed=0)
    loaders = data.val_dataloader()
    assert len(loaders) == 2
    found: dict[tuple[str, str, int], torch.Tensor] = {}
    for batch in (batch for loader in loaders for batch in loader):
        with torch.no_grad():
            ((_, made),) = predictions(sam, {"sam": SamHead()}, batch)
        for kind, sample, logits in zip(batch.prompt_names, batch.sample_ids, made.sam, strict=True):
            number = sum(key[:2] == (kind, sample) for key in found)
            found[kind, sample, number] = logits
    return found


def test_every_image_is_encoded_once_however_many_prompts(tiny_sam: FrozenSam, monkeypatch: pytest.MonkeyPatch) -> None:
    encode, encoded = FrozenSam.encode, []

    def counted(self: FrozenSam, images: torch.Tensor) -> SamFeatures:
        encoded.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(FrozenSam, "encode", counted)
    kinds = {name: PromptMix({"box": 1}, box_noise=noise) for name, noise in NOISES.items()}
    together = logits_of(tiny_sam, kinds)
    assert sum(encoded) == 5
    alone: dict[tuple[str, str, int], torch.Tensor] = {}
    for name, kind in kinds.items():
        alone |= logits_of(tiny_sam, {name: kind})
    assert sum(encoded) == 5 + 3 * 5
    assert together.keys() == alone.keys()
    for key, logits in alone.items():
        torch.testing.assert_close(together[key], logits, rtol=1e-4, atol=1e-4)
