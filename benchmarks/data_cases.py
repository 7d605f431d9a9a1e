"""Comparisons around the model: reading and loading photos, boundary IoU, and scoring masks."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.authors_reader import read_and_jitter
from benchmarks.cases import GIB, Row, make_row
from benchmarks.processes import take_turns_apart
from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.datasets import PhotoPairs, Scenes
from hqsam_lightning.data.examples import TrainingExamples, augmented
from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.data.transforms import Augmentation
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.metrics import Metric, boundary_iou, mask_iou
from hqsam_lightning.prompts.mix import PromptMix
from hqsam_lightning.runtime.memory import keep_freed_memory
from hqsam_lightning.runtime.process_settings import BeginLoading
from hqsam_lightning.runtime.timing import Contestant, Timing, take_turns
from hqsam_lightning.types import Batch

LARGE = (2448, 3264)  # (H, W) of a phone's photo
PAIRS = 64
LARGE_PAIRS = 16
BATCHES = 6  # of each loading process, the first of which is not timed
IMAGE_SIZE = 1024

Pairs = list[tuple[Path, Path]]
Draws = list[tuple[bool, float]]


def reader(config: DictConfig) -> list[Row]:
    """From files to a jittered sample: the authors' way and ours, on photos of config.photos and on large ones.

    Each in a process of its own with one thread, as loading processes are; ours is set up as `begin_loading` does.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, pairs in {"photos": _pairs(config.photos), "large photos": _large_photos(Path(folder))}.items():
            if not pairs:
                continue
            draws = _draws(len(pairs))
            builders: dict[str, Callable[[], Contestant]] = {"authors": partial(_authors_reader, pairs, draws)}
            builders["ours"] = partial(_our_reader, pairs, draws)
            timings, memory = take_turns_apart(builders, 3 * config.rounds)
            for reader_name in builders:
                note = f"{1000 * timings[reader_name].median / len(pairs):.1f} ms per sample"
                rows.append(
                    make_row(f"reader, {name}", timings, reader_name, "authors", memory[reader_name] / GIB, note)
                )
    return rows


def loader(config: DictConfig) -> list[Row]:
    """Training examples from so many loading processes, of the photos as in `reader`; seconds are a photo's."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, pairs in {"photos": _pairs(config.photos), "large photos": _large_photos(Path(folder))}.items():
            timings = {
                str(count): Timing(str(count), [_load(pairs, count, config.batch_size) for _ in range(config.rounds)])
                for count in (config.workers if pairs else ())
            }
            for count, timing in timings.items():
                note = f"{1 / timing.median:.3g} photos/s"
                rows.append(make_row(f"processes, {name}", timings, count, str(config.workers[0]), note=note))
    return rows


def _load(pairs: Pairs, workers: int, batch_size: int) -> float:
    """Seconds a photo takes, once every process has given a batch."""
    prompts = PromptMix({"box": 1, "points": 1, "noise_mask": 1})
    examples = TrainingExamples(PhotoPairs("photos", pairs), Augmentation(IMAGE_SIZE), prompts, IMAGE_SIZE // 4, seed=0)
    batches = iter(
        DataLoader(
            examples,
            batch_size,
            sampler=[(0, draw % len(pairs), draw // len(pairs)) for draw in range(BATCHES * workers * batch_size)],
            num_workers=workers,
            collate_fn=collate,
            worker_init_fn=BeginLoading(keep_freed_memory=True),
            pin_memory=torch.cuda.is_available(),
        )
    )
    for _ in range(workers):
        next(batches)
    start = time.perf_counter()
    count = sum(len(batch.pixels) for batch in batches)
    return (time.perf_counter() - start) / count


def boundary(config: DictConfig) -> list[Row]:
    """Boundary IoU of two masks of 2048 x 2048: ours, and with OpenCV's erosion by 3 x 3, iterated."""
    scenes = Scenes(2, 2048, objects=(1, 1))
    one, other = [torch.from_numpy(scenes[index].masks > 0.5) for index in range(2)]
    contestants = {
        "OpenCV, iterated": partial(_opencv_boundary_iou, one, other),
        "ours": partial(boundary_iou, one, other),
    }
    torch.testing.assert_close(contestants["ours"](), contestants["OpenCV, iterated"]())
    timings = take_turns(contestants, 3 * config.rounds)
    return [make_row("boundary IoU, 2048 px", timings, name, "OpenCV, iterated") for name in contestants]


