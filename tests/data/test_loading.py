"""Order of the samples over epochs, seeds and ranks; batches; and resuming in mid-epoch."""

import os
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from hqsam_lightning.data import Augmentation, DataSets, PromptedDataModule
from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.sampling import EpochSampler, ResumableLoader
from hqsam_lightning.prompts import PromptMix
from hqsam_lightning.runtime.process_settings import BeginLoading
from hqsam_lightning.types import Example, Prompt, Sample


def keys(sampler: EpochSampler, epoch: int = 0) -> list[tuple[int, int, int]]:
    sampler.set_epoch(epoch)
    made = list(sampler)
    assert len(made) == len(sampler) or sampler.start
    return made


def indices(sampler: EpochSampler, epoch: int = 0) -> list[int]:
    return [index for _, index, _ in keys(sampler, epoch)]


# --- epoch sampler ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [[24], [7, 12, 5]])
def test_every_sample_once_an_epoch(lengths):
    sampler = EpochSampler(lengths, [1.0] * len(lengths), share=4, seed=0)
    for epoch in range(3):
        assert sorted(keys(sampler, epoch)) == [(epoch, index, 0) for index in range(24)]


@pytest.mark.parametrize(("share", "kept"), [(1, 23), (4, 20), (5, 20), (23, 23), (24, 0)])
def test_what_does_not_fill_a_step_is_dropped(share, kept):
    made = indices(EpochSampler([10, 13], [1, 1], share, seed=0))
    assert len(made) == len(set(made)) == kept
    assert set(made) <= set(range(23))


def test_the_dropped_rest_differs_between_epochs():
    sampler = EpochSampler([23], [1], share=5, seed=0)
    dropped = [frozenset(range(23)) - set(indices(sampler, epoch)) for epoch in range(5)]
    assert len(set(dropped)) > 1


def test_order_is_a_function_of_seed_and_epoch():
    made = {
        (seed, epoch): indices(EpochSampler([30, 10], [1, 1], 4, seed), epoch) for seed in (0, 1) for epoch in range(3)
    }
    assert len({tuple(order) for order in made.values()}) == 6
    assert tuple(range(40)) not in {tuple(order) for order in made.values()}
    torch.manual_seed(9)
    sampler = EpochSampler([30, 10], [1, 1], 4, seed=1)
    assert [indices(sampler, epoch) for epoch in (2, 0, 1, 2)] == [made[1, epoch] for epoch in (2, 0, 1, 2)]


def test_sources_are_mixed():
    made = indices(EpochSampler([100, 100], [1, 1], 4, seed=0))
    first_half = sum(index < 100 for index in made[:100])
    assert 30 < first_half < 70


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_global_step_has_the_same_samples_on_any_number_of_ranks(ranks):
    """23 + 14 samples, 8 a step: the rest of 5 is dropped on every number of ranks."""
    single = keys(EpochSampler([23, 14], [1, 1], share=8, seed=3), epoch=2)
    size = 8 // ranks
    shares = [keys(EpochSampler([23, 14], [1, 1], size, 3, rank, ranks), epoch=2) for rank in range(ranks)]
    assert [len(share) for share in shares] == [4 * size] * ranks
    for step in range(4):
        union = [key for share in shares for key in share[step * size : (step + 1) * size]]
        assert union == single[step * 8 : (step + 1) * 8]


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7, 10])
def test_start_skips_exactly(start):
    full = keys(EpochSampler([23], [1], share=2, seed=0, rank=1, world_size=2), epoch=1)
    sampler = EpochSampler([23], [1], share=2, seed=0, rank=1, world_size=2)
    sampler.start = start
    assert keys(sampler, epoch=1) == full[start:]
    assert len(sampler) == len(full) == 10


def test_weights_draw_samples_more_or_less_often():
    sampler = EpochSampler([6, 10, 4, 3], [2.0, 0.5, 1.0, 2.5], share=1, seed=0)
    made = keys(sampler)
    assert len(set(made)) == len(made) == 12 + 5 + 4 + 8
    counts = Counter(index for _, index, _ in made)
    assert [counts[index] for index in range(6)] == [2] * 6
    assert sorted(counts[index] for index in range(6, 16)) == [0] * 5 + [1] * 5
    assert [counts[index] for index in range(16, 20)] == [1] * 4
    assert sorted(counts[index] for index in range(20, 23)) == [2, 3, 3]
    for index, count in counts.items():
        assert sorted(repeat for _, other, repeat in made if other == index) == list(range(count))


