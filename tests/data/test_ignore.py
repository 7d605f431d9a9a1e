"""Ignored pixels from a sample to a batch: views, prompts, the embedding cache, collating, and a training run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose as compose_config
from hydra import initialize_config_dir
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor

from hqsam_lightning.config import conf_dir
from hqsam_lightning.data import sets as sets_module
from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.examples import EvaluationExamples, TrainingExamples
from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.data.transforms import Augmentation
from hqsam_lightning.errors import DataError
from hqsam_lightning.precompute import precompute
from hqsam_lightning.pretrain import pretrain
from hqsam_lightning.prompts import PromptMix
from hqsam_lightning.train import train
from hqsam_lightning.types import Sample

SIZE = 64
OBJECT = 128 / 255
KINDS = {"box": 1, "points": 1, "noise_mask": 1}


def bands(sample: Sample) -> np.ndarray:
    """Every third band of 8 rows of a scene with an even number; the last band of every object stays."""
    ignore = np.zeros(sample.image.shape[:2], bool)
    for top in range(0, len(ignore), 24):
        ignore[top : top + 8] = True
    for mask in sample.masks:
        ignore[np.nonzero(mask > OBJECT)[0].max() - 3 :] = False
    return ignore


class IgnoringScenes(Scenes):
    """Scenes, every second of which ignores some pixels; `noise` fills the masks there with other values."""

    noise = False

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        if index % 2:
            return sample
        ignore, masks = bands(sample), sample.masks.copy()
        if self.noise:
            masks[:, ignore] = np.random.default_rng(index).random(masks[:, ignore].shape, dtype=np.float32)
        return replace(sample, masks=masks, ignore=ignore)


class NoisyScenes(IgnoringScenes):
    noise = True


def training(scenes: Scenes) -> TrainingExamples:
    return TrainingExamples(scenes, Augmentation(SIZE), PromptMix(KINDS), 16, 0)


def evaluation(scenes: Scenes) -> EvaluationExamples:
    return EvaluationExamples(scenes, Stretch(SIZE), {"usual": PromptMix(KINDS)}, 16, "scenes")


def tensors(value: object) -> list[Tensor]:
    found: list[Tensor] = []
    apply_to_collection(value, Tensor, found.append)
    return found


KEYS = [(epoch, index, 0) for epoch in range(3) for index in range(6)]


def test_what_ignored_pixels_hold_changes_no_example() -> None:
    """Neither masks nor prompts, in training and evaluation."""
    clean, noisy = (scenes(6, 96, objects=(1, 3)) for scenes in (IgnoringScenes, NoisyScenes))
    assert not np.array_equal(clean[0].masks, noisy[0].masks)
    for make, keys in ((training, KEYS), (evaluation, range(6))):
        for key in keys:
            one, other = make(clean)[key], make(noisy)[key]
            pairs = list(zip(tensors(vars(one)), tensors(vars(other)), strict=True))
            assert pairs
            assert all(torch.equal(*pair) for pair in pairs)


def test_prompts_and_masks_keep_off_ignored_pixels() -> None:
    examples = training(NoisyScenes(6, 96, objects=(1, 3)))
    seen, points = 0, 0
    for key in KEYS:
        example = examples[key]
        if example.ignore is None:
            continue
        seen += 1
        assert example.ignore.shape == (1, SIZE, SIZE)
        assert (example.masks[:, example.ignore] == 0).all()
        for prompt in next(iter(example.prompts.values())):
            if prompt.point_coords is not None:
                x, y = prompt.point_coords.long().T
                points += len(x)
                assert not example.ignore[0, y, x].any()
    assert seen > 5
    assert points > 20


def test_evaluation_keeps_the_ignored_pixels_of_the_original() -> None:
    scenes = NoisyScenes(2, 96)
    first, second = (evaluation(scenes)[index] for index in range(2))
    np.testing.assert_array_equal(first.original_ignore.numpy(), bands(Scenes(2, 96)[0]))
    assert not (first.original_masks & first.original_ignore).any()
    assert (second.ignore, second.original_ignore) == (None, None)


def test_a_sample_without_anything_to_learn_is_refused() -> None:
    class AllIgnored(Scenes):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return replace(sample, ignore=np.ones(sample.image.shape[:2], bool))

    for examples, key in ((training(AllIgnored(1, 96)), (0, 0, 0)), (evaluation(AllIgnored(1, 96)), 0)):
        with pytest.raises(DataError, match="expected every mask with an object pixel that is not ignored"):
            examples[key]


# --- collate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [(0, 1, 2), (1, 0), (4,)])
def test_batches_mix_images_with_and_without_ignored_pixels(chosen: tuple[int, ...]) -> None:
    scenes = IgnoringScenes(6, 96, objects=(2, 3))
    examples = [evaluation(scenes)[index] for index in chosen]
    batch = collate(examples)
    assert batch.ignore.shape == (len(chosen), 1, SIZE, SIZE)
    assert batch.ignore.dtype == torch.bool
    per_mask = batch.mask_ignore()
    assert len(per_mask) == len(batch.masks)
    for row, image in enumerate(batch.image_index.tolist()):
        example = examples[image]
        expected = torch.zeros(1, SIZE, SIZE, dtype=torch.bool) if example.ignore is None else example.ignore
        assert torch.equal(per_mask[row], expected)
        original = batch.original_ignore_of(row)
        assert original is example.original_ignore


def test_a_batch_that_ignores_nothing_says_so() -> None:
    batch = collate([evaluation(IgnoringScenes(6, 96))[index] for index in (1, 3)])
    assert (batch.ignore, batch.original_ignore, batch.mask_ignore(), batch.original_ignore_of(0)) == (None,) * 4
    assert collate([training(Scenes(1, 96))[0, 0, 0]]).ignore is None


def test_batches_travel_with_their_ignored_pixels() -> None:
    batch = collate([evaluation(IgnoringScenes(2, 96))[index] for index in (0, 1)])
    moved = apply_to_collection(batch, Tensor, Tensor.to, "meta")
    assert moved.ignore.device.type == "meta"
    assert [None if each is None else each.device.type for each in moved.original_ignore] == [
        *(["meta"] * (batch.image_index == 0).sum()),
        *([None] * (batch.image_index == 1).sum()),
    ]


# --- the embedding cache ---------------------------------------------------------------------------------------------


@pytest.fixture
def compose(make_config, tmp_path: Path):
    def make(name: str, *overrides: str):
        return make_config(
            *("sam=tiny_random", "trainer=cpu", "trainer.max_epochs=2", "batch.total=4", "loader.num_workers=0"),
            *(
                "loss.num_points=64",
                "~callbacks.progress_bar",
                "data.train_size=6",
                "data.val_size=2",
                "augmentations_per_image=2",
            ),
            f"paths.output_dir={tmp_path / name}",
            *overrides,
        )

    return make


def test_the_cache_gives_the_ignored_pixels_of_its_views(
    compose: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sets_module, "Scenes", IgnoringScenes)
    cached = compose("cached", f"cache={tmp_path / 'cache'}")
    precompute(cached)
    online, stored = (train(config)[1]["datamodule"].training for config in (compose("online"), cached))
    ignored = 0
    for index in range(6):
        for epoch in range(2):
            one, other = (examples.view(index, epoch, 0).ignore for examples in (online, stored))
            assert (one is None) == (other is None)
            if one is not None:
                ignored += 1
                assert torch.equal(one, other)
    assert 0 < ignored <= 6


# --- a run -----------------------------------------------------------------------------------------------------------


def test_neither_weights_nor_scores_depend_on_what_ignored_pixels_hold(
    compose: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks are changed where they are ignored; the run without ignored pixels, the control, learns other weights."""
    runs = {}
    for scenes in (IgnoringScenes, NoisyScenes, Scenes):
        monkeypatch.setattr(sets_module, "Scenes", scenes)
        module = train(compose(scenes.__name__))[1]["module"]
        runs[scenes] = (module.trainable_state, module.scores["value"].tolist())
    weights, scores = zip(*runs.values(), strict=True)
    assert scores[0] == scores[1] != scores[2]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not all(torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


def test_neither_a_pretrained_sam_nor_its_scores_depend_on_what_ignored_pixels_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs = []
    for scenes in (IgnoringScenes, NoisyScenes, Scenes):
        monkeypatch.setattr(sets_module, "Scenes", scenes)
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            config = compose_config(
                "pretrain",
                [
                    *(
                        "sam=tiny_random",
                        "sam.weights=random",
                        "trainer=cpu",
                        "data.train_size=6",
                        "data.val_size=2",
                        "batch_size=3",
                    ),
                    *("scheduler.warmup_steps=1", "scheduler.total_steps=2", "trainer.max_steps=2"),
                    *("trainer.val_check_interval=2", "loader.num_workers=0", "~callbacks.progress_bar"),
                    f"paths.output_dir={tmp_path / scenes.__name__}",
                ],
            )
        module = pretrain(config)[1]["module"]
        runs.append((module.model.sam.state_dict(), module.scores))
    weights, scores = zip(*runs, strict=True)
    assert scores[0] == scores[1] != scores[2]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not all(torch.equal(weights[0][key], weights[2][key]) for key in weights[0])
