"""What reads other people's files, each with sound inputs to damage and a way to use them to the end."""

from __future__ import annotations

import io
import json
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

from hqsam_lightning.cli import conf_dir
from robustness.mutations import ODD_VALUES, damage_bytes, damage_json

SIDE = 24
LISTED = {"object": [1], "ignore": [255]}


class Target(ABC):
    """One reader.

    Attributes:
        inputs: how many the full sweep tries.
    """

    inputs: ClassVar[int]

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def use(self, rng: random.Random) -> None:
        """Makes one input and reads it as a run would.

        Raises:
            HQSamError: where the input is refused.
        """


def photo(seed: int, side: int = SIDE) -> Image.Image:
    """A photo of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def shape(side: int = SIDE) -> np.ndarray:
    """A disc as bool."""
    ys, xs = np.indices((side, side)) - side / 2
    return np.hypot(ys, xs) < side / 3


class Photos(Target):
    """Photos of many formats, damaged by bytes, under any name."""

    inputs = 2500

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sound: list[bytes] = []
        for number, (name, mode, options) in enumerate(
            (
                ("JPEG", "RGB", {}),
                ("JPEG", "L", {}),
                ("JPEG", "CMYK", {}),
                ("PNG", "RGB", {}),
                ("PNG", "RGBA", {}),
                ("PNG", "P", {}),
                ("PNG", "I;16", {}),
                ("WEBP", "RGB", {}),
                ("BMP", "RGB", {}),
                ("TIFF", "RGB", {}),
                ("GIF", "P", {}),
                ("EPS", "RGB", {}),
                ("PDF", "RGB", {}),
                ("ICO", "RGBA", {}),
                ("PPM", "RGB", {}),
                ("TGA", "RGB", {}),
            )
        ):
            path = folder / f"sound_{number}"
            image = photo(number)
            image = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image
            (image if mode == "I;16" else image.convert(mode)).save(path, name, **options)
            self.sound.append(path.read_bytes())
        exif = Image.Exif()
        exif[0x0112] = 6
        notes = PngImagePlugin.PngInfo()
        notes.add_text("Comment", "x" * 2_000_000, zip=True)
        photo(0).save(folder / "exif", "JPEG", exif=exif)
        photo(0).save(folder / "notes", "PNG", pnginfo=notes)
        self.sound += [(folder / name).read_bytes() for name in ("exif", "notes")]

    def use(self, rng: random.Random) -> None:
        """Reads the photo and its size."""
        from hqsam_lightning.data.reading import image_size, read_image

        path = self.folder / f"photo{rng.choice(('.jpg', '.png', '.webp', '.tif', '.JPEG', ''))}"
        path.write_bytes(damage_bytes(rng.choice(self.sound), rng))
        try:
            height, width = image_size(path)
            image = read_image(path)
            assert image.dtype == np.uint8
            assert image.shape == (height, width, 3)
        finally:
            path.unlink()


class Masks(Target):
    """A source of a few masks of one meaning, one of them damaged, of odd values, or of another meaning."""

    inputs = 2500

    def use(self, rng: random.Random) -> None:
        """Decides what the source's values mean, and reads all of its samples."""
        from hqsam_lightning.data.sets import folder_sets

        root = self.folder / "source"
        draw = rng.choice((two_levels, grey_edges, label_map, ids, colours, transparent))
        for number in range(4):
            odd = rng.random() < 0.15
            content = encoded((rng.choice(DRAWN) if odd else draw)(rng), rng)
            content = damage_bytes(content, rng) if rng.random() < 0.1 else content
            self._write(root / "masks" / f"{number}.png", content)
            self._write(root / "images" / f"{number}.jpg", encoded(photo(number), rng))
        values = rng.choice(("auto", "auto", "auto", "binary", "soft", "nonzero", "alpha", "ids", LISTED))
        source = {"images": "images", "masks": "masks", "mask_values": values}
        sets = folder_sets({"a": source}, ["a"], [], str(root), check=rng.choice(("quick", "full")), holdout=0)
        for samples, _ in sets.train:
            for index in range(len(samples)):
                sample = samples[index]
                assert sample.masks.shape[1:] == sample.image.shape[:2]
                assert ((sample.masks >= 0) & (sample.masks <= 1)).all()
                assert (sample.masks > 128 / 255).any(axis=(1, 2)).all()

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def encoded(image: Image.Image, rng: random.Random) -> bytes:
    """As PNG, sometimes as something that only Pillow's guess reads."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def two_levels(rng: random.Random) -> Image.Image:
    """0 and some value."""
    return Image.fromarray(shape().astype(np.uint8) * rng.choice((1, 2, 128, 254, 255)))


def grey_edges(rng: random.Random) -> Image.Image:
    """Antialiased."""
    return two_levels(rng).resize((SIDE * 2, SIDE * 2), Image.Resampling.BILINEAR).resize((SIDE, SIDE))


def label_map(rng: random.Random) -> Image.Image:
    """0, 1 and 255 for what is to be ignored; sometimes with a palette."""
    values = shape().astype(np.uint8)
    values[:2] = 255
    image = Image.fromarray(values)
    if rng.random() < 0.5:
        image.putpalette([(7 * value) % 256 for value in range(768)])
    return image


def ids(rng: random.Random) -> Image.Image:
    """Several instances; 16 bits where there are many."""
    values = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) // rng.choice((20, 60)) * shape()
    wide = rng.random() < 0.5
    return Image.fromarray((values * 100).astype(np.uint16) if wide else (values % 256).astype(np.uint8))


def colours(rng: random.Random) -> Image.Image:
    """A colour of random for the object, before black or white."""
    values = np.full((SIDE, SIDE, 3), rng.choice((0, 255)), np.uint8)
    values[shape()] = [rng.randrange(256) for _ in range(3)]
    return Image.fromarray(values)


def transparent(rng: random.Random) -> Image.Image:
    """An alpha channel beside a mask of its own."""
    image = colours(rng).convert("RGBA")
    alpha = np.full((SIDE, SIDE), 255, np.uint8)
    alpha[rng.choice((shape(), ~shape()))] = rng.choice((0, 254))
    image.putalpha(Image.fromarray(alpha))
    return image


def empty(rng: random.Random) -> Image.Image:
    """One level alone."""
    return Image.new(rng.choice(("L", "RGB", "1")), (SIDE, SIDE), rng.choice((0, 1)))


DRAWN = (two_levels, grey_edges, label_map, ids, colours, transparent, empty)


class Coco(Target):
    """A COCO file with polygons and run lengths, some of whose values are odd."""

    inputs = 1200

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for number in range(3):
            photo(number).save(folder / f"{number}.jpg")
        polygon = [[3, 3, 20, 3, 20, 20, 3, 20]]
        lengths = {"size": [SIDE, SIDE], "counts": [SIDE, SIDE * 4, SIDE * SIDE - SIDE * 5]}
        self.sound = {
            "info": {"year": 2017},
            "images": [{"id": n, "file_name": f"{n}.jpg", "height": SIDE, "width": SIDE} for n in range(3)],
            "annotations": [
                {"id": n, "image_id": n % 3, "segmentation": polygon if n % 2 else lengths, "iscrowd": 0}
                for n in range(6)
            ],
            "categories": [{"id": 1, "name": "thing"}],
        }

    def use(self, rng: random.Random) -> None:
        """Validates the file, and reads every photo with its masks."""
        from hqsam_lightning.data.coco import CocoPhotos

        path = self.folder / "instances.json"
        text = damage_json(self.sound, rng)
        path.write_bytes(damage_bytes(text.encode(), rng) if rng.random() < 0.2 else text.encode("utf-8", "replace"))
        read_all(CocoPhotos(path, self.folder, max_masks=2))


class Sa1b(Target):
    """A photo of SA-1B whose annotations are odd."""

    inputs = 800

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        photo(0).save(folder / "sa_1.jpg")
        self.sound = {
            "image": {"image_id": 1, "width": SIDE, "height": SIDE, "file_name": "sa_1.jpg"},
            "annotations": [
                {"id": n, "segmentation": {"size": [SIDE, SIDE], "counts": [SIDE, SIDE * 4, SIDE * SIDE - SIDE * 5]}}
                for n in range(3)
            ],
        }

    def use(self, rng: random.Random) -> None:
        """Reads the photo with its masks."""
        from hqsam_lightning.data.sa1b import Sa1bPhotos

        text = damage_json(self.sound, rng)
        (self.folder / "sa_1.json").write_bytes(
            damage_bytes(text.encode(), rng) if rng.random() < 0.2 else text.encode("utf-8", "replace")
        )
        read_all(Sa1bPhotos(self.folder, max_masks=2))


def read_all(samples: object) -> None:
    """Reads every sample of a set."""
    for index in range(len(samples)):
        sample = samples[index]
        assert sample.masks.shape[1:] == sample.image.shape[:2]
        assert sample.masks.any(axis=(1, 2)).all()


class Checkpoints(Target):
    """A checkpoint of ours after damage: refused, or the same to the last bit."""

    inputs = 600

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from hqsam_lightning.train import train

        config = composed(
            *("sam=tiny_random", "trainer=cpu", "trainer.max_epochs=1", "data.train_size=2", "data.val_size=1"),
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
        from hqsam_lightning.files import content_sha256
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
            *("sam=tiny_random", "trainer=cpu", "data.train_size=20", "data.views=2", "loader.num_workers=0"),
            *(f"data.cache={folder / 'cache'}", f"paths.output_dir={folder / 'run'}"),
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

        from hqsam_lightning.data.samples import MergedSets
        from hqsam_lightning.data.views import CachedViews
        from hqsam_lightning.files import content_sha256
        from hqsam_lightning.session import build_sets, open_cache

        cache = open_cache(self.config, instantiate(self.config.sam))
        views = CachedViews(MergedSets([samples for samples, _ in build_sets(self.config).train]), cache)
        drawn = [views.draw(index, epoch, 0) for index in range(len(views)) for epoch in range(2)]
        return content_sha256([[view.image.image_embeddings, view.image.early, view.masks] for view in drawn])


class Studies(Target):
    """A search's journal after damage."""

    inputs = 500
    space: ClassVar[list[str]] = ["optimizer.lr=tag(log,interval(1e-4,1e-2))"]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._search(folder / "sound.log").run(Launcher())
        self.sound = (folder / "sound.log").read_bytes()

    def use(self, rng: random.Random) -> None:
        """Opens the study, and trains what it lacks."""
        path = self.folder / f"study_{rng.random()}.log"
        content = damage_bytes(self.sound, rng)
        if rng.random() < 0.5:
            lines = self.sound.splitlines()
            place = rng.randrange(len(lines))
            lines[place] = damage_json(json.loads(lines[place]), rng).encode("utf-8", "replace")
            content = b"\n".join(lines) + b"\n"
        path.write_bytes(content)
        self._search(path).run(Launcher())

    def _search(self, path: Path) -> object:
        from hqsam_lightning.sweeping import Search

        overrides = OverridesParser.create().parse_overrides(self.space)
        return Search(str(path), "study", 4, ["mbiou"], 0, overrides)


