"""Changes of appearance leave masks alone and are a function of the seed."""

import albumentations as A
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from hqsam_lightning.config import conf_dir
from hqsam_lightning.data import Augmentation
from hqsam_lightning.data.patchwork import Patchwork
from hqsam_lightning.errors import ConfigError

SIZE = 64


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(90, 160, (48, SIZE, 3), dtype=np.uint8)


@pytest.fixture
def masks() -> np.ndarray:
    return np.random.default_rng(1).random((2, 48, SIZE), dtype=np.float32)


def repaint(photo: np.ndarray, seed: int, **options) -> np.ndarray:
    return A.Compose([Patchwork(p=1, **options)], seed=seed)(image=photo)["image"]


@pytest.fixture
def make_augmentation():
    def make(name: str, **options: float) -> Augmentation:
        with initialize_config_dir(conf_dir(), version_base="1.3"):
            config = compose("train", overrides=[f"augmentation={name}"])
        return instantiate(config.augmentation, image_size=SIZE, **options)

    return make


def test_one_patch_is_one_affine_map_of_colours_and_mirrored_texture(photo):
    for seed in range(5):
        painted = repaint(photo, seed, patches=(1, 1), share=1).reshape(-1, 3)
        ours, mirrored = (array.reshape(-1, 3).astype(float) for array in (photo, photo[::-1, ::-1]))
        known = np.hstack([ours, mirrored, np.ones((len(ours), 1))])
        unclipped = ((painted > 0) & (painted < 255)).all(axis=1)
        assert unclipped.sum() > 100
        solution = np.linalg.lstsq(known[unclipped], painted[unclipped], rcond=None)[0]
        assert np.abs(known[unclipped] @ solution - painted[unclipped]).max() <= 1


def test_patches_have_maps_of_their_own(photo):
    """No affine map explains the whole photo, and some patches are left as they are."""
    painted = repaint(photo, 3, patches=(8, 8), share=0.5)
    same = (painted == photo).all(axis=-1)
    assert 0.1 < same.mean() < 0.9
    known = np.hstack([photo.reshape(-1, 3), photo[::-1, ::-1].reshape(-1, 3), np.ones((photo[..., 0].size, 1))])
    solution = np.linalg.lstsq(known, painted.reshape(-1, 3), rcond=None)[0]
    assert np.abs(known @ solution - painted.reshape(-1, 3)).mean() > 5


def test_nothing_is_repainted_when_no_share_is(photo):
    assert (repaint(photo, 0, share=0) == photo).all()


@pytest.mark.parametrize("options", [{"patches": (0, 3)}, {"patches": (5, 3)}, {"share": 1.2}, {"share": -0.1}])
def test_impossible_options_name_their_key(options):
    (key,) = options
    with pytest.raises(ConfigError, match=rf"^augmentation\.appearance, {key}: expected .*; got "):
        Patchwork(**options)


def test_repainting_moves_no_mask_and_depends_on_the_seed_alone(make_augmentation, photo, masks):
    plain, repainted = make_augmentation("flip"), make_augmentation("repainted")
    changed = 0
    for seed in range(12):
        image, kept, _ = plain(photo, masks, seed)
        other, other_kept, _ = repainted(photo, masks, seed)
        assert np.array_equal(kept, other_kept)
        assert other.dtype == np.uint8
        assert other.shape == image.shape
        changed += not np.array_equal(image, other)
        assert np.array_equal(repainted(photo, masks, seed)[0], other)
    assert changed >= 10


def test_a_share_of_the_samples_is_repainted(make_augmentation, photo, masks):
    plain = make_augmentation("repainted", flip_prob=0, appearance_prob=0)(photo, masks, 0)[0]
    some = make_augmentation("repainted", flip_prob=0, appearance_prob=0.3)
    repainted = sum(not np.array_equal(some(photo, masks, seed)[0], plain) for seed in range(100))
    assert 15 <= repainted <= 45
    with pytest.raises(ConfigError, match=r"^augmentation\.appearance_prob: expected .*; got 1\.2"):
        Augmentation(SIZE, appearance_prob=1.2)
