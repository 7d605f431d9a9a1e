"""The embedding cache: what it holds, training from it, and what it refuses."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from hqsam_lightning.data.cache import (
    KIND,
    SHARD,
    VERSION,
    CacheIndex,
    pack_masks,
    unpack_masks,
)
from hqsam_lightning.data.transforms import Augmentation, Framed
from hqsam_lightning.errors import CacheError, ConfigError, StorageError
from hqsam_lightning.precompute import precompute
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.storage.files import write_document
from hqsam_lightning.train import train
from hqsam_lightning.types import OBJECT_THRESHOLD, SamFeatures

TINY = (
    *("sam=tiny_random", "trainer=cpu", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=3", "batch.total=4"),
    *(
        "batch.max_per_device=2",
        "loader.num_workers=0",
        "loss.num_points=64",
        "~callbacks.progress_bar",
        "augmentations_per_image=2",
    ),
)
SCENES = ("data.train_size=12", "data.val_size=2", "augmentation=repainted")
IMAGES = 12


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photos with masks."""
    rng = np.random.default_rng(0)
    for index in range(IMAGES + 2):
        for name, shape in (("images", (40, 56, 3)), ("masks", (40, 56))):
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            path = tmp_path / "photos" / name / f"{index:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels if name == "images" else (pixels > 99).astype(np.uint8) * 255).save(path)
    return tmp_path / "photos"


@pytest.fixture
def of_scenes(make_config, tmp_path: Path):
    def compose(*overrides: str):
        return make_config(*TINY, *SCENES, f"cache={tmp_path / 'cache'}", *overrides)

    return compose


@pytest.fixture
def of_photos(make_config, tmp_path: Path, photos: Path):
    def compose(*overrides: str):
        data = ("data=folder", f"paths.data_dir={photos}", "data.holdout=2", f"cache={tmp_path / 'cache'}")
        return make_config(*TINY, *data, *overrides)

    return compose


def trained_weights(config) -> dict[str, torch.Tensor]:
    return dict(train(config)[1]["module"].variants["hq"].state_dict())


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


# --- what is read is what would be made ------------------------------------------------------------------------------


