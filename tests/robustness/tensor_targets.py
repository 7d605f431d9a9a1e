"""Checkpoints, weights and embedding caches: refused, or the same to the last bit."""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
from safetensors.torch import save_file

from robustness.mutations import damage_bytes, damage_json
from robustness.target import Target, composed


class Checkpoints(Target):
    """A checkpoint of ours after damage: refused, or the same to the last bit."""

    inputs = 600

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from hqsam_lightning.train import train

        config = composed(
            *(
                "setting=paper",
                "sam=tiny_random",
                "trainer=cpu",
                "trainer.max_epochs=1",
                "data.train_size=2",
                "data.val_size=1",
            ),
            *("batch.total=2", "loader.num_workers=0", "loss.num_points=16", f"paths.output_dir={folder / 'run'}"),
        )
        train(config)
        path = folder / "run" / "checkpoints" / "last.ckpt"
        self.sound, self.expected = path.read_bytes(), self._read(path)

    def use(self, rng: random.Random) -> None:
        """Reads the checkpoint."""
        path = self.folder / "last.ckpt"
        path.write_bytes(damage_bytes(self.sound, rng))
        assert self._read(path) == self.expected

    def _read(self, path: Path) -> str:
        from hqsam_lightning.storage.files import content_sha256
        from hqsam_lightning.training.checkpoint import read_checkpoint

        return content_sha256(read_checkpoint(path))


class Weights(Target):
    """Weights in a .pth and in a .safetensors after damage; those of other people carry no checksum of their values."""

    inputs = 600

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        state = {"a": torch.randn(30, 40), "b.weight": torch.arange(5)}
        torch.save(state, folder / "w.pth")
        self.pth, self.state = (folder / "w.pth").read_bytes(), state
        save_file(state, folder / "w.safetensors")
        self.safetensors = (folder / "w.safetensors").read_bytes()

    def use(self, rng: random.Random) -> None:
        """Reads the file; what torch wrote is refused or the same."""
        from hqsam_lightning.sam.state_dicts import read_state_dict

        suffix = rng.choice((".pth", ".safetensors"))
        path = self.folder / f"damaged{suffix}"
        path.write_bytes(damage_bytes(self.pth if suffix == ".pth" else self.safetensors, rng))
        read = read_state_dict(path)
        assert all(torch.isfinite(value).all() for value in read.values())
        if suffix == ".pth":
            assert read.keys() == self.state.keys()
            assert all(torch.equal(read[key], value) for key, value in self.state.items())


class Caches(Target):
    """An embedding cache, one of whose files is damaged, or exchanged for another of its files."""

    inputs = 700

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from hqsam_lightning.precompute import precompute

        self.config = composed(
            *(
                "setting=paper",
                "sam=tiny_random",
                "trainer=cpu",
                "data.train_size=20",
                "augmentations_per_image=2",
                "loader.num_workers=0",
            ),
            *(f"cache={folder / 'cache'}", f"paths.output_dir={folder / 'run'}"),
        )
        precompute(self.config)
        self.files = {path: path.read_bytes() for path in sorted((folder / "cache").glob("[!.]*")) if path.is_file()}
        self.expected = self._read()

    def use(self, rng: random.Random) -> None:
        """Opens the cache and reads every view."""
        path = rng.choice(list(self.files))
        content = self.files[path]
        if rng.random() < 0.2:
            content = self.files[rng.choice(list(self.files))]
        elif path.suffix == ".json" and rng.random() < 0.5:
            content = damage_json(json.loads(content), rng).encode("utf-8", "replace")
        else:
            content = damage_bytes(content, rng)
        try:
            path.write_bytes(content)
            assert self._read() == self.expected
        finally:
            path.write_bytes(self.files[path])

    def _read(self) -> str:
        from hydra.utils import instantiate

        from hqsam_lightning.config import as_plain
        from hqsam_lightning.data.building import build_sets, open_cache
        from hqsam_lightning.data.datasets import MergedSets
        from hqsam_lightning.recipe import features_of
        from hqsam_lightning.storage.files import content_sha256

        sam = instantiate(self.config.sam)
        cache = open_cache(self.config, features_of(as_plain(self.config), sam.weights_sha256))
        sets = build_sets(self.config)
        train, validation = MergedSets([samples for samples, _ in sets.train]), MergedSets([*sets.validation.values()])
        first = cache.training_entries([train.identify(index) for index in range(len(train))])
        last = cache.validation_entries("all", [validation.identify(index) for index in range(len(validation))])
        drawn = [cache.read(entry) for entry in [*first, *(each + 1 for each in first), *last]]
        return content_sha256([[read[0].image_embeddings, read[0].early, read[1]] for read in drawn])
