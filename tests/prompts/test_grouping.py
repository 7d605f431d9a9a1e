import numpy as np
import pytest
import torch
from torch import Tensor

from hqsam_lightning.prompts import PromptMix, group_prompts
from hqsam_lightning.types import Prompt, PromptGroup

COLUMNS = {"box": "boxes", "point_coords": "point_coords", "point_labels": "point_labels", "mask": "masks"}


def make_prompt(row: int, box: bool = False, points: int = 0, mask: bool = False) -> Prompt:
    """A prompt whose every value tells its row."""
    value = float(row + 1)
    return Prompt(
        box=torch.full((4,), value) if box else None,
        point_coords=torch.arange(2.0 * points).reshape(points, 2) + 100 * value if points else None,
        point_labels=(torch.arange(points) + row) % 2 if points else None,
        mask=torch.full((1, 8, 8), value) if mask else None,
    )


def assert_holds_its_rows(group: PromptGroup, prompts: list[Prompt]) -> None:
    for field, column in COLUMNS.items():
        stacked: Tensor | None = getattr(group, column)
        values = [getattr(prompts[row], field) for row in group.rows.tolist()]
        if stacked is None:
            assert values == [None] * len(values)
            continue
        assert len(stacked) == len(values)
        assert all(torch.equal(mine, value) for mine, value in zip(stacked, values, strict=True))


# what is shown for each mask, and the rows that belong together
CASES = {
    "one kind": ([{"box": True}] * 3, [[0, 1, 2]]),
    "one prompt": ([{"points": 10}], [[0]]),
    "kinds": (
        [{"mask": True}, {"box": True}, {"points": 10}, {"box": True}, {"mask": True}, {"points": 10}],
        [[0, 4], [1, 3], [2, 5]],
    ),
    "numbers of points": ([{"points": 1}, {"points": 3}, {"points": 1}, {"points": 10}], [[0, 2], [1], [3]]),
    "combinations": (
        [
            {"box": True, "points": 3},
            {"box": True},
            {"box": True, "mask": True},
            {"points": 3},
            {"box": True, "points": 2},
            {"mask": True},
            {"box": True, "mask": True},
            {"box": True, "points": 3},
            {"box": True, "points": 3, "mask": True},
            {"points": 3, "mask": True},
        ],
        [[0, 7], [1], [2, 6], [3], [4], [5], [8], [9]],
    ),
}


@pytest.mark.parametrize(("shown", "expected"), CASES.values(), ids=CASES.keys())
def test_prompts_of_a_kind_are_together(shown: list[dict], expected: list[list[int]]) -> None:
    prompts = [make_prompt(row, **kinds) for row, kinds in enumerate(shown)]
    groups = group_prompts(prompts)
    assert [group.rows.tolist() for group in groups] == expected
    assert all(group.rows.dtype == torch.int64 for group in groups)
    for group in groups:
        assert_holds_its_rows(group, prompts)


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_a_partition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shown = [
        {"box": bool(rng.integers(2)), "points": int(rng.integers(4)), "mask": bool(rng.integers(2))} for _ in range(40)
    ]
    prompts = [make_prompt(row, **kinds) for row, kinds in enumerate(shown)]
    groups = group_prompts(prompts)
    assert sorted(torch.cat([group.rows for group in groups]).tolist()) == list(range(40))
    assert len(groups) == len({tuple(kinds.values()) for kinds in shown})
    for group in groups:
        assert_holds_its_rows(group, prompts)


def test_mix_gives_three_groups_at_most() -> None:
    mix = PromptMix({"box": 1, "points": 1, "noise_mask": 1}, num_points=10, box_noise=0.4)
    masks = torch.zeros(24, 1, 16, 16)
    for row, mask in enumerate(masks):
        # from 4 pixels, too few for points, to 196
        mask[0, 1 : 3 + row // 2, 1 : 3 + row // 2] = 1
    prompts = [mix.draw(mask, 8, np.random.default_rng(row)) for row, mask in enumerate(masks)]
    groups = group_prompts(prompts)
    assert len(groups) == 3
    assert sorted(torch.cat([group.rows for group in groups]).tolist()) == list(range(24))
    for group in groups:
        assert_holds_its_rows(group, prompts)
