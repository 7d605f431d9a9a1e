"""Scores are taken at each photo's own size, kept apart a row, and counted once."""

from unittest import mock

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hqsam_lightning.evaluation import scores as scores_module
from hqsam_lightning.evaluation.scores import MaskScores, ScoreBoard, summarise
from hqsam_lightning.metrics import boundary_iou
from hqsam_lightning.types import Batch

ROWS = [("sam", "sam"), ("hq", "hq")]


def make_batch(sizes: list[tuple[int, int]], datasets: list[str], sample_ids: list[str] | None = None) -> Batch:
    generator = torch.Generator().manual_seed(len(sizes))
    masks = [torch.rand(size, generator=generator) > 0.5 for size in sizes]
    count = len(sizes)
    return Batch(
        images=torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
        masks=torch.zeros(count, 1, 64, 64),
        image_index=torch.zeros(count, dtype=torch.int64),
        prompts=[],
        seeds=[0] * count,
        original_masks=masks,
        sample_ids=sample_ids or [f"a/{row}" for row in range(count)],
        datasets=datasets,
    )


def make_logits(count: int) -> dict[tuple[str, str], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {row: torch.randn(count, 1, 16, 16, generator=generator) for row in ROWS}


def test_scores_are_of_each_masks_own_size() -> None:
    board = ScoreBoard(["a", "b", "empty"], ROWS, dilation_ratio=0.05)
    batch, logits = make_batch([(30, 47), (64, 12), (9, 9)], ["a", "a", "b"]), make_logits(3)
    returned = board.update(batch, logits)
    masks = board.compute()
    assert masks == returned
    for place, (mask, truth) in enumerate(zip(masks, batch.original_masks or [], strict=True)):
        for row in ROWS:
            logit = logits[row][place : place + 1]
            predicted = F.interpolate(logit, tuple(truth.shape), mode="bilinear")[0, 0] > 0
            iou = (predicted & truth).sum() / (predicted | truth).sum()
            biou = boundary_iou(predicted[None], truth[None], dilation_ratio=0.05)
            assert mask.scores[row] == (pytest.approx(float(iou)), pytest.approx(float(biou)))
    assert board.compute() == [], "computing begins anew"


def test_masks_are_in_the_order_of_sets_images_and_masks() -> None:
    board = ScoreBoard(["b", "a"], ROWS)
    ids = ["a/1", "a/0", "a/0", "b/7"]
    board.update(make_batch([(9, 9)] * 4, ["a", "a", "a", "b"], ids), make_logits(4))
    assert [(m.dataset, m.sample_id, m.mask) for m in board.compute()] == [
        ("b", "b/7", 0),
        ("a", "a/0", 0),
        ("a", "a/0", 1),
        ("a", "a/1", 0),
    ]


def test_thinness_is_measured_once_a_mask() -> None:
    batch = make_batch([(40, 40), (40, 40)], ["a", "a"])
    batch.original_masks = [torch.ones(40, 40, dtype=torch.bool), torch.eye(40) > 0]
    with mock.patch.object(scores_module, "thinness", wraps=scores_module.thinness) as measured:
        solid, thin = ScoreBoard(["a"], ROWS).update(batch, make_logits(2))
    assert measured.call_count == 2
    assert (solid.thin, thin.thin, thin.thinness) == (False, True, 1.0)


def test_means_are_over_masks_of_each_group() -> None:
    values = [("a", 0.0, 0.1), ("a", 0.9, 0.4), ("a", 0.8, 0.7), ("b", 0.1, 0.5)]
    masks = [
        MaskScores(dataset, f"{dataset}/{place}", 0, thinness, {("hq", "hq"): (value, value / 2)})
        for place, (dataset, thinness, value) in enumerate(values)
    ]
    scores = {(score.dataset, score.group): score for score in summarise(masks)}
    assert scores.keys() == {("a", "all"), ("a", "thin"), ("a", "solid"), ("b", "all"), ("b", "solid")}
    for key, expected in {("a", "all"): 0.4, ("a", "thin"): 0.55, ("a", "solid"): 0.1, ("b", "all"): 0.5}.items():
        assert scores[key].miou == pytest.approx(expected)
        assert scores[key].mbiou == pytest.approx(expected / 2)
    assert [scores["a", group].count for group in ("all", "thin", "solid")] == [3, 2, 1]
    assert np.isfinite([score.miou for score in scores.values()]).all()


def test_a_training_batch_cannot_be_scored() -> None:
    batch = make_batch([(8, 8)], ["a"])
    batch.original_masks = None
    with pytest.raises(ValueError, match="expected a batch with original_masks"):
        ScoreBoard(["a"], ROWS).update(batch, make_logits(1))


@pytest.mark.parametrize("ratio", [0.02, 0.05, 0.1])
def test_ignored_pixels_are_not_scored(ratio: float) -> None:
    """Masks with and without ignored pixels in one batch, against the functions of one mask."""
    batch, logits = make_batch([(30, 47), (64, 12), (40, 40)], ["a"] * 3), make_logits(3)
    assert batch.original_masks is not None
    ignore = [torch.rand(mask.shape, generator=torch.manual_seed(7)) < 0.3 for mask in batch.original_masks]
    plain = ScoreBoard(["a"], ROWS, ratio).update(batch, logits)
    batch.original_ignore = [ignore[0], None, ignore[2]]
    scored = ScoreBoard(["a"], ROWS, ratio).update(batch, logits)
    assert scored[1] == plain[1]
    for place in (0, 2):
        truth, hidden = batch.original_masks[place], ignore[place]
        for row in ROWS:
            predicted = F.interpolate(logits[row][place : place + 1], tuple(truth.shape), mode="bilinear")[0, 0] > 0
            known = [(mask & ~hidden).numpy() for mask in (predicted, truth)]
            iou = (known[0] & known[1]).sum() / (known[0] | known[1]).sum()
            biou = boundary_iou(predicted[None], truth[None], hidden[None], ratio)
            assert scored[place].scores[row] == (pytest.approx(iou), pytest.approx(float(biou)))
            assert scored[place].scores[row] != plain[place].scores[row]


def test_scores_do_not_depend_on_what_is_predicted_where_it_is_ignored() -> None:
    batch, logits = make_batch([(64, 64)] * 2, ["a"] * 2), make_logits(2)
    ignore = torch.zeros(64, 64, dtype=torch.bool)
    ignore[:, 20:] = True
    batch.original_ignore = [ignore, ignore]
    other = {row: values.clone() for row, values in logits.items()}
    for values in other.values():
        values[..., 6:] *= -1  # a logit reaches four pixels of the photo and half of those beside
    board = ScoreBoard(["a"], ROWS)
    assert [mask.scores for mask in board.update(batch, logits)] == [mask.scores for mask in board.update(batch, other)]
