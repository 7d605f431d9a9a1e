"""Seeded mutations of image files: each reads, or is refused with a `DataError` that names the file."""

import io
import random
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.mask_facts import look_at
from hqsam_lightning.data.mask_values import LISTED, MaskValues
from hqsam_lightning.data.reading import read_header, read_image
from hqsam_lightning.errors import DataError
from mask_pictures import VOC, antialiased, classes, disc, palette, rgba
from one_mask import read_masks

MUTATIONS = 40
MEANINGS = [
    MaskValues("soft"),
    MaskValues("binary", threshold=0.5),
    MaskValues("nonzero"),
    MaskValues("alpha"),
    MaskValues("ids"),
    MaskValues(LISTED, (1,), (255,)),
]
PICTURES = {
    "grey": Image.fromarray(antialiased()),
    "palette": palette(classes(1, 2, ring=1), VOC),
    "rgba": rgba(disc() * 255, antialiased()),
    "16 bit": Image.fromarray(classes(1, 2).astype(np.uint16) * 300),
}


def mutate(data: bytearray, rng: random.Random) -> bytes:
    """Changes, cuts or inserts bytes, in the header more often than behind it."""
    kind = rng.random()
    if kind < 0.6:
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[rng.randrange(min(len(data), rng.choice([60, 400, 10**6])))] = rng.randrange(256)
    elif kind < 0.8:
        del data[rng.randrange(len(data)) :]
    else:
        place = rng.randrange(len(data))
        data[place:place] = rng.randbytes(rng.choice([1, 4, 30]))
    return bytes(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("picture", PICTURES)
def test_mutated_files_are_read_or_refused(tmp_path: Path, picture: str, format: str) -> None:
    image = PICTURES[picture]
    if format == "JPEG" or (format in ("GIF", "BMP", "WEBP") and picture == "16 bit"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, format)
    rng, path = random.Random(f"{picture} {format}"), tmp_path / "x.png"
    for number in range(MUTATIONS):
        path.write_bytes(mutate(bytearray(buffer.getvalue()), rng))
        values = MEANINGS[number % len(MEANINGS)]
        with warnings.catch_warnings():
            warnings.simplefilter("error" if number % 2 else "ignore")
            refusals = [refusal(read, path) for read in (read_image, read_header, look_at)]
            refusals.append(refusal(partial(read_masks, values=values, most=2), [path]))
        assert all(text is None or str(path) in text for text in refusals)


def refusal(read: Callable, argument: Any) -> str | None:
    try:
        read(argument)
    except DataError as error:
        return str(error)
    return None
