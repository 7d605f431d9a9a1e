"""Tubes against counts over whole (frames, height, width) volumes."""

import numpy as np
import pytest
import torch

from blobs import blobs
from hqsam_lightning.metrics.tubes import TubeOverlap, frame_overlap


def boundary(mask: np.ndarray, ratio: float) -> np.ndarray:
    """Pixels that a square of side 2d + 1 around them leaves the mask from, one by one."""
    d = max(1, round(ratio * float(np.hypot(*mask.shape))))
    padded = np.pad(mask, d)
    inside = np.lib.stride_tricks.sliding_window_view(padded, (2 * d + 1, 2 * d + 1)).all((2, 3))
    return mask & ~inside


def iou(pred: np.ndarray, target: np.ndarray) -> float:
    return (pred & target).sum() / max(1, (pred | target).sum())


@pytest.mark.parametrize("ratio", [0.02, 0.01])
def test_values_are_those_of_the_volumes(ratio: float) -> None:
    """Six tubes of blobs, some full or empty in all frames, each absent from some frames."""
    frames, present = 4, np.random.default_rng(0).random((2, 4, 6)) < 0.7
    volumes = [
        torch.stack([blobs(45, 70, seed=10 * side + frame) for frame in range(frames)])
        & torch.from_numpy(present[side])[..., None, None]
        for side in range(2)
    ]
    parts = [frame_overlap(pred, target, ratio) for pred, target in zip(*volumes, strict=True)]
    overlap = sum(parts[1:], parts[0])
    preds, targets = (volume.transpose(0, 1).numpy() for volume in volumes)
    edges = [np.stack([[boundary(m, ratio) for m in tube] for tube in tubes]) for tubes in (preds, targets)]
    of_masks = [[iou(pred, target) for target in targets] for pred in preds]
    of_edges = [[iou(pred, target) for target in edges[1]] for pred in edges[0]]
    np.testing.assert_allclose(overlap.mask_iou(), of_masks, atol=1e-12)
    np.testing.assert_allclose(overlap.boundary_iou(), np.minimum(of_masks, of_edges), atol=1e-12)


def test_a_ratio_of_sums_is_no_mean_of_frames() -> None:
    """An object that is found in one frame of two counts by its pixels there."""
    small, large = torch.zeros(2, 1, 20, 20, dtype=torch.bool)
    small[0, :2, :2], large[0, :10, :10] = True, True
    overlap = frame_overlap(small, small) + frame_overlap(large & False, large)
    assert overlap.mask_iou().item() == 4 / 104


def test_no_tracks_and_no_targets() -> None:
    none, some = torch.zeros(0, 8, 9, dtype=torch.bool), torch.zeros(2, 8, 9, dtype=torch.bool)
    assert frame_overlap(none, some).mask_iou().shape == (0, 2)
    assert frame_overlap(some, none).boundary_iou().shape == (2, 0)
    assert isinstance(frame_overlap(some, some) + frame_overlap(some, some), TubeOverlap)
    assert frame_overlap(some, some).mask_iou().tolist() == [[0, 0], [0, 0]]