def evaluation(config: DictConfig) -> list[Row]:
    """Scoring of 4 masks of 1024 px by three rows, as a validation step does after the decoder."""
    names = [("sam", "sam"), ("hq", "hq"), ("hq", "sum")]
    scenes = Scenes(4, IMAGE_SIZE, objects=(1, 1))
    truth = [torch.from_numpy(scenes[index].masks[0] > 0.5) for index in range(4)]
    logits = {name: torch.randn(4, 1, 256, 256) for name in names}
    batch = Batch(torch.empty(4, 0), torch.empty(4, 0), torch.arange(4), [], [0] * 4, truth, list("abcd"), ["s"] * 4)
    batch.prompt_names = ["box"] * 4
    metrics = {"iou": Metric("mIoU", function=mask_iou), "boundary_iou": Metric("mBIoU", function=boundary_iou)}
    scorer = Scorer(metrics, datasets=["s"], prompts=["box"], frame=Stretch(IMAGE_SIZE))
    timings = take_turns({"ours": partial(scorer.update, batch, logits)}, config.rounds)
    return [make_row("evaluation, 4 masks x 3 rows", timings, "ours", "ours")]


def _pairs(folder: str | None) -> Pairs:
    """Photos (.jpg) of a folder with masks (.png) beside them."""
    if folder is None:
        return []
    photos = sorted(Path(folder).expanduser().glob("*.jpg"))[:PAIRS]
    if not photos:
        raise ConfigError(f"photos: expected a folder of .jpg photos with .png masks beside them; {folder} has no .jpg")
    return [(photo, photo.with_suffix(".png")) for photo in photos]


def _large_photos(folder: Path) -> Pairs:
    scenes = Scenes(4, IMAGE_SIZE, objects=(1, 1))
    pairs = []
    for index in range(4):
        scene = scenes[index]
        photo, mask = folder / f"{index}.jpg", folder / f"{index}.png"
        cv2.imwrite(str(photo), cv2.resize(scene.image[..., ::-1], LARGE[::-1], interpolation=cv2.INTER_CUBIC))
        cv2.imwrite(str(mask), cv2.resize((scene.masks[0] * 255).astype(np.uint8), LARGE[::-1]))
        pairs.append((photo, mask))
    return pairs * (LARGE_PAIRS // len(pairs))


def _draws(count: int) -> Draws:
    """Flips and scales, spread evenly over what the jitter draws: both contestants do the same work."""
    return [(index % 2 == 1, 0.1 + 1.9 * (index + 0.5) / count) for index in range(count)]


def _authors_reader(pairs: Pairs, draws: Draws) -> Contestant:
    _use_one_thread()
    rng = random.Random(0)

    def read() -> None:
        for pair, (flip, scale) in zip(pairs, draws, strict=True):
            read_and_jitter(*pair, IMAGE_SIZE, flip, scale, rng)

    return read


def _our_reader(pairs: Pairs, draws: Draws) -> Contestant:
    _use_one_thread()
    keep_freed_memory()
    views = [
        (PhotoPairs("photos", [pair]), Augmentation(IMAGE_SIZE, flip, scale, scale))
        for pair, (flip, scale) in zip(pairs, draws, strict=True)
    ]
    return lambda: [augmented(samples[0], augmentation, seed=0, epoch=0) for samples, augmentation in views]


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _opencv_boundary_iou(one: Tensor, other: Tensor) -> Tensor:
    first, second = (_opencv_boundary(mask[0].numpy()) for mask in (one, other))
    return torch.tensor([(first & second).sum() / (first | second).sum()], dtype=torch.float64)


def _opencv_boundary(mask: np.ndarray) -> np.ndarray:
    """The definition as the benchmarks' own code has it: the frame padded, a 3 x 3 erosion iterated d times."""
    distance = max(1, round(0.02 * float(np.hypot(*mask.shape))))
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    return mask & (eroded == 0)