class Launcher:
    """Plays Hydra's launcher."""

    def launch(self, batch: list[list[str]], initial_job_idx: int) -> list[object]:
        """Gives a result without training."""
        return [SimpleNamespace(return_value={"mbiou": 0.5, "miou": 0.5})]


class Reports(Target):
    """A run's metrics.json and scores.csv after damage, sometimes as an odd program would have written them."""

    inputs = 600

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from example_runs import make_masks, write_run

        self.run = write_run(folder / "run", make_masks(1))
        self.files = {name: (self.run / name).read_bytes() for name in ("metrics.json", "scores.csv")}

    def use(self, rng: random.Random) -> None:
        """Reads the run and writes the report's lines."""
        from hqsam_lightning.files import content_sha256, file_sha256
        from hqsam_lightning.reporting.report_files import report_lines
        from hqsam_lightning.reporting.run_folders import read_run
        from hqsam_lightning.reporting.runs import check_comparable, group_runs
        from hqsam_lightning.reporting.summary import Summary

        name = rng.choice(list(self.files))
        content = damage_bytes(self.files[name], rng)
        if name == "metrics.json" and rng.random() < 0.7:
            content = damage_json(json.loads(self.files[name]), rng).encode("utf-8", "replace")
        elif rng.random() < 0.7:
            lines = self.files[name].decode().splitlines()
            place = rng.randrange(len(lines))
            cells = lines[place].split(",")
            cells[rng.randrange(len(cells))] = str(rng.choice(ODD_VALUES)).replace("\ud800", "?")
            content = "\n".join([*lines[:place], ",".join(cells), *lines[place + 1 :]]).encode()
        (self.run / name).write_bytes(content)
        try:
            if rng.random() < 0.7:
                self._seal(file_sha256, content_sha256)
            runs = [read_run(self.run)]
            check_comparable(runs)
            text = "\n".join(report_lines(Summary(group_runs(runs)), None, "report", []))
            assert not re.search(r"\b(nan|inf)\b", text)
        finally:
            for each, sound in self.files.items():
                (self.run / each).write_bytes(sound)

    def _seal(self, file_sha256: Callable[[Path], str], content_sha256: Callable[[object], str]) -> None:
        """Makes the checksums those of the damaged files, where there still is something to seal."""
        path = self.run / "metrics.json"
        try:
            document = json.loads(path.read_bytes())
            document["files"]["scores.csv"] = file_sha256(self.run / "scores.csv")
            body = {key: value for key, value in document.items() if key not in ("format", "format_version", "sha256")}
            document["sha256"] = content_sha256(body)
            path.write_text(json.dumps(document))
        except (ValueError, KeyError, TypeError, AttributeError):
            return