def test_a_half_weight_takes_another_half_each_epoch():
    sampler = EpochSampler([10], [0.5], share=1, seed=0)
    halves = [frozenset(indices(sampler, epoch)) for epoch in range(6)]
    assert len(set(halves)) > 1
    assert frozenset.union(*halves) == set(range(10))


def test_a_weight_a_source_is_required():
    with pytest.raises(ValueError, match="zip"):
        EpochSampler([3, 4], [1.0], share=1, seed=0)


# --- collate ---------------------------------------------------------------------------------------------------------

PROMPTS = {
    "box": lambda value: Prompt(box=torch.full((4,), value)),
    "points": lambda value: Prompt(point_coords=torch.full((3, 2), value), point_labels=torch.ones(3).long()),
    "mask": lambda value: Prompt(mask=torch.full((1, 4, 4), value)),
}


def example(number: int, kinds: list[str], size: tuple[int, int] | None = None) -> Example:
    """Every value of mask `row` of example `number` is 10 * number + row; original masks but the first are empty."""
    values = [10.0 * number + row for row in range(len(kinds))]
    originals = None if size is None else [torch.full(size, row == 0) for row in range(len(kinds))]
    return Example(
        image=torch.full((3, 16, 16), number, dtype=torch.uint8),
        masks=torch.stack([torch.full((1, 16, 16), value) for value in values]),
        prompts={"": [PROMPTS[kind](value) for kind, value in zip(kinds, values, strict=True)]},
        seeds=[int(value) for value in values],
        original_masks=None if originals is None else torch.stack(originals),
        sample_id=f"set{number % 2}/{number}",
        dataset=f"set{number % 2}",
    )


def test_collate_flattens_the_masks_of_all_images():
    batch = collate([example(0, ["box", "mask"]), example(1, ["points"]), example(2, ["mask", "box", "points"])])
    values = [0, 1, 10, 20, 21, 22]
    assert batch.images.dtype == torch.uint8
    assert batch.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert batch.image_index.tolist() == [0, 0, 1, 2, 2, 2]
    assert batch.image_index.dtype == torch.int64
    assert batch.masks.shape == (6, 1, 16, 16)
    assert batch.masks[:, 0, 0, 0].tolist() == values
    assert batch.seeds == values
    assert batch.sample_ids == ["set0/0", "set0/0", "set1/1", "set0/2", "set0/2", "set0/2"]
    assert batch.datasets == ["set0", "set0", "set1", "set0", "set0", "set0"]
    assert batch.original_masks is None


def test_collate_groups_prompts_by_kind():
    batch = collate([example(0, ["box", "mask"]), example(1, ["points"]), example(2, ["mask", "box", "points"])])
    values = torch.tensor([0.0, 1, 10, 20, 21, 22])
    fields = ("boxes", "point_coords", "point_labels", "masks")
    rows = {}
    for group in batch.prompts:
        given = {name for name in fields if getattr(group, name) is not None}
        for name in given - {"point_labels"}:
            content = getattr(group, name).flatten(1)
            assert torch.equal(content, values[group.rows][:, None].expand_as(content))
        rows[frozenset(given)] = group.rows.tolist()
    assert rows == {
        frozenset({"boxes"}): [0, 4],
        frozenset({"masks"}): [1, 3],
        frozenset({"point_coords", "point_labels"}): [2, 5],
    }
    assert all(group.point_labels.shape == (2, 3) for group in batch.prompts if group.point_labels is not None)


def test_collate_keeps_original_masks_at_their_sizes():
    batch = collate([example(0, ["box", "box"], (5, 7)), example(1, ["box"], (9, 3))])
    assert [tuple(mask.shape) for mask in batch.original_masks] == [(5, 7), (5, 7), (9, 3)]
    assert [bool(mask.all()) for mask in batch.original_masks] == [True, False, True]


