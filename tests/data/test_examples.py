"""Examples of training and evaluation: what their randomness depends on, and what they hold."""

from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.examples import EvaluationExamples, TrainingExamples
from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.data.transforms import Augmentation
from hqsam_lightning.prompts import PromptMix
from hqsam_lightning.types import Batch, Example, Prompt, Sample

SIZE = 64
OBJECT = 128 / 255
KINDS = {"box": 1, "points": 1, "noise_mask": 1}
KEYS = [(epoch, index, repeat) for epoch in range(2) for index in range(6) for repeat in range(2)]


def training(seed: int = 0, samples: Sequence[Sample] | Scenes | None = None) -> TrainingExamples:
    scenes = Scenes(6, 96, objects=(1, 3)) if samples is None else samples
    return TrainingExamples(scenes, Augmentation(SIZE), PromptMix(KINDS), 16, seed)


def crop(sample: Sample, height: int, width: int) -> Sample:
    """Photos of other shapes than a scene's square."""
    return replace(sample, image=sample.image[:height, :width], masks=sample.masks[:1, :height, :width])


@pytest.fixture(scope="module")
def photos() -> list[Sample]:
    scenes = Scenes(4, 128, seed=2, objects=(2, 3))
    return [scenes[0], crop(scenes[1], 128, 90), crop(scenes[2], 77, 128), scenes[3]]


def evaluation(photos: Sequence[Sample], mix: dict[str, float] | None = None) -> EvaluationExamples:
    return EvaluationExamples(
        photos, Stretch(SIZE), {"usual": PromptMix(mix or {"box": 1})}, mask_input_size=16, name="synthetic"
    )


def same(one: object, other: object) -> bool:
    """Whether two values are equal to the last bit, prompts and lists item by item."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Example | Prompt) and isinstance(other, type(one)):
        return same(list(vars(one).values()), list(vars(other).values()))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and same(list(one.values()), list(other.values()))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


def kind(prompt: Prompt) -> str:
    (name,) = [name for name in ("box", "point_coords", "mask") if getattr(prompt, name) is not None]
    return name


# --- training --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> dict[tuple[int, int, int], Example]:
    examples = training()
    return {key: examples[key] for key in KEYS}


def test_the_order_of_the_questions_does_not_matter(made):
    examples = training()
    for key in np.random.default_rng(0).permutation(KEYS).tolist():
        torch.manual_seed(key[1])
        np.random.seed(key[1])
        assert same(examples[tuple(key)], made[tuple(key)])


def test_worker_processes_give_the_same_examples(made):
    loader = DataLoader(training(), sampler=KEYS, batch_size=None, num_workers=2)  # type: ignore[arg-type]
    for key, example in zip(KEYS, loader, strict=True):
        assert same(example, made[key])


def test_the_sample_id_counts_and_not_the_index(made):
    scenes = Scenes(6, 96, objects=(1, 3))
    moved = training(samples=[scenes[index] for index in (3, 0, 5)])
    for index, original in enumerate((3, 0, 5)):
        assert same(moved[1, index, 0], made[1, original, 0])
    renamed = training(samples=[replace(scenes[3], sample_id="synthetic/train/other")])
    assert not torch.equal(renamed[1, 0, 0].image, made[1, 3, 0].image)
    assert renamed[1, 0, 0].seeds != made[1, 3, 0].seeds


def test_seeds_epochs_repeats_and_samples_differ(made):
    examples = [*made.values(), *(training(seed=1)[key] for key in KEYS)]
    images = {example.image.numpy().tobytes() for example in examples}
    assert len(images) > 0.9 * len(examples)  # two draws may shrink a scene to the same size
    seeds = [seed for example in examples for seed in example.seeds]
    assert len(set(seeds)) == len(seeds)
    assert all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds)


def test_prompts_of_one_mask_differ_between_epochs_and_repeats():
    """Without flip and jitter only the prompt is drawn: 10 of the object's many pixels."""
    examples = TrainingExamples(
        Scenes(1, SIZE),
        Augmentation(SIZE, flip_prob=0, min_scale=1, max_scale=1),
        PromptMix({"points": 1}),
        mask_input_size=16,
        seed=0,
    )
    drawn = [examples[epoch, 0, repeat] for epoch in range(3) for repeat in range(2)]
    assert all(torch.equal(example.image, drawn[0].image) for example in drawn)
    points = {example.prompts[""][0].point_coords.numpy().tobytes() for example in drawn}
    assert len(points) == 6


