from copy import deepcopy
from typing import Any

import pytest
import torch

from conftest import sizes
from head_examples import IMAGE_INDEX, make_prompts, predict, weigh
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.heads import HQHead
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import SamFeatures

# rows of table 3: what the head is told, and the parts of its fusion that the row needs
TABLE_3: dict[str, tuple[dict[str, Any], set[str]]] = {
    "decoder_feature_raw": ({"features": ["decoder"], "fusion": "none"}, set()),
    "decoder_feature_conv": ({"features": ["decoder"]}, {"decoder"}),
    "without_decoder_feature": ({"features": ["final", "early"]}, {"final", "early"}),
    "decoder_and_final": ({"features": ["decoder", "final"]}, {"decoder", "final"}),
    "decoder_and_early": ({"features": ["decoder", "early"]}, {"decoder", "early"}),
    "decoder_final_early": ({}, {"decoder", "final", "early"}),
    "fpn_instead_of_fusion": ({"fusion": "fpn"}, {"decoder", "final", "early", "smooth"}),
}
EVERY_ROW = pytest.mark.parametrize("row", TABLE_3)


def make_head(sam: FrozenSam, row: str = "decoder_final_early", seed: int = 0) -> HQHead:
    return HQHead(sam, **TABLE_3[row][0], seed=seed)


def parameter_names(head: HQHead, having_gradient: bool) -> set[str]:
    return {
        name
        for name, value in head.named_parameters()
        if (value.grad is not None and value.grad.any()) == having_gradient
    }


@pytest.mark.parametrize(
    ("early_dim", "expected"),
    [(160, 448_512), (768, 1_071_104), (1024, 1_333_248), (1280, 1_595_392)],
    ids=["vit_tiny", "vit_b", "vit_l", "vit_h"],
)
def test_learns_as_many_parameters_as_the_paper(early_dim: int, expected: int) -> None:
    head = HQHead(sizes(256, early_dim))
    assert sum(value.numel() for value in head.parameters() if value.requires_grad) == expected
    assert sum(value.numel() for value in head.state_dict().values()) == expected


@EVERY_ROW
def test_row_builds_only_what_it_uses(tiny_sam: FrozenSam, row: str) -> None:
    head = make_head(tiny_sam, row)
    assert {name for name, _ in head.fusion.named_children()} == TABLE_3[row][1]
    assert {name for name, _ in head.named_children()} == {"token", "mlp", "fusion"}


@EVERY_ROW
def test_every_parameter_of_a_row_learns(tiny_sam: FrozenSam, features: SamFeatures, row: str) -> None:
    head = make_head(tiny_sam, row)
    logits = predict(head, tiny_sam, features, list(range(7)))
    assert logits.hq.shape == logits.sam.shape == (7, 1, 16, 16)
    assert logits.iou.shape == (7,)
    weigh(logits.hq).backward()
    assert parameter_names(head, having_gradient=False) == set()
    assert parameter_names(head, having_gradient=True) == head.state_dict().keys()


def test_sam_does_not_learn(tiny_sam: FrozenSam, features: SamFeatures) -> None:
    head = make_head(tiny_sam)
    before = deepcopy(tiny_sam.state_dict())
    optimizer = torch.optim.SGD(head.parameters(), lr=1e-3)
    logits = predict(head, tiny_sam, features, list(range(7)))
    (weigh(logits.hq) + weigh(logits.sam)).backward()
    optimizer.step()
    assert all(value.grad is None and not value.requires_grad for value in tiny_sam.parameters())
    torch.testing.assert_close(tiny_sam.state_dict(), before, rtol=0, atol=0)
    assert not {id(value) for value in head.parameters()} & {id(value) for value in tiny_sam.parameters()}


def test_sams_logits_know_of_the_token_alone(tiny_sam: FrozenSam, features: SamFeatures) -> None:
    """The HQ token takes part in the decoder's attention, as the authors'; MLP and fusion leave SAM's mask alone."""
    head = make_head(tiny_sam)
    before = predict(head, tiny_sam, features, [0, 1, 2, 3])
    weigh(before.sam).backward()
    assert parameter_names(head, having_gradient=True) == {"token.weight"}
    with torch.no_grad():
        for name, value in head.named_parameters():
            value.add_(1.0 if name != "token.weight" else 0.0)
    after = predict(head, tiny_sam, features, [0, 1, 2, 3])
    assert torch.equal(after.sam, before.sam)
    assert torch.equal(after.iou, before.iou)
    assert not torch.allclose(after.hq, before.hq)


