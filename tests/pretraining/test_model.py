"""The trainable SAM against segment-anything's own classes, one image and one mask a call."""

import copy

import pytest
import torch
from segment_anything.modeling import Sam
from torch import Tensor

from gradients import assert_close_gradients
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.pretraining.model import Decoded, TrainableSam
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import Prompt

IMAGE_INDEX = torch.tensor([0, 0, 1, 1, 1])


@pytest.fixture
def sam(tiny_sam: FrozenSam) -> Sam:
    return copy.deepcopy(tiny_sam.sam)


def images() -> Tensor:
    return torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def prompts() -> list[Prompt]:
    """Kinds alternate, so that the rows of a group are apart."""
    box, point = torch.tensor([3.0, 8.0, 40.0, 50.0]), torch.tensor([[20.0, 30.0]])
    positive, mask = torch.tensor([1]), torch.linspace(-4, 4, 256).reshape(1, 16, 16)
    return [
        Prompt(box=box),
        Prompt(point_coords=point, point_labels=positive),
        Prompt(box=box + 5),
        Prompt(box=box, point_coords=point, point_labels=1 - positive, mask=mask),
        Prompt(point_coords=point - 7, point_labels=positive),
    ]


def predict(model: TrainableSam) -> Decoded:
    return model.decode(model.encode(images()), group_prompts(prompts()), IMAGE_INDEX)


def one_by_one(sam: Sam) -> tuple[Tensor, Tensor]:
    """segment-anything's forward, a mask at a time."""
    masks, ious = [], []
    for prompt, image in zip(prompts(), images()[IMAGE_INDEX], strict=True):
        points = None if prompt.point_coords is None else (prompt.point_coords[None], prompt.point_labels[None])
        sparse, dense = sam.prompt_encoder(
            points=points,
            boxes=None if prompt.box is None else prompt.box[None],
            masks=None if prompt.mask is None else prompt.mask[None],
        )
        inputs = {
            "image_embeddings": sam.image_encoder(sam.preprocess(image.float())[None]),
            "image_pe": sam.prompt_encoder.get_dense_pe(),
            "sparse_prompt_embeddings": sparse,
            "dense_prompt_embeddings": dense,
        }
        single, multi = (sam.mask_decoder(**inputs, multimask_output=several) for several in (False, True))
        masks.append(torch.cat([single[0], multi[0]], dim=1))
        ious.append(torch.cat([single[1], multi[1]], dim=1))
    return torch.cat(masks), torch.cat(ious)


def test_all_outputs_are_segment_anythings(sam: Sam) -> None:
    expected_logits, expected_iou = one_by_one(copy.deepcopy(sam))
    decoded = predict(TrainableSam(sam))
    assert decoded.logits.shape == (5, 4, 16, 16)
    for ours, theirs in ((decoded.logits, expected_logits), (decoded.iou, expected_iou)):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_gradients_are_segment_anythings(sam: Sam) -> None:
    plain = copy.deepcopy(sam).requires_grad_(True)
    logits, iou = one_by_one(plain)
    (logits.square().mean() + iou.square().mean()).backward()
    decoded = predict(TrainableSam(sam))
    (decoded.logits.square().mean() + decoded.iou.square().mean()).backward()
    ours, theirs = ({name: value.grad for name, value in each.named_parameters()} for each in (sam, plain))
    assert_close_gradients(ours, theirs)


def test_bf16_is_near_and_gives_float32(sam: Sam) -> None:
    exact = predict(TrainableSam(copy.deepcopy(sam)))
    coarse = predict(TrainableSam(sam, "bf16"))
    assert coarse.logits.dtype == coarse.iou.dtype == torch.float32
    difference = (coarse.logits - exact.logits).abs().max() / exact.logits.abs().max()
    assert 0 < difference < 0.1


def test_all_of_a_frozen_sam_learns(sam: Sam) -> None:
    model = TrainableSam(sam.requires_grad_(False).eval())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_unknown_precision(sam: Sam) -> None:
    with pytest.raises(ConfigError, match="precision: expected one of fp32, bf16; got 'fp16'"):
        TrainableSam(sam, "fp16")
