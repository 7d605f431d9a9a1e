import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import distributed

from hqsam_lightning.metrics import MeanBoundaryIoU, MeanMaskIoU
from patience import PATIENCE

METRICS = {"iou": MeanMaskIoU, "boundary": MeanBoundaryIoU, "strict": lambda: MeanBoundaryIoU(dilation_ratio=0.01)}
RATIOS = {"iou": None, "boundary": 0.02, "strict": 0.01}


def make_updates() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Five updates of different sizes and numbers of masks; the last is one mask without a batch dimension."""
    rng = np.random.default_rng(0)
    updates = []
    for count, height, width in [(3, 40, 52), (1, 121, 80), (2, 30, 200), (4, 64, 64), (1, 77, 33)]:
        noise = rng.standard_normal((2, count, height, width))
        smooth = np.stack([cv2.GaussianBlur(n, (0, 0), 6) for n in noise.reshape(-1, height, width)])
        masks = (smooth > 0).reshape(2, count, height, width)
        masks[1] |= masks[0] & (rng.random(masks[0].shape) > 0.3)
        updates.append((torch.from_numpy(masks[0]), torch.from_numpy(masks[1])))
    updates[-1] = updates[-1][0][0], updates[-1][1][0]
    return updates


def plain_score(pred: np.ndarray, target: np.ndarray, ratio: float | None) -> float:
    def boundary(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask.astype(np.uint8), 1)
        iterations = max(1, round(ratio * np.hypot(*mask.shape)))
        return mask & (cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=iterations)[1:-1, 1:-1] == 0)

    if ratio is not None:
        pred, target = boundary(pred), boundary(target)
    return (pred & target).sum() / (pred | target).sum()


def plain_mean(updates: list[tuple[torch.Tensor, torch.Tensor]], ratio: float | None) -> float:
    scores = []
    for pred, target in updates:
        rows = zip(
            pred.numpy().reshape(-1, *pred.shape[-2:]), target.numpy().reshape(-1, *pred.shape[-2:]), strict=True
        )
        scores += [plain_score(p, t, ratio) for p, t in rows]
    return float(np.mean(scores))


@pytest.mark.parametrize("name", METRICS)
def test_mean_over_masks_of_images_of_different_sizes(name: str):
    metric = METRICS[name]()
    for pred, target in make_updates():
        metric.update(pred, target)
    result = metric.compute()
    assert result.dtype == torch.float64
    assert result.shape == ()
    assert result.item() == pytest.approx(plain_mean(make_updates(), RATIOS[name]), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_forward_gives_the_batch_and_keeps_the_whole(name: str):
    metric = METRICS[name]()
    updates = make_updates()
    for update in updates:
        assert metric(*update).item() == pytest.approx(plain_mean([update], RATIOS[name]), abs=1e-12)
    assert metric.compute().item() == pytest.approx(plain_mean(updates, RATIOS[name]), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_reset_forgets(name: str):
    metric = METRICS[name]()
    first, second = make_updates()[:2]
    metric.update(*first)
    metric.reset()
    metric.update(*second)
    assert metric.compute().item() == pytest.approx(plain_mean([second], RATIOS[name]), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_no_masks_is_an_error_not_nan(name: str):
    metric = METRICS[name]()
    none = torch.zeros(0, 5, 6, dtype=torch.bool)
    metric.update(none, none)
    with pytest.raises(ValueError, match=r"Mean\w+: expected at least one mask before compute\(\), got 0"):
        metric.compute()


@pytest.mark.parametrize("name", METRICS)
def test_no_update_is_an_error_not_nan(name: str):
    metric = METRICS[name]()
    with (
        pytest.warns(UserWarning, match="before the ``update`` method"),
        pytest.raises(ValueError, match="expected at least one mask"),
    ):
        metric.compute()


@pytest.mark.parametrize("name", METRICS)
def test_wrong_inputs_change_nothing(name: str):
    metric = METRICS[name]()
    good = torch.ones(5, 6, dtype=torch.bool)
    with pytest.raises(ValueError, match="expected pred as an"):
        metric.update(good.float(), good)
    with pytest.raises(ValueError, match="expected target as an"):
        metric.update(good[None], good)
    assert metric.count == 0


def test_wrong_ratio_fails_at_construction():
    with pytest.raises(ValueError, match=r"dilation_ratio: expected a number in \(0, 0\.5\]; got "):
        MeanBoundaryIoU(dilation_ratio=-1)


def run_rank(rank: int, init_file: Path, out_file: Path) -> None:
    """One of two processes: rank 0 takes one update, rank 1 the other four."""
    distributed.init_process_group("gloo", init_method=init_file.as_uri(), rank=rank, world_size=2)
    updates = make_updates()
    results = {}
    for name, make in METRICS.items():
        metric = make()
        for pred, target in updates[:1] if rank == 0 else updates[1:]:
            metric.update(pred, target)
        results[name] = metric.compute().item()
    out_file.write_text(json.dumps(results))
    distributed.destroy_process_group()


def test_two_processes_with_unequal_updates_equal_one(tmp_path: Path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    outs = [tmp_path / f"rank{rank}.json" for rank in range(2)]
    command = [sys.executable, __file__, str(tmp_path / "init")]
    processes = [subprocess.Popen([*command, str(rank), str(out)], env=environment) for rank, out in enumerate(outs)]
    try:
        assert [process.wait(timeout=PATIENCE) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for out in outs:
        expected = {name: pytest.approx(plain_mean(make_updates(), RATIOS[name]), abs=1e-12) for name in METRICS}
        assert json.loads(out.read_text()) == expected


if __name__ == "__main__":
    run_rank(int(sys.argv[2]), Path(sys.argv[1]), Path(sys.argv[3]))


@pytest.mark.parametrize("name", METRICS)
def test_ignored_pixels_are_not_scored(name: str):
    """What prediction and target hold there does not matter; updates with and without ignored pixels may alternate."""
    generator = torch.Generator().manual_seed(0)
    metrics = [METRICS[name]() for _ in range(3)]
    for number, (pred, target) in enumerate(make_updates()):
        ignore = torch.rand(pred.shape, generator=generator) < 0.2 if number % 2 == 0 else None
        noise = torch.rand(pred.shape, generator=generator) < 0.5
        noisy = [mask if ignore is None else torch.where(ignore, noise, mask) for mask in (pred, target)]
        metrics[0].update(pred, target, ignore)
        metrics[1].update(*noisy, ignore)
        metrics[2].update(*noisy)
    values = [metric.compute().item() for metric in metrics]
    assert values[0] == values[1]
    assert values[0] != values[2]