def test_several_kinds_of_prompts_are_rows_of_one_batch():
    """The masks of an image once per kind, its image once; the rows of a mask share its original."""
    one, two = example(0, ["box", "mask"], (5, 7)), example(1, ["points"], (9, 3))
    one.prompts, two.prompts = (
        {"usual": each.prompts[""], "odd": [PROMPTS["box"](-1.0)] * len(each.masks)} for each in (one, two)
    )
    batch = collate([one, two])
    assert len(batch.images) == 2
    assert batch.image_index.tolist() == [0, 0, 0, 0, 1, 1]
    assert batch.prompt_names == ["usual", "usual", "odd", "odd", "usual", "odd"]
    assert batch.masks[:, 0, 0, 0].tolist() == [0, 1, 0, 1, 10, 10]
    assert batch.seeds == [0, 1, 0, 1, 10, 10]
    assert batch.sample_ids == ["set0/0"] * 4 + ["set1/1"] * 2
    groups = [group for group in batch.prompts if group.boxes is not None]
    boxes = {int(row): float(box[0]) for group in groups for row, box in zip(group.rows, group.boxes, strict=True)}
    assert boxes == {0: 0.0, 2: -1.0, 3: -1.0, 5: -1.0}
    assert sorted(row for group in batch.prompts for row in group.rows.tolist()) == list(range(6))
    for shared in (batch, batch.to(torch.device("meta"))):
        assert [shared.original_masks[row] is shared.original_masks[row % 2] for row in range(4)] == [True] * 4
        assert shared.original_masks[4] is shared.original_masks[5]
        assert shared.original_masks[0] is not shared.original_masks[1]


# --- resumable loader ------------------------------------------------------------------------------------------------


class Keys(Dataset):
    """Gives back what it is asked for; the epoch is part of it."""

    def __getitem__(self, key: tuple[int, int, int]) -> tuple[int, int, int]:
        return key