def test_training_from_the_cache_is_training_online_on_the_same_views(
    of_scenes: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Online, with features and masks rounded as they are stored, gives the same weights bit for bit."""
    precompute(of_scenes())
    from_cache = trained_weights(of_scenes(f"paths.output_dir={tmp_path / 'cached'}"))
    exact = trained_weights(of_scenes("cache=null"))

    encode = FrozenSam.encode

    def rounded(self: FrozenSam, images: torch.Tensor) -> SamFeatures:
        made = encode(self, images)
        return SamFeatures(made.image_embeddings.bfloat16().float(), made.early.bfloat16().float(), made.dense_pe)

    monkeypatch.setattr(FrozenSam, "encode", rounded)
    augment = Augmentation.__call__

    def with_rounded_masks(self: Augmentation, *sample) -> Framed:
        framed = augment(self, *sample)
        return framed._replace(masks=unpack_masks(pack_masks(torch.from_numpy(framed.masks))).numpy())

    monkeypatch.setattr(Augmentation, "__call__", with_rounded_masks)
    online = trained_weights(of_scenes("cache=null", f"paths.output_dir={tmp_path / 'rounded'}"))
    assert all(torch.equal(from_cache[key], online[key]) for key in online)
    distance = max((from_cache[key] - exact[key]).abs().max().item() for key in exact)
    assert 0 < distance < 1e-2


def test_an_epoch_shows_view_e_mod_k(of_scenes: Callable) -> None:
    precompute(of_scenes())
    _, objects = train(of_scenes())
    examples = objects["datamodule"].training
    first, second, third = (examples.view(5, epoch, 0) for epoch in range(3))
    assert torch.equal(first.image.early, third.image.early)
    assert not torch.equal(first.image.early, second.image.early)
    assert torch.equal(examples.view(5, 0, 1).image.early, second.image.early)


def test_a_run_over_a_cache_encodes_nothing(of_scenes: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in training nor in validation, and both prompts of a mask are scored."""
    precompute(of_scenes())
    encoded = []
    monkeypatch.setattr(FrozenSam, "encode_with", lambda self, encoder, images: encoded.append(len(images)))
    datamodule = train(of_scenes("+prompts@val_prompts.points=points"))[1]["datamodule"]
    assert encoded == []
    (loader,) = datamodule.val_dataloader()
    (batch,) = loader
    assert batch.prompt_names.count("box") == batch.prompt_names.count("points") >= 2
    assert batch.pixels.shape == (2, 3, 64, 64)


def test_validation_from_the_cache_sees_what_it_would_online(of_photos: Callable, tmp_path: Path) -> None:
    """The same prompts, masks and pixels, to the bit; features to the rounding of bfloat16."""
    precompute(of_photos())
    apart = ("cache=null", f"paths.output_dir={tmp_path / 'online'}")
    cached, online = (train(of_photos(*more))[1] for more in ((), apart))
    sam = online["module"].sam
    ((stored,),), ((plain,),) = (list(map(list, each["datamodule"].val_dataloader())) for each in (cached, online))
    assert torch.equal(stored.pixels, plain.pixels)
    assert torch.equal(stored.masks, plain.masks)
    assert torch.equal(stored.prompts[0].boxes, plain.prompts[0].boxes)
    features = sam.encode(plain.pixels)
    for name in ("image_embeddings", "early"):
        torch.testing.assert_close(getattr(stored.images, name).float(), getattr(features, name), rtol=2**-8, atol=1e-6)


def test_validation_images_that_the_cache_lacks_are_encoded_and_reported(
    of_photos: Callable, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    precompute(of_photos())
    Image.open(photos / "images" / "13.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        photos / "images" / "13.png"
    )
    datamodule = train(of_photos())[1]["datamodule"]
    assert "1 of the 2 images of validation set folder are not in it or have changed since (first: folder/13)" in (
        caplog.text
    )
    (loader,) = datamodule.val_dataloader()
    assert all(isinstance(batch.images, torch.Tensor) for batch in loader)


def test_masks_keep_their_object_pixels() -> None:
    masks = torch.cat([torch.linspace(0, 1, 100_001), torch.arange(256) / 255])
    packed = unpack_masks(pack_masks(masks))
    assert torch.equal(packed > OBJECT_THRESHOLD, masks > OBJECT_THRESHOLD)
    assert (packed - masks).abs().max() <= 1 / 255
    assert torch.equal(unpack_masks(pack_masks(packed)), packed)


# --- resuming --------------------------------------------------------------------------------------------------------


def test_only_what_is_missing_is_written(of_photos: Callable) -> None:
    folder = precompute(of_photos())
    assert len(shards(folder)) == -(-IMAGES * 2 // SHARD)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in shards(folder)}
    gone = shards(folder)[1]
    gone.unlink()
    precompute(of_photos())
    assert {path: path.read_bytes() for path in shards(folder)} == {
        path: content for path, (content, _) in before.items()
    }
    assert [path for path in shards(folder) if path.stat().st_mtime_ns != before[path][1]] == [gone]


def test_an_unfinished_cache_is_refused(of_photos: Callable) -> None:
    folder = precompute(of_photos())
    shards(folder)[1].unlink()
    with pytest.raises(CacheError, match=r"expected 2 shards, 1 are missing \(first: 1\); run the same"):
        train(of_photos())


def test_a_full_disk_is_said_beforehand(of_photos: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=5))
    with pytest.raises(CacheError, match=r"GB of free space .*, found 0\.0 GB; choose another disk"):
        precompute(of_photos())
    assert shards(tmp_path / "cache") == []


def test_a_disk_that_fills_up_stops_it_cleanly(
    of_photos: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    replaced = os.replace

    def full_at_the_second(source: Path, target: Path) -> None:
        if Path(target).name == "000001.safetensors":
            raise OSError(errno.ENOSPC, "No space left on device")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", full_at_the_second)
    with pytest.raises(StorageError, match=r"000001\.safetensors: cannot be written .*No space left on device.*again"):
        precompute(of_photos())
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [
        "000000.safetensors",
        "cache.json",
    ]
    monkeypatch.undo()
    precompute(of_photos())
    assert len(shards(tmp_path / "cache")) == 2


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("seed=7", "seed: 42 in the cache, 7 in this run"),
        ("augmentation.min_scale=0.5", r"augmentation\.min_scale: .* in the cache, 0\.5 in this run"),
        ("sam.precision=bf16", "precision: fp32 in the cache, bf16 in this run"),
        ("augmentations_per_image=3", "views: 2 in the cache, 3 in this run"),
    ],
)
def test_a_cache_of_another_run_is_refused(of_photos: Callable, override: str, named: str) -> None:
    precompute(of_photos())
    for command in (train, precompute):
        with pytest.raises(CacheError, match=named):
            command(of_photos(override))


def test_a_cache_of_another_sam_is_refused(of_photos: Callable, tmp_path: Path) -> None:
    precompute(of_photos())
    body = CacheIndex.read(tmp_path / "cache").body
    other = {**body, "facts": {**body["facts"], "sam.sha256": "another"}}
    write_document(tmp_path / "cache" / "cache.json", KIND, VERSION, other)
    with pytest.raises(CacheError, match=r"sam\.sha256: another in the cache, "):
        train(of_photos())


def test_a_changed_mask_is_refused(of_photos: Callable, photos: Path) -> None:
    precompute(of_photos())
    path = photos / "masks" / "03.png"
    mask = np.asarray(Image.open(path)).copy()
    mask[7, 9] = 255 - mask[7, 9]
    Image.fromarray(mask).save(path)
    with pytest.raises(CacheError, match=r"1 of 12 are not in it or have changed since \(first: folder/03\)"):
        train(of_photos())
    with pytest.raises(CacheError, match="expected a cache of these 12 training and 2 validation images"):
        precompute(of_photos())


def test_fewer_images_than_the_cache_holds_are_fine(of_photos: Callable, photos: Path) -> None:
    precompute(of_photos())
    (photos / "images" / "03.png").unlink()
    (photos / "masks" / "03.png").unlink()
    _, objects = train(of_photos())
    examples = objects["datamodule"].training
    assert len(examples) == IMAGES - 1
    assert examples.view(3, 0, 0).sample_id == "folder/04"


def test_a_damaged_shard_names_its_file(of_photos: Callable, tmp_path: Path) -> None:
    precompute(of_photos())
    path = shards(tmp_path / "cache")[0]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        CacheError, match=r"000000\.safetensors: expected a safetensors file, this one is damaged.*delete the file"
    ):
        train(of_photos())


