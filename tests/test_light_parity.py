"""Light HQ-SAM: from one checkpoint of the authors' format, our features and logits are theirs at 1024 px."""

import warnings
from pathlib import Path

import torch
from hydra.utils import instantiate

from conftest import randomise
from hqsam_lightning.heads import HQHead
from hqsam_lightning.heads.official import put_official
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam.state_dicts import read_state_dict
from hqsam_lightning.types import Prompt
from reference import official_features, official_logits


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_a_light_checkpoint_gives_the_authors_logits(make_config, tmp_path: Path) -> None:
    config = make_config("sam=vit_tiny", f"sam.weights={tmp_path / 'light.pth'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package imports modules from where timm used to have them
        from segment_anything_hq import sam_model_registry
    official = sam_model_registry["vit_tiny"]()
    randomise(official, seed=1)
    generator = torch.Generator().manual_seed(3)
    for name, value in official.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    torch.save(official.state_dict(), tmp_path / "light.pth")
    official.eval()

    sam = instantiate(config.sam)
    head = HQHead(sam)
    put_official(head, read_state_dict(tmp_path / "light.pth"), tmp_path / "light.pth", sam)
    images = torch.randint(0, 256, (1, 3, 1024, 1024), generator=generator, dtype=torch.uint8)
    features, (final, early) = sam.encode(images), official_features(official, images)
    assert relative(features.image_embeddings, final) <= 1e-5
    assert relative(features.early, early) <= 1e-5
    prompts = [Prompt(box=torch.tensor([100.0, 220, 700, 840])), Prompt(box=torch.tensor([3.0, 5, 1000, 400]))]
    with torch.no_grad():
        ours = head(sam, features, sam.encode_prompts(group_prompts(prompts), torch.zeros(2, dtype=torch.int64)))
    for output in ("hq", "sum"):
        theirs, iou = official_logits(official, final, early, prompts, False, output == "hq")
        assert relative(ours.select(output), theirs) <= 1e-5
    assert relative(ours.iou, iou) <= 1e-5
    assert sum(value.numel() for value in head.learned.values()) == 448_512
