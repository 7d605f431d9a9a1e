import multiprocessing

import cv2
import numpy as np
import pytest

from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.scenes.drawing import MIN_OBJECT_PIXELS
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.types import Sample

OBJECT = 128 / 255


def scene_bytes(index: int) -> tuple[bytes, bytes, str]:
    sample = Scenes(size=40, image_size=128, seed=5)[index]
    return sample.image.tobytes(), sample.masks.tobytes(), sample.sample_id


@pytest.fixture(scope="module")
def scenes() -> list[Sample]:
    made = Scenes(size=24, image_size=256, seed=3, objects=(1, 3))
    return [made[index] for index in range(len(made))]


def test_same_index_gives_the_same_scene_in_any_order_and_instance():
    made = Scenes(size=40, image_size=128, seed=5)
    first, _, again = made[7], made[2], made[7]
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.image.tobytes(), first.masks.tobytes(), first.sample_id) == scene_bytes(7)


def test_scene_ignores_global_random_state_and_size_of_the_set():
    np.random.seed(0)
    before = scene_bytes(3)
    np.random.seed(1)
    assert scene_bytes(3) == before
    assert Scenes(size=4, image_size=128, seed=5)[3].image.tobytes() == before[0]


def test_worker_process_gives_the_same_scene():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        made = pool.map(scene_bytes, [0, 9])
        pool.close()
        pool.join()
    assert made == [scene_bytes(0), scene_bytes(9)]


def test_seeds_splits_and_indices_give_different_scenes():
    images = {
        Scenes(size=9, image_size=64, seed=seed, split=split)[index].image.tobytes()
        for seed in (0, 1)
        for split in ("train", "val")
        for index in range(8)
    }
    assert len(images) == 2 * 2 * 8


@pytest.mark.parametrize("size", [128, 256, 512])
def test_shapes_types_and_ranges(size):
    sample = Scenes(size=2, image_size=size, name="scenes", split="val")[1]
    assert sample.image.shape == (size, size, 3)
    assert sample.image.dtype == np.uint8
    assert sample.masks.shape[1:] == (size, size)
    assert sample.masks.dtype == np.float32
    assert sample.masks.flags.c_contiguous
    assert sample.masks.min() >= 0
    assert sample.masks.max() <= 1
    assert (sample.sample_id, sample.dataset) == ("scenes/val/000001", "scenes")


def test_masks_are_big_enough_and_do_not_overlap(scenes):
    assert {len(sample.masks) for sample in scenes} == {1, 2, 3}
    for sample in scenes:
        assert ((sample.masks > OBJECT).sum((1, 2)) >= MIN_OBJECT_PIXELS).all()
        assert sample.masks.sum(0).max() <= 1 + 1e-5


def test_number_of_objects_follows_the_setting():
    made = Scenes(size=6, image_size=128, objects=[2, 2])
    assert all(1 <= len(sample.masks) <= 2 for sample in made)
    assert max(len(sample.masks) for sample in made) == 2


def test_masks_have_soft_edges_and_a_solid_inside(scenes):
    for sample in scenes:
        soft = (sample.masks > 0.1) & (sample.masks < 0.9)
        assert soft.any((1, 2)).all()
        assert (sample.masks > 0.99).any((1, 2)).all()
        levels = np.unique(sample.masks[soft])
        assert len(levels) > 4


def test_object_differs_from_what_is_around_it(scenes):
    for sample in scenes:
        outside = sample.image[sample.masks.sum(0) == 0].mean(0)
        for mask in sample.masks:
            inside = sample.image[mask > OBJECT].mean(0)
            assert np.linalg.norm(inside - outside) > 10


def test_many_scenes_hold_thin_parts(scenes):
    """A thin part vanishes when its mask is opened with a 7 px square."""
    thin = 0
    for sample in scenes:
        solid = (sample.masks > OBJECT).any(0).astype(np.uint8)
        opened = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        thin += (solid - opened).sum() > 0.2 * solid.sum()
    assert thin >= len(scenes) // 4


@pytest.mark.parametrize("index", [-1, 3, 100])
def test_index_out_of_range(index):
    with pytest.raises(IndexError, match="from 0 to 2 of synthetic/train"):
        Scenes(size=3)[index]


def test_length_and_iteration():
    made = Scenes(size=3, image_size=64)
    assert len(made) == 3
    assert [sample.sample_id for sample in made] == [f"synthetic/train/{index:06d}" for index in range(3)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 0),
        ("size", 2.5),
        ("image_size", 32),
        ("image_size", "256"),
        ("seed", -1),
        ("split", "test"),
        ("objects", (0, 2)),
        ("objects", (3, 2)),
        ("objects", [1]),
        ("objects", [1, 2.5]),
        ("objects", 2),
        ("masks", "rough"),
        ("coarseness", -1.0),
        ("coarseness", float("inf")),
        ("coarseness", float("nan")),
    ],
)
def test_bad_argument_names_its_key(key, value):
    with pytest.raises(ConfigError, match=rf"^data\.{key}: expected .*got"):
        Scenes(**({"size": 3} | {key: value}))
