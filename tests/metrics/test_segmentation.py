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

from hqsam_lightning.metrics import MeanMaskIoU
from patience import PATIENCE


def make_updates() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Eleven masks of five sizes."""
    rng = np.random.default_rng(0)
    updates = []
    for count, height, width in [(3, 40, 52), (1, 121, 80), (2, 30, 200), (4, 64, 64), (1, 77, 33)]:
        noise = rng.standard_normal((2, count, height, width))
        smooth = np.stack([cv2.GaussianBlur(n, (0, 0), 6) for n in noise.reshape(-1, height, width)])
        masks = (smooth > 0).reshape(2, count, height, width)
        masks[1] |= masks[0] & (rng.random(masks[0].shape) > 0.3)
        updates += zip(torch.from_numpy(masks[0]), torch.from_numpy(masks[1]), strict=True)
    return updates


def plain_mean(updates: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    pairs = [(pred.numpy(), target.numpy()) for pred, target in updates]
    return float(np.mean([(pred & target).sum() / (pred | target).sum() for pred, target in pairs]))


def test_mean_over_masks_of_images_of_different_sizes():
    metric = MeanMaskIoU()
    for pred, target in make_updates():
        metric.update(pred, target)
    result = metric.compute()
    assert result.dtype == torch.float64
    assert result.shape == ()
    assert result.item() == pytest.approx(plain_mean(make_updates()), abs=1e-12)


def test_forward_gives_the_batch_and_keeps_the_whole():
    metric = MeanMaskIoU()
    updates = make_updates()
    for update in updates:
        assert metric(*update).item() == pytest.approx(plain_mean([update]), abs=1e-12)
    assert metric.compute().item() == pytest.approx(plain_mean(updates), abs=1e-12)


def test_reset_forgets():
    metric = MeanMaskIoU()
    first, second = make_updates()[:2]
    metric.update(*first)
    metric.reset()
    metric.update(*second)
    assert metric.compute().item() == pytest.approx(plain_mean([second]), abs=1e-12)


def test_no_update_is_an_error_not_nan():
    with (
        pytest.warns(UserWarning, match="before the ``update`` method"),
        pytest.raises(ValueError, match=r"MeanMaskIoU: expected at least one mask before compute\(\), got 0"),
    ):
        MeanMaskIoU().compute()


def test_wrong_inputs_change_nothing():
    metric = MeanMaskIoU()
    good = torch.ones(5, 6, dtype=torch.bool)
    with pytest.raises(ValueError, match="expected pred as an"):
        metric.update(good.float(), good)
    with pytest.raises(ValueError, match="expected target as an"):
        metric.update(good, good[None])
    assert metric.count == 0


def run_rank(rank: int, init_file: Path, out_file: Path) -> None:
    """One of two processes: rank 0 takes three masks, rank 1 the other eight."""
    distributed.init_process_group("gloo", init_method=init_file.as_uri(), rank=rank, world_size=2)
    updates = make_updates()
    metric = MeanMaskIoU()
    for pred, target in updates[:3] if rank == 0 else updates[3:]:
        metric.update(pred, target)
    out_file.write_text(json.dumps(metric.compute().item()))
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
        assert json.loads(out.read_text()) == pytest.approx(plain_mean(make_updates()), abs=1e-12)


def test_ignored_pixels_are_not_scored():
    """What prediction and target hold there does not matter; updates with and without ignored pixels may alternate."""
    generator = torch.Generator().manual_seed(0)
    metrics = [MeanMaskIoU() for _ in range(3)]
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


if __name__ == "__main__":
    run_rank(int(sys.argv[2]), Path(sys.argv[1]), Path(sys.argv[3]))