class Configs(Target):
    """Any key of a composed config with an odd value."""

    inputs = 1500

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        names = ("quickstart", "ablate_features", "table2_token", "table13_box_noise", "zero_shot", "figure7_visual")
        self.configs = [composed(f"+experiment={name}", f"paths.output_dir={folder}") for name in names]
        self.configs += [composed(f"data={name}", f"paths.output_dir={folder}") for name in ("coco", "sa1b", "folder")]

    def use(self, rng: random.Random) -> None:
        """Checks the config, and builds what needs neither data nor weights."""
        from hydra.utils import instantiate

        from hqsam_lightning.schema import check_config

        config = rng.choice(self.configs).copy()
        keys = list(leaves(OmegaConf.to_container(config, resolve=False)))
        key = rng.choice([key for key in keys if not key.startswith("paths.output_dir")])
        OmegaConf.update(config, key, rng.choice(ODD_VALUES), merge=False)
        check_config(config, "train")
        for part in ("loss", "prompts", "val_prompts"):
            instantiate(config[part])
        instantiate(config.augmentation, image_size=64)


def leaves(values: object, prefix: str = "") -> Iterator[str]:
    """Dotted keys of all values that are no mapping."""
    if not isinstance(values, dict):
        yield prefix
        return
    for key, value in values.items():
        yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))


def composed(*overrides: str) -> DictConfig:
    """conf/train.yaml with overrides."""
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", overrides=list(overrides))


TARGETS: dict[str, type[Target]] = {
    target.__name__.lower(): target
    for target in (Photos, Masks, Coco, Sa1b, Checkpoints, Weights, Caches, Studies, Reports, Configs)
}
