"""Weights between two states of a model."""

import torch
from torch import nn

from hqsam_lightning.pretraining.ema import blend, copy_of_state


def test_statistics_are_blended_and_counts_are_kept():
    norm = nn.BatchNorm1d(3)
    start = copy_of_state(norm)
    norm(torch.arange(12.0).view(4, 3))
    ended = copy_of_state(norm)
    blend(norm, start, 0.5)
    assert torch.allclose(norm.running_mean, (start["running_mean"] + ended["running_mean"]) / 2)
    assert not torch.equal(norm.running_mean, start["running_mean"])
    assert norm.num_batches_tracked == 1


def test_no_share_changes_nothing():
    linear = nn.Linear(4, 4)
    before = copy_of_state(linear)
    blend(linear, {name: torch.zeros_like(tensor) for name, tensor in before.items()}, 0)
    assert all(torch.equal(before[name], tensor) for name, tensor in linear.state_dict().items())
