"""The losses against plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.losses.dice import dice_loss
from hqsam_lightning.pretraining.losses import PretrainingLoss, actual_iou
from hqsam_lightning.pretraining.model import Decoded


def inputs(seed: int = 0) -> tuple[Decoded, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 4, 6, 6, generator=generator)
    return Decoded(logits, torch.rand(3, 4, generator=generator)), torch.rand(3, 1, 6, 6, generator=generator)


def plain_loss(logits: Tensor, target: Tensor, pixel_weight: float, gamma: float) -> float:
    focal = overlap = total = 0.0
    for value, share in zip(logits.flatten().tolist(), target.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-value))
        entropy = -share * math.log(p) - (1 - share) * math.log(1 - p)
        focal += (1 - (p * share + (1 - p) * (1 - share))) ** gamma * entropy / logits.numel()
        overlap += 2 * p * share
        total += p + share
    return pixel_weight * focal + 1 - (overlap + 1) / (total + 1)


@pytest.mark.parametrize(("pixel_weight", "gamma"), [(20.0, 2.0), (1.0, 0.0), (0.0, 2.0)])
def test_terms_of_the_first_round(pixel_weight: float, gamma: float) -> None:
    decoded, coverage = inputs()
    terms = PretrainingLoss(pixel_weight, gamma)(decoded, coverage, multimask=True)
    for row in range(3):
        losses = [plain_loss(decoded.logits[row, k], coverage[row, 0], pixel_weight, gamma) for k in range(4)]
        target = coverage[row, 0] > 0.5
        overlaps = [(((mask > 0) & target).sum() / ((mask > 0) | target).sum()).item() for mask in decoded.logits[row]]
        errors = [(value - overlap) ** 2 for value, overlap in zip(decoded.iou[row].tolist(), overlaps, strict=True)]
        assert terms["single"][row].item() == pytest.approx(losses[0], rel=1e-5)
        assert terms["multi"][row].item() == pytest.approx(min(losses[1:]), rel=1e-5)
        assert terms["iou"][row].item() == pytest.approx(sum(errors) / 4, rel=1e-5)
        assert terms["actual_iou"][row].item() == pytest.approx(overlaps[0])


def test_later_rounds_train_the_single_mask_alone() -> None:
    decoded, coverage = inputs()
    decoded.logits.requires_grad_()
    decoded.iou.requires_grad_()
    terms = PretrainingLoss()(decoded, coverage, multimask=False)
    assert set(terms) == {"single", "iou", "actual_iou"}
    (terms["single"] + terms["iou"]).sum().backward()
    for gradient in (decoded.logits.grad, decoded.iou.grad):
        assert gradient[:, 0].abs().sum() > 0
        assert gradient[:, 1:].abs().sum() == 0


def test_only_the_best_of_three_learns() -> None:
    decoded, coverage = inputs()
    decoded.logits.requires_grad_()
    loss = PretrainingLoss()
    best = 1 + loss.mask_loss(decoded.logits[:, 1:], coverage.expand(-1, 3, -1, -1)).argmin(1)
    loss(decoded, coverage, multimask=True)["multi"].sum().backward()
    learns = decoded.logits.grad.abs().sum((-1, -2)) > 0
    assert learns.nonzero().tolist() == [[row, int(k)] for row, k in enumerate(best)]


def test_gamma_0_is_the_cross_entropy_with_gradients() -> None:
    decoded, coverage = inputs()
    logits = decoded.logits[:, :1].requires_grad_()
    loss = PretrainingLoss(1.0, 0.0).mask_loss(logits, coverage) - dice_loss(logits, coverage, None, (-1, -2))
    expected = F.binary_cross_entropy_with_logits(logits, coverage, reduction="none").mean((-1, -2))
    assert torch.allclose(loss, expected, rtol=1e-5)
    ours, theirs = (torch.autograd.grad(value.sum(), logits)[0] for value in (loss, expected))
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_focal_is_torchvisions() -> None:
    decoded, coverage = inputs()
    logits = decoded.logits[:, :1]
    expected = sigmoid_focal_loss(logits, coverage, alpha=-1, gamma=2.0).mean((-1, -2))
    found = PretrainingLoss(1.0, 2.0).mask_loss(logits, coverage) - dice_loss(logits, coverage, None, (-1, -2))
    assert torch.allclose(found, expected, rtol=1e-4)


def test_iou_of_empty_masks() -> None:
    logits, coverage = torch.full((1, 2, 4, 4), -1.0), torch.zeros(1, 1, 4, 4)
    logits[0, 1, 0, 0] = 1
    assert actual_iou(logits, coverage).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("key", ["pixel_weight", "gamma"])
def test_a_value_out_of_range_names_its_key(key: str) -> None:
    with pytest.raises(ConfigError, match=f"loss.{key}: expected a number in .*; got -1"):
        PretrainingLoss(**{key: -1})


# --- ignored pixels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pixel_weight", "gamma"), [(20.0, 2.0), (1.0, 0.0), (3.0, 1.0)])
def test_terms_outside_the_ignored_pixels(pixel_weight: float, gamma: float) -> None:
    """Each mask is cut to the pixels that count and given to the plain loop, as an image of one row."""
    decoded, coverage = inputs()
    ignore = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(3)) < 0.4
    terms = PretrainingLoss(pixel_weight, gamma)(decoded, coverage, multimask=True, ignore=ignore)
    for row in range(3):
        kept = ~ignore[row, 0]
        share = coverage[row, 0][kept]
        losses = [plain_loss(decoded.logits[row, k][kept], share, pixel_weight, gamma) for k in range(4)]
        masks = [mask[kept] > 0 for mask in decoded.logits[row]]
        overlaps = [((mask & (share > 0.5)).sum() / (mask | (share > 0.5)).sum()).item() for mask in masks]
        errors = [(value - overlap) ** 2 for value, overlap in zip(decoded.iou[row].tolist(), overlaps, strict=True)]
        assert terms["single"][row].item() == pytest.approx(losses[0], rel=1e-5)
        assert terms["multi"][row].item() == pytest.approx(min(losses[1:]), rel=1e-5)
        assert terms["iou"][row].item() == pytest.approx(sum(errors) / 4, rel=1e-5)
        assert terms["actual_iou"][row].item() == pytest.approx(overlaps[0])


def test_masks_beside_ignored_ones_lose_the_same_to_the_last_bit_and_all_ignored_ones_nothing() -> None:
    made = []
    for ignore in (None, torch.tensor([False, True, False])[:, None, None, None].expand(3, 1, 6, 6)):
        decoded, coverage = inputs()
        leaves = [decoded.logits.requires_grad_(), decoded.iou.requires_grad_()]
        terms = PretrainingLoss()(decoded, coverage, multimask=True, ignore=ignore)
        sum(terms[name].sum() for name in ("single", "multi", "iou")).backward()
        made.append([*terms.values(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*made, strict=True):
        assert torch.equal(one[[0, 2]], other[[0, 2]])
    *losses, actual, logits_gradient, iou_gradient = (value[1] for value in made[1])
    assert all((value == 0).all() for value in (*losses, logits_gradient, iou_gradient))
    assert actual == 1