@pytest.mark.parametrize("method", ["lora", "adapter", "tuned_sam", "refiner"])
def test_methods_that_need_the_images_refuse_the_cache(of_photos: Callable, method: str) -> None:
    precompute(of_photos())
    with pytest.raises(ConfigError, match=r"cache: expected null, because mine need the images themselves, got"):
        train(of_photos(f"+head@variants.mine={method}"))


def test_no_cache_is_refused(of_photos: Callable) -> None:
    with pytest.raises(CacheError, match=r"expected a cache, found none; run `python -m hqsam_lightning\.precompute`"):
        train(of_photos())


@pytest.mark.parametrize(
    "override",
    ["cache=null", "augmentations_per_image=null", "augmentations_per_image=0", "augmentations_per_image=1.5"],
)
def test_precompute_names_what_it_needs(of_photos: Callable, override: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{override.split('=')[0]}: expected"):
        precompute(of_photos(override))


def test_features_are_stored_in_bfloat16(of_photos: Callable) -> None:
    folder = precompute(of_photos())
    tensors = load_file(shards(folder)[0])
    types = {"image_embeddings": torch.bfloat16, "early": torch.bfloat16, "masks": torch.uint8}
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {
        f"{row}.{name}": dtype for row in range(SHARD) for name, dtype in types.items()
    }