def test_masks_of_one_image_get_different_draws(photos):
    """Three masks of the same pixels: the row alone tells their prompts and seeds apart."""
    mask = photos[0].masks[:1]
    tripled = replace(photos[0], masks=np.concatenate([mask] * 3))
    examples = TrainingExamples([tripled], Augmentation(SIZE), PromptMix({"points": 1}), mask_input_size=16, seed=0)
    example = examples[0, 0, 0]
    assert len(set(example.seeds)) == len(example.masks) == 3
    assert len({prompt.point_coords.numpy().tobytes() for prompt in example.prompts[""]}) == 3


def test_training_examples_hold_what_their_types_say():
    examples = training()
    kinds = set()
    for epoch in range(10):
        for index in range(len(examples)):
            example = examples[epoch, index, 0]
            count = len(example.masks)
            assert example.image.shape == (3, SIZE, SIZE)
            assert example.image.dtype == torch.uint8
            assert example.masks.shape == (count, 1, SIZE, SIZE)
            assert example.masks.dtype == torch.float32
            assert (example.masks > OBJECT).flatten(1).any(1).all()
            assert count == len(example.prompts[""]) == len(example.seeds) >= 1
            assert example.original_masks is None
            assert (example.sample_id, example.dataset) == (f"synthetic/train/{index:06d}", "synthetic")
            for prompt, mask in zip(example.prompts[""], example.masks, strict=True):
                assert_on_object(prompt, mask[0])
                kinds.add(kind(prompt))
    assert kinds == {"box", "point_coords", "mask"}
    assert len(examples) == 6


def assert_on_object(prompt: Prompt, mask: Tensor) -> None:
    """A prompt is made from the mask it stands beside, in the frame after augmentation."""
    ys, xs = torch.nonzero(mask > OBJECT, as_tuple=True)
    if prompt.box is not None:
        assert prompt.box.tolist() == [xs.min(), ys.min(), xs.max(), ys.max()]
    elif prompt.point_coords is not None:
        x, y = prompt.point_coords.long().unbind(1)
        assert (mask[y, x] > OBJECT).all()
        assert prompt.point_labels.tolist() == [1] * 10
    else:
        assert prompt.mask.shape == (1, 16, 16)
        assert set(prompt.mask.unique().tolist()) <= {0.0, 255.0}


def test_samples_are_left_alone(photos):
    kept = photos[0].image.copy(), photos[0].masks.copy()
    training(samples=photos)[0, 0, 0]
    evaluation(photos)[0]
    np.testing.assert_array_equal(photos[0].image, kept[0])
    np.testing.assert_array_equal(photos[0].masks, kept[1])


# --- evaluation ------------------------------------------------------------------------------------------------------


def test_evaluation_prompts_depend_on_the_sample_alone(photos):
    examples, moved = evaluation(photos, KINDS), evaluation(photos[::-1], KINDS)
    first = [examples[index] for index in range(4)]
    torch.manual_seed(7)
    np.random.seed(7)
    for index in (2, 0, 3, 1, 2):
        assert same(examples[index], first[index])
        assert same(moved[3 - index], first[index])


def test_evaluation_examples_are_the_same_from_worker_processes(photos):
    loader = DataLoader(evaluation(photos, KINDS), batch_size=None, num_workers=2)
    assert all(same(*pair) for pair in zip(loader, map(evaluation(photos, KINDS).__getitem__, range(4)), strict=True))


