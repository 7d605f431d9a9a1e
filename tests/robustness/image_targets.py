"""Photos, masks, and annotations in JSON."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from robustness.mutations import damage_bytes, damage_json
from robustness.target import Target

SIDE = 24
LISTED = {"object": [1], "ignore": [255]}


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
        from hqsam_lightning.data.reading import read_header, read_image

        path = self.folder / f"photo{rng.choice(('.jpg', '.png', '.webp', '.tif', '.JPEG', ''))}"
        path.write_bytes(damage_bytes(rng.choice(self.sound), rng))
        try:
            height, width = read_header(path).size()
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
        from hqsam_lightning.data.datasets import CocoInstances

        path = self.folder / "instances.json"
        text = damage_json(self.sound, rng)
        path.write_bytes(damage_bytes(text.encode(), rng) if rng.random() < 0.2 else text.encode("utf-8", "replace"))
        read_all(CocoInstances(path, self.folder, max_masks=2))


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
        from hqsam_lightning.data.datasets import Sa1b

        text = damage_json(self.sound, rng)
        (self.folder / "sa_1.json").write_bytes(
            damage_bytes(text.encode(), rng) if rng.random() < 0.2 else text.encode("utf-8", "replace")
        )
        read_all(Sa1b(self.folder, max_masks=2))


def read_all(samples: object) -> None:
    """Reads every sample of a set."""
    for index in range(len(samples)):
        sample = samples[index]
        assert sample.masks.shape[1:] == sample.image.shape[:2]
        assert sample.masks.any(axis=(1, 2)).all()