@pytest.mark.parametrize(
    ("row", "multimask_output"),
    [
        ("decoder_final_early", False),
        ("decoder_final_early", True),
        ("decoder_feature_raw", False),
        ("without_decoder_feature", False),
        ("fpn_instead_of_fusion", False),
    ],
)
def test_masks_are_in_the_order_of_their_rows(
    tiny_sam: FrozenSam, features: SamFeatures, row: str, multimask_output: bool
) -> None:
    head = make_head(tiny_sam, row)
    head.multimask_output = multimask_output
    order = [4, 6, 1, 0, 5, 3, 2]
    with torch.no_grad():
        straight = predict(head, tiny_sam, features, list(range(7)))
        permuted = predict(head, tiny_sam, features, order)
        alone = [predict(head, tiny_sam, features, [mask]) for mask in range(7)]
    for name in ("sam", "hq", "iou"):
        values = getattr(straight, name)
        torch.testing.assert_close(getattr(permuted, name), values[order], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(torch.cat([getattr(one, name) for one in alone]), values, rtol=1e-4, atol=1e-4)
    # rows that do not differ would prove nothing; encoder features alone still meet another token in each row
    distances = torch.cdist(straight.hq.flatten(1), straight.hq.flatten(1)) + torch.eye(7) * 1e3
    assert distances.min() > 1e-3


@pytest.mark.parametrize("row", ["decoder_final_early", "without_decoder_feature", "fpn_instead_of_fusion"])
def test_each_mask_is_of_its_own_image(tiny_sam: FrozenSam, features: SamFeatures, row: str) -> None:
    """Exchanging the two images and the masks' indices together changes nothing; the images alone, every mask."""
    head = make_head(tiny_sam, row)
    exchanged = SamFeatures(features.image_embeddings.flip(0), features.early.flip(0), features.dense_pe)
    groups, index = group_prompts(make_prompts()), torch.tensor(IMAGE_INDEX)
    with torch.no_grad():
        straight = head(tiny_sam, features, tiny_sam.encode_prompts(groups, index))
        both = head(tiny_sam, exchanged, tiny_sam.encode_prompts(groups, 1 - index))
        images_alone = head(tiny_sam, exchanged, tiny_sam.encode_prompts(groups, index))
    for name in ("sam", "hq"):
        values = getattr(straight, name)
        torch.testing.assert_close(getattr(both, name), values, rtol=1e-4, atol=1e-4)
        assert ((getattr(images_alone, name) - values).abs().amax((1, 2, 3)) > 1e-3).all()


def assert_common_weights_are_equal(one: HQHead, other: HQHead, common: set[str]) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    names = {name for name in mine.keys() & theirs.keys() if name.startswith(tuple(common))}
    assert {prefix for prefix in common if any(name.startswith(prefix) for name in names)} == common
    assert all(torch.equal(mine[name], theirs[name]) for name in names)


@EVERY_ROW
def test_common_parts_begin_equal(tiny_sam: FrozenSam, row: str) -> None:
    common = {"token.", "mlp."}
    if TABLE_3[row][0].get("fusion") is None:
        common |= {f"fusion.{part}." for part in TABLE_3[row][1]}
    assert_common_weights_are_equal(make_head(tiny_sam, row), make_head(tiny_sam), common)


def test_common_parts_begin_equal_over_another_encoder() -> None:
    common = {"token.", "mlp.", "fusion.final.", "fusion.decoder."}
    assert_common_weights_are_equal(HQHead(sizes(32, 16)), HQHead(sizes(32, 24)), common)


@EVERY_ROW
def test_weights_depend_on_the_seed_alone(tiny_sam: FrozenSam, row: str) -> None:
    state = torch.get_rng_state()
    first = make_head(tiny_sam, row, seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        torch.testing.assert_close(make_head(tiny_sam, row, seed=7).state_dict(), first, rtol=0, atol=0)
    other = make_head(tiny_sam, row, seed=8).state_dict()
    # norms begin at one and zero whatever the seed
    drawn = {name for name, value in first.items() if value.unique().numel() > 1}
    assert drawn >= {name for name, value in first.items() if value.ndim > 1}
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": []}, r"\.features: expected a list of some of decoder, final, early.*; got \[\]$"),
        ({"features": ["decoder", "late"]}, r"\.features: expected a list of some of .* got \['decoder', 'late'\]$"),
        ({"fusion": "sum"}, r"\.fusion: expected one of none, conv, fpn; got 'sum'$"),
        ({"fusion": "none"}, r"\.features: fusion=none expects exactly \['decoder'\]; got .*fusion=conv"),
        ({"fusion": "none", "features": ["final"]}, r"\.features: fusion=none expects exactly \['decoder'\]"),
        (
            {"fusion": "fpn", "features": ["decoder", "final"]},
            r"\.features: fusion=fpn expects exactly \['decoder', 'early', 'final'\]; got \['decoder', 'final'\]",
        ),
    ],
)
def test_bad_features_or_fusion(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HQHead(sizes(32, 16), **arguments)
