"""Protocols of the validation: the filled box, and predictions at original size."""

import copy

import pytest
import torch
import torch.nn.functional as F

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.scorer import fill_box
from hqsam_lightning.pretraining.model import TrainableSam
from hqsam_lightning.pretraining.module import predict_protocols
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.prompts.clicks import deepest_points
from hqsam_lightning.prompts.kinds import box_of
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import Batch, Prompt


def masks(count: int) -> torch.Tensor:
    noise = torch.randn(count, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    smooth = F.avg_pool2d(noise, 15, stride=1, padding=7)
    return (smooth > 0.03).float()


def test_the_filled_box() -> None:
    mask = torch.zeros(8, 9, dtype=torch.bool)
    mask[2, 3] = mask[5, 4] = True
    filled = fill_box(mask)
    assert filled.sum() == 8
    assert filled[2:6, 3:5].all()


def test_predictions_are_those_of_each_mask_alone(tiny_sam: FrozenSam) -> None:
    model = TrainableSam(copy.deepcopy(tiny_sam.sam)).eval()
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    image_index, soft = torch.tensor([0, 1, 1]), masks(3)
    originals = [F.interpolate(mask[None], (50, 70))[0, 0] > 0.5 for mask in soft]
    boxes = group_prompts([Prompt(box=box_of(mask)) for mask in soft])
    batch = Batch(images, soft, image_index, boxes, [0] * 3, originals, ["a"] * 3, ["s"] * 3)
    predicted = predict_protocols(model, batch)
    assert set(predicted) == {"filled_box", "box", "point"}
    points = deepest_points(soft).point_coords
    for row in range(3):
        shown = {
            "box": {"points": None, "boxes": box_of(soft[row])[None]},
            "point": {"points": (points[row : row + 1], torch.ones(1, 1)), "boxes": None},
        }
        for name, prompt in shown.items():
            sparse, dense = model.prompt_encoder(**prompt, masks=None)
            embedding = model.encode(images)[image_index[row]][None]
            logits, _ = model.mask_decoder(
                image_embeddings=embedding,
                image_pe=model.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=False,
            )
            expected = F.interpolate(logits, (50, 70), mode="bilinear", align_corners=False)[0, 0] > 0
            assert (predicted[name][row] == expected).float().mean() > 0.999, name


def test_other_prompts_than_boxes_are_refused(tiny_sam: FrozenSam) -> None:
    points, originals = [deepest_points(masks(1))], [torch.ones(64, 64, dtype=torch.bool)]
    images, image_index = torch.zeros(1, 3, 64, 64), torch.zeros(1, dtype=torch.int64)
    batch = Batch(images, masks(1), image_index, points, [0], originals, ["a"], ["s"])
    with pytest.raises(ConfigError, match=r"val_prompts: expected a box for every mask.*prompts@val_prompts.box=box"):
        predict_protocols(TrainableSam(copy.deepcopy(tiny_sam.sam)), batch)


def test_a_training_batch_is_refused(tiny_sam: FrozenSam) -> None:
    batch = Batch(torch.zeros(1, 3, 64, 64), masks(1), torch.zeros(1, dtype=torch.int64), [], [0], None, ["a"], ["s"])
    with pytest.raises(ValueError, match="expected a batch with original_masks"):
        predict_protocols(TrainableSam(copy.deepcopy(tiny_sam.sam)), batch)
