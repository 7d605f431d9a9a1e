"""DAVIS's J, F and their summaries against a plain second implementation, on synthetic masks and on real clips."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from hqsam_lightning.metrics import boundary_f, mask_iou
from hqsam_lightning.metrics.sequences import summarise_sequence

Masks = np.ndarray
KINDS = ("perfect", "shifted", "eroded", "empty", "swapped")
CLIPS = ("bmx-trees", "libby")


def plain_j(pred: np.ndarray, target: np.ndarray) -> float:
    union = np.logical_or(pred, target).sum()
    return 1.0 if union == 0 else float(np.logical_and(pred, target).sum() / union)


def plain_contour(mask: np.ndarray) -> np.ndarray:
    """Pixels unlike their right, lower or lower right neighbour; beyond the frame, its last ones repeat."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    contour = (mask != padded[1:, :-1]) | (mask != padded[:-1, 1:]) | (mask != padded[1:, 1:])
    contour[-1] = mask[-1] != padded[-1, 1:]
    contour[:, -1] = mask[:, -1] != padded[1:, -1]
    return contour


def plain_f(pred: np.ndarray, target: np.ndarray) -> float:
    """Contours match within a disc of 0.008 of the diagonal, which each is dilated by."""
    radius = int(np.ceil(0.008 * np.linalg.norm(pred.shape)))
    steps = np.arange(-radius, radius + 1)
    disc = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)
    found, true = plain_contour(pred), plain_contour(target)
    near_found, near_true = (cv2.dilate(contour.astype(np.uint8), disc) > 0 for contour in (found, true))
    if found.sum() == 0 or true.sum() == 0:
        return float(found.sum() == true.sum())
    precision, recall = (found & near_true).sum() / found.sum(), (true & near_found).sum() / true.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def plain_summary(values: list[float]) -> tuple[float, float, float]:
    """Mean, share above 0.5, and first minus last of four bins whose ends both belong to them."""
    count = len(values)
    ends = [int(1 + quarter * (count - 1) / 4 + 0.5) - 1 for quarter in range(5)]
    bins = [values[first : last + 1] for first, last in pairwise(ends)]
    mean = sum(values) / count
    return mean, sum(value > 0.5 for value in values) / count, np.mean(bins[0]) - np.mean(bins[3])


def predictions(kind: str, masks: Masks, others: Masks) -> Masks:
    match kind:
        case "perfect":
            return masks.copy()
        case "shifted":
            return np.roll(masks, (9, -12), (1, 2))
        case "eroded":
            return np.stack([cv2.erode(m.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 for m in masks])
        case "empty":
            return np.zeros_like(masks)
        case _:
            return others


def check(preds: Masks, targets: Masks) -> dict[str, float]:
    """Compares every frame and the summaries; returns the means."""
    pairs = [(torch.from_numpy(p)[None], torch.from_numpy(t)[None]) for p, t in zip(preds, targets, strict=True)]
    means = {}
    for name, function, plain in (("j", mask_iou, plain_j), ("f", boundary_f, plain_f)):
        values = [function(*pair).item() for pair in pairs]
        expected = [plain(p, t) for p, t in zip(preds, targets, strict=True)]
        assert values == pytest.approx(expected, abs=1e-12)
        found = summarise_sequence(values[1:-1])
        assert found == pytest.approx(plain_summary(expected[1:-1]), abs=1e-12)
        means[name] = found.mean
    return means


def synthetic(seed: int, frames: int = 7) -> Masks:
    """An ellipse that moves, turns and leaves the frame in part, with a hole and single pixels."""
    rng = np.random.default_rng(seed)
    masks = []
    for frame in range(frames):
        mask = np.zeros((90, 150), np.uint8)
        centre = (int(30 + 18 * frame + seed), int(45 + 10 * np.sin(frame)))
        cv2.ellipse(mask, centre, (28, 17), 20 * frame, 0, 360, 1, -1)
        cv2.circle(mask, centre, 5, 0, -1)
        mask[rng.integers(0, 90, 5), rng.integers(0, 150, 5)] = 1
        masks.append(mask > 0)
    return np.stack(masks)


def clip(folder: Path, name: str) -> Masks:
    files = sorted((folder / "davis" / "Annotations" / "480p" / name).glob("*.png"))
    return np.stack([cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 127 for file in files])


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_clips(kind: str) -> None:
    masks, others = synthetic(0), synthetic(11)
    means = check(predictions(kind, masks, others), masks)
    assert (means["j"] == means["f"] == 1.0) == (kind == "perfect")
    assert (means["j"] == means["f"] == 0.0) == (kind == "empty")


@pytest.mark.parametrize("name", CLIPS)
def test_clips_of_davis(name: str, shared_data: Path) -> None:
    """Every eighth frame, by all kinds of predictions; the other clip's masks where they are swapped."""
    (masks, others) = (clip(shared_data, each)[:49:8] for each in sorted(CLIPS, key=lambda each: each != name))
    means = {kind: check(predictions(kind, masks, others), masks) for kind in KINDS}
    assert means["perfect"] == {"j": 1.0, "f": 1.0}
    assert means["empty"] == {"j": 0.0, "f": 0.0}
    assert all(0 < means["shifted"][metric] < 1 for metric in ("j", "f"))


@pytest.mark.parametrize("count", range(1, 12))
def test_short_clips_have_a_decay(count: int) -> None:
    values = np.random.default_rng(count).random(count).tolist()
    assert summarise_sequence(values) == pytest.approx(plain_summary(values), abs=1e-12)


def test_no_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame, got none"):
        summarise_sequence([])
