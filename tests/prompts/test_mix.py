from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.prompts import PromptMix
from hqsam_lightning.types import Prompt

UNIFORM = {"box": 1, "points": 1, "noise_mask": 1}
FIELDS = ("box", "point_coords", "point_labels", "mask")


def mask_of(pixels: int) -> Tensor:
    """A (1, 16, 16) mask whose object has so many pixels."""
    mask = torch.zeros(1, 16, 16)
    mask[0, 4 : 4 + pixels // 8, 3:11] = 1
    mask[0, 4 + pixels // 8, 3 : 3 + pixels % 8] = 1
    assert mask.sum() == pixels
    return mask


def kind_of(prompt: Prompt) -> str:
    """Name of the one kind that a prompt has."""
    given = tuple(field for field in FIELDS if getattr(prompt, field) is not None)
    return {("box",): "box", ("point_coords", "point_labels"): "points", ("mask",): "noise_mask"}[given]


def draw_all(mix: PromptMix, masks: list[Tensor]) -> list[Prompt]:
    """As the data pipeline does: each mask has a generator of its own."""
    return [mix.draw(mask, 8, np.random.default_rng(seed)) for seed, mask in enumerate(masks)]


def kinds_of(mix: PromptMix, mask: Tensor, count: int) -> list[str]:
    return [kind_of(prompt) for prompt in draw_all(mix, [mask] * count)]


def assert_frequencies(kinds: list[str], weights: Mapping[str, float]) -> None:
    counts = Counter(kinds)
    assert counts.keys() == weights.keys()
    expected = np.array(list(weights.values())) * len(kinds) / sum(weights.values())
    assert stats.chisquare([counts[kind] for kind in weights], expected).pvalue > 1e-3


@pytest.mark.parametrize(
    "weights",
    [
        UNIFORM,
        {"box": 0.5, "points": 1.0, "noise_mask": 2.5},
        {"noise_mask": 3, "box": 1},
        {"points": 1, "box": 4},
    ],
)
def test_frequencies_follow_the_weights(weights: dict[str, float]) -> None:
    assert_frequencies(kinds_of(PromptMix(weights), mask_of(20), 1200), weights)


def test_kinds_without_weight_are_never_drawn() -> None:
    assert set(kinds_of(PromptMix({"box": 0, "points": 0, "noise_mask": 2}), mask_of(20), 50)) == {"noise_mask"}


def test_prompts_hold_what_their_kind_is() -> None:
    mask = mask_of(20)
    prompts = {kind_of(prompt): prompt for prompt in draw_all(PromptMix(UNIFORM, num_points=7), [mask] * 30)}
    assert prompts["box"].box.tolist() == [3, 4, 10, 6]
    assert prompts["points"].point_coords.shape == (7, 2)
    assert prompts["points"].point_labels.tolist() == [1] * 7
    assert prompts["points"].point_labels.dtype == torch.int64
    assert all(mask[0, int(y), int(x)] == 1 for x, y in prompts["points"].point_coords.tolist())
    assert prompts["noise_mask"].mask.shape == (1, 8, 8)


def test_box_noise_moves_boxes() -> None:
    boxes = torch.stack([p.box for p in draw_all(PromptMix({"box": 1}, box_noise=0.4), [mask_of(20)] * 50)])
    tight = torch.tensor([3.0, 4.0, 10.0, 6.0])
    # a corner moves by at most scale * size: half of it with the centre, half with the size
    reach = 0.4 * torch.tensor([7.0, 2.0, 7.0, 2.0])
    assert ((boxes - tight).abs() <= reach + 1e-5).all()
    assert ((boxes - tight).abs().amax(0) > reach / 2).all()
    assert (boxes.std(0) > 0).all()


def test_too_small_mask_gets_another_kind_and_its_neighbours_keep_theirs() -> None:
    mix = PromptMix(UNIFORM, num_points=10)
    large = [mask_of(30)] * 60
    before = draw_all(mix, large)
    kinds = [kind_of(prompt) for prompt in before]
    small_rows = set(range(0, 60, 3))
    assert {kinds[row] for row in small_rows} == {"box", "points", "noise_mask"}
    after = draw_all(mix, [mask_of(9) if row in small_rows else mask for row, mask in enumerate(large)])
    for row in range(60):
        if row not in small_rows:
            for field in FIELDS:
                torch.testing.assert_close(getattr(after[row], field), getattr(before[row], field), rtol=0, atol=0)
        elif kinds[row] == "points":
            assert kind_of(after[row]) in ("box", "noise_mask")
        else:
            assert kind_of(after[row]) == kinds[row]


def test_other_kind_is_drawn_by_weight() -> None:
    mix = PromptMix({"box": 1, "points": 20, "noise_mask": 3}, num_points=10)
    assert_frequencies(kinds_of(mix, mask_of(9), 1000), {"box": 1, "noise_mask": 3})


def test_just_enough_pixels_keep_points() -> None:
    assert set(kinds_of(PromptMix({"points": 1}, num_points=10), mask_of(10), 20)) == {"points"}


def test_points_alone_fall_back_to_a_box() -> None:
    prompts = draw_all(PromptMix({"points": 1, "box": 0}, num_points=10), [mask_of(9), mask_of(30)])
    assert [kind_of(prompt) for prompt in prompts] == ["box", "points"]
    assert prompts[0].box.tolist() == [3, 4, 10, 5]


def test_draws_depend_on_the_generator_alone() -> None:
    mix = PromptMix(UNIFORM, box_noise=0.4)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again = (draw_all(mix, [mask_of(20)] * 20) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        for field in FIELDS:
            torch.testing.assert_close(getattr(one, field), getattr(other, field), rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"mix": {"box": 1, "scribble": 1}},
            r"^prompts\.mix: expected .*some of box, points, noise_mask.* got .*scribble",
        ),
        ({"mix": {"box": -1, "points": 3}}, r"^prompts\.mix: expected a weight from 0 .* got .*-1"),
        ({"mix": {"box": float("nan")}}, r"^prompts\.mix: expected a weight from 0 .* got .*nan"),
        ({"mix": {"box": 0, "points": 0}}, r"^prompts\.mix: expected .* with a sum > 0; got"),
        ({"mix": {}}, r"^prompts\.mix: expected .* with a sum > 0; got"),
        ({"mix": UNIFORM, "num_points": 0}, r"^prompts\.num_points: expected an integer >= 1; got 0$"),
        ({"mix": UNIFORM, "box_noise": 2}, r"^prompts\.box_noise: expected a number in \[0, 1\]; got 2$"),
        ({"mix": UNIFORM, "box_noise": -0.1}, r"^prompts\.box_noise: expected a number in \[0, 1\]; got -0\.1$"),
    ],
)
def test_bad_values_name_their_key(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PromptMix(**arguments)