def test_each_kind_of_prompts_is_drawn_as_if_alone(photos):
    mixes = {"usual": PromptMix({"box": 1}), "points": PromptMix({"points": 1}), "mixed": PromptMix(KINDS)}
    together = EvaluationExamples(photos, Stretch(SIZE), mixes, 16, "synthetic")
    for name, mix in mixes.items():
        alone = EvaluationExamples(photos, Stretch(SIZE), {name: mix}, 16, "synthetic")
        for index in range(4):
            assert same(together[index].prompts[name], alone[index].prompts[name])


def test_evaluation_prompts_depend_on_the_sample_id(photos):
    renamed = [replace(photo, sample_id=f"other/{index}") for index, photo in enumerate(photos)]
    mix = {"points": 1.0}
    one, other = evaluation(photos, mix)[0], evaluation(renamed, mix)[0]
    assert torch.equal(one.image, other.image)
    assert not same(one.prompts, other.prompts)
    assert not set(one.seeds) & set(other.seeds)


def test_original_masks_are_the_photos_own(photos):
    examples = evaluation(photos)
    assert len(examples) == 4
    for index, photo in enumerate(photos):
        example = examples[index]
        assert example.original_masks.dtype == torch.bool
        assert example.original_masks.shape == photo.masks.shape
        np.testing.assert_array_equal(example.original_masks.numpy(), photo.masks > OBJECT)
        assert (example.sample_id, example.dataset) == (photo.sample_id, photo.dataset)


def test_boxes_come_from_the_stretched_mask(photos):
    """Between the boxes of a slightly higher and a slightly lower threshold, for rounding's sake."""
    examples = evaluation(photos)
    for index, photo in enumerate(photos):
        example = examples[index]
        count = len(photo.masks)
        assert example.image.shape == (3, SIZE, SIZE)
        assert example.masks.shape == (count, 1, SIZE, SIZE)
        assert count == len(example.prompts["usual"]) == len(set(example.seeds))
        stretched = F.interpolate(torch.from_numpy(photo.masks)[None], (SIZE, SIZE), mode="bilinear")[0]
        torch.testing.assert_close(example.masks[:, 0], stretched, rtol=0, atol=3e-5)
        for prompt, mask in zip(example.prompts["usual"], stretched, strict=True):
            assert astuple(prompt)[1:] == (None, None, None)
            assert prompt.box.dtype == torch.float32
            assert (prompt.box >= 0).all()
            assert (prompt.box <= SIZE - 1).all()
            inner, outer = tight_box(mask > OBJECT + 1e-4), tight_box(mask > OBJECT - 1e-4)
            assert (outer[:2] <= prompt.box[:2]).all()
            assert (prompt.box[:2] <= inner[:2]).all()
            assert (inner[2:] <= prompt.box[2:]).all()
            assert (prompt.box[2:] <= outer[2:]).all()


def tight_box(pixels: Tensor) -> Tensor:
    columns, rows = pixels.any(0).nonzero().flatten(), pixels.any(1).nonzero().flatten()
    return torch.stack([columns[0], rows[0], columns[-1], rows[-1]])


def test_a_batch_is_pinned_tensor_by_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: pinned.append(self) or self + 0)
    batch = collate([training()[key] for key in KEYS[:3]])
    copied = batch.pin_memory()
    assert any(tensor is batch.images for tensor in pinned)
    assert any(tensor is batch.prompts[0].rows for tensor in pinned)
    assert torch.equal(copied.images, batch.images)
    assert copied.sample_ids == batch.sample_ids


@pytest.mark.parametrize("counts", [[1, 3], [2], [4, 1, 1]])
def test_masks_weigh_as_their_images_do(counts: list[int]) -> None:
    index = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    empty = torch.empty(len(counts), 0)
    weights = Batch(empty, empty, index, [], [], None, [], []).mask_weights()
    expected = [1 / (len(counts) * count) for count in counts for _ in range(count)]
    torch.testing.assert_close(weights, torch.tensor(expected))