def loader(workers: int = 0, rank: int = 0, ranks: int = 1, accumulate: int = 1) -> ResumableLoader:
    """6 batches of 3 on one rank."""
    return ResumableLoader(
        Keys(),
        str,
        sampler=EpochSampler([20], [1], 3 * accumulate, seed=5, rank=rank, world_size=ranks),
        batch_size=3,
        drop_last=True,
        collate_fn=list,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def epoch_of(made: ResumableLoader, epoch: int) -> list[list[tuple[int, int, int]]]:
    made.sampler.set_epoch(epoch)
    return list(made)


@pytest.fixture(scope="module")
def whole() -> list[list[list[tuple[int, int, int]]]]:
    """Batches of four epochs, straight from the sampler."""
    epochs = [keys(EpochSampler([20], [1], 3, seed=5), epoch) for epoch in range(4)]
    return [[epoch[first : first + 3] for first in range(0, 18, 3)] for epoch in epochs]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_epoch_goes_on_where_it_stopped(whole, workers):
    interrupted = loader(workers)
    assert epoch_of(interrupted, 0) == whole[0]
    interrupted.sampler.set_epoch(1)
    iterator = iter(interrupted)
    assert [next(iterator) for _ in range(2)] == whole[1][:2]
    state = interrupted.state_dict()

    resumed = loader(workers)
    resumed.load_state_dict(state)
    assert epoch_of(resumed, 1) == whole[1][2:]
    assert epoch_of(resumed, 2) == whole[2]
    assert epoch_of(resumed, 3) == whole[3]


@pytest.mark.parametrize("done", range(7))
def test_any_batch_can_be_the_last_before_the_interruption(whole, done):
    interrupted = loader()
    iterator = iter(interrupted)
    for _ in range(done):
        next(iterator)
    resumed = loader()
    resumed.load_state_dict(interrupted.state_dict())
    assert epoch_of(resumed, 0) == whole[0][done:]


def test_the_epoch_may_be_set_after_the_iterator_is_made(whole):
    """Lightning does so."""
    interrupted = loader()
    iterator = iter(interrupted)
    interrupted.sampler.set_epoch(2)
    assert next(iterator) == whole[2][0]
    resumed = loader()
    resumed.load_state_dict(interrupted.state_dict())
    iterator = iter(resumed)
    resumed.sampler.set_epoch(2)
    assert list(iterator) == whole[2][1:]


def test_a_second_interruption_counts_from_the_beginning_of_the_epoch(whole):
    first = loader()
    first.load_state_dict({"epoch": 1, "images": 6})
    first.sampler.set_epoch(1)
    iterator = iter(first)
    assert [next(iterator) for _ in range(3)] == whole[1][2:5]
    second = loader()
    second.load_state_dict(first.state_dict())
    assert epoch_of(second, 1) == whole[1][5:]


def test_the_state_of_another_epoch_is_ignored(whole):
    made = loader()
    made.load_state_dict({"epoch": 1, "images": 6})
    assert epoch_of(made, 2) == whole[2]
    assert epoch_of(made, 1) == whole[1]


def test_a_finished_epoch_leaves_the_next_one_whole(whole):
    finished = loader()
    epoch_of(finished, 0)
    resumed = loader()
    resumed.load_state_dict(finished.state_dict())
    assert epoch_of(resumed, 1) == whole[1]


def test_an_abandoned_iteration_leaves_the_next_one_whole(whole):
    made = loader()
    next(iter(made))
    assert epoch_of(made, 0) == whole[0]


def test_the_state_is_plain(whole):
    made = loader()
    made.sampler.set_epoch(3)
    iterator = iter(made)
    next(iterator)
    assert made.state_dict() == {"epoch": 3, "images": 3}
    assert {type(value) for value in made.state_dict().values()} == {int}


def test_length_stays_that_of_the_whole_epoch():
    made = loader()
    assert len(made) == 6
    made.load_state_dict({"epoch": 0, "images": 12})
    assert len(made) == 6
    remaining = 0
    for _ in made:
        assert len(made) == 6
        remaining += 1
    assert remaining == 2


def test_every_rank_resumes_its_own_share():
    for rank in range(2):
        full = epoch_of(loader(rank=rank, ranks=2), 1)
        resumed = loader(rank=rank, ranks=2)
        resumed.load_state_dict({"epoch": 1, "images": 6})
        assert epoch_of(resumed, 1) == full[1:]
        assert len(full) == 3


@pytest.mark.parametrize(("before", "now"), [(1, 2), (2, 1), (2, 3)])
def test_another_number_of_ranks_continues_with_the_next_step(before: int, now: int):
    """Steps of 6 images, in batches of 1 or of 3 on each rank."""

    def on(rank: int, ranks: int, batch_size: int) -> ResumableLoader:
        sampler = EpochSampler([20], [1], 6 // ranks, seed=5, rank=rank, world_size=ranks)
        return ResumableLoader(Keys(), str, sampler=sampler, batch_size=batch_size, collate_fn=list)

    interrupted = on(before - 1, before, batch_size=3)
    iterator = iter(interrupted)
    for _ in range(2 // before):
        next(iterator)
    state = interrupted.state_dict()
    assert state == {"epoch": 0, "images": 6}
    resumed = [on(rank, now, batch_size=1) for rank in range(now)]
    for each in resumed:
        each.load_state_dict(state)
    left = [[key for batch in each for key in batch] for each in resumed]
    share = 6 // now
    whole = keys(EpochSampler([20], [1], 6, seed=5))
    assert [key for first in (0, share) for each in left for key in each[first : first + share]] == whole[6:18]


@pytest.mark.parametrize("done", range(7))
def test_resumes_between_the_batches_of_one_step(done):
    """Two batches a step: 20 samples are 3 steps of 6."""
    full = epoch_of(loader(accumulate=2), 1)
    assert len(full) == 6
    resumed = loader(accumulate=2)
    resumed.load_state_dict({"epoch": 1, "images": 3 * done})
    assert epoch_of(resumed, 1) == full[done:]


def test_loading_processes_survive_opencv_threads_of_their_parent():
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        cv2.resize(np.zeros((4000, 4000, 3), np.uint8), (3000, 3000))
        samples = Scenes(2, image_size=1024)
        module = PromptedDataModule(
            sets=DataSets([], {"a": samples}),
            augmentation=Augmentation(1024),
            prompts=PromptMix({"box": 1}),
            val_prompts={"box": PromptMix({"box": 1})},
            image_size=1024,
            mask_input_size=256,
            batch_size=1,
            accumulate=1,
            seed=0,
            num_workers=1,
        )
        (loader,) = module.val_dataloader()
        assert len(list(loader)) == 2
    finally:
        cv2.setNumThreads(threads)


class Niceness(Dataset):
    """A sample whose id is the priority of the process that loads it."""

    masks = np.ones((1, 64, 64), np.float32)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Sample:
        return Sample(np.zeros((64, 64, 3), np.uint8), self.masks, str(os.nice(0)), "niceness")


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize("more", [0, 3])
def test_loading_processes_are_as_nice_as_the_config_says(part, more):
    prompts = PromptMix({"box": 1})
    sets = DataSets([(Niceness(), 1.0)], {"niceness": Niceness()})
    begin = BeginLoading(niceness=more)
    module = PromptedDataModule(
        sets, Augmentation(64), prompts, {"box": prompts}, 64, 16, 2, 1, seed=0, num_workers=1, begin_loading=begin
    )
    made = module.train_dataloader() if part == "train" else module.val_dataloader()[0]
    ids = {int(name) for batch in made for name in batch.sample_ids}
    assert ids == {min(os.nice(0) + more, 19)}
