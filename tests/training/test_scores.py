"""Scores are taken at each photo's own size, kept apart a cell, and counted once."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hqsam_lightning.training.scores import ScoreBoard
from hqsam_lightning.types import Batch


def make_batch(sizes: list[tuple[int, int]], datasets: list[str]) -> Batch:
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
        sample_ids=[f"a/{row}" for row in range(count)],
        datasets=datasets,
    )


def test_scores_are_means_over_masks_of_their_own_size() -> None:
    board = ScoreBoard(["a", "b", "empty"], [("hq", "hq")])
    batch = make_batch([(30, 47), (64, 12), (9, 9)], ["a", "a", "b"])
    logits = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    board.update(batch, "hq", "hq", logits)
    scores = {score.dataset: score for score in board.compute()}
    expected = []
    for row, mask in enumerate(batch.original_masks or []):
        predicted = F.interpolate(logits[row : row + 1], tuple(mask.shape), mode="bilinear")[0, 0].numpy() > 0
        truth = mask.numpy()
        expected.append(np.logical_and(predicted, truth).sum() / np.logical_or(predicted, truth).sum())
    assert scores["a"].miou == pytest.approx(np.mean(expected[:2]))
    assert scores["b"].miou == pytest.approx(expected[2])
    assert (scores["a"].count, scores["b"].count) == (2, 1)
    assert "empty" not in scores
    assert board.compute() == [], "computing begins anew"


def test_a_training_batch_cannot_be_scored() -> None:
    batch = make_batch([(8, 8)], ["a"])
    batch.original_masks = None
    with pytest.raises(ValueError, match="expected a batch with original_masks"):
        ScoreBoard(["a"], [("hq", "hq")]).update(batch, "hq", "hq", torch.zeros(1, 1, 16, 16))
