"""Contact sheets: a few photos per source with their masks, which show misread masks before a long run."""

from __future__ import annotations

import io
import re
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.overlay import hatch, tint
from hqsam_lightning.data.sets import DataSets
from hqsam_lightning.errors import DataError
from hqsam_lightning.escaping import printable
from hqsam_lightning.runtime.decoration import decoration
from hqsam_lightning.seeding import derive_rng
from hqsam_lightning.storage.files import write_whole
from hqsam_lightning.types import OBJECT_THRESHOLD, Sample

FOLDER = "data"
SAMPLES = 8
COLUMNS = 4
SIDE = 256
LINE = 14
CAPTION = 2 * LINE
FONT_SIZE = 11
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def write_contact_sheets(sets: DataSets, folder: Path, seed: int) -> list[Path]:
    """Writes one image per source: photos, each next to its masks in colour and its ignored pixels hatched.

    Each shows the source's first sample and up to 7 random ones, which depend on the seed and the source's name. A
    source that cannot be drawn is logged as a warning with its traceback; it never ends a run.

    Returns:
        The files written, ``data/train_SOURCE.jpg`` and ``data/val_SET.jpg`` in the folder of the run.
    """
    sources: list[tuple[str, str | None, SampleSet]] = [("train", None, samples) for samples, _ in sets.train]
    sources += [("val", name, samples) for name, samples in sets.validation.items()]
    written: list[Path] = []
    for number, (part, name, samples) in enumerate(sources):
        with decoration(f"drawing the contact sheet of source {number} ({part}, {name or 'unnamed'})"):
            named = samples.identify(0).dataset if name is None else name
            path = _free_path(folder / FOLDER, f"{part}_{named}", written)
            content = io.BytesIO()
            Image.fromarray(draw_sheet(samples, f"{part}, {named}", seed)).save(content, "JPEG", quality=90)
            write_whole(path, content.getvalue())
            written.append(path)
    return written


def draw_sheet(samples: SampleSet, title: str, seed: int) -> np.ndarray:
    """Draws the contact sheet of one source: (height, width, 3) uint8 RGB, its first line a title.

    Raises:
        DataError: the source is empty, or a sample that is to be shown cannot be read.
    """
    if not len(samples):
        raise DataError(f"{title}: expected at least one sample, found none")
    indices = choose(len(samples), title, seed)
    columns = min(COLUMNS, len(indices))
    rows = -(-len(indices) // columns)
    sheet = Image.new("RGB", (columns * 2 * SIDE, LINE + rows * (CAPTION + SIDE)), WHITE)
    _write(sheet, 0, 0, f"{title}: {len(indices)} of {len(samples)}", sheet.width)
    for number, index in enumerate(indices):
        left, top = number % columns * 2 * SIDE, LINE + number // columns * (CAPTION + SIDE)
        sample = samples[index]
        _write(sheet, left, top, sample.sample_id, 2 * SIDE)
        _write(sheet, left, top + LINE, caption(sample), 2 * SIDE)
        for shift, picture in zip((0, SIDE), _pictures(sample), strict=True):
            sheet.paste(Image.fromarray(picture), (left + shift, top + CAPTION))
    return np.asarray(sheet)


def choose(length: int, title: str, seed: int) -> list[int]:
    """Indices of the samples to show: the first, and up to `SAMPLES` - 1 random others, ascending."""
    others = derive_rng(seed, "contact sheet", printable(title)).permutation(np.arange(1, length))[: SAMPLES - 1]
    return [0, *sorted(int(index) for index in others)]


def caption(sample: Sample) -> str:
    """The number of masks, and the shares of pixels that are object of any mask and that are ignored."""
    area = float((sample.masks > OBJECT_THRESHOLD).any(axis=0).mean())
    count = len(sample.masks)
    text = f"{count} mask{'s' if count != 1 else ''}, object {100 * area:.1f} %"
    return text if sample.ignore is None else f"{text}, ignored {100 * float(sample.ignore.mean()):.1f} %"


def _pictures(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """The photo, and the same with its masks: (h, w, 3) uint8, with a longer side of `SIDE` pixels."""
    height, width = sample.image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = _shrink(sample.image, size)
    drawn = tint(image, np.stack([_shrink(mask, size) for mask in sample.masks]).clip(0, 1))
    if sample.ignore is not None:
        # stripes, thin as they may be, show where any ignored pixel is
        drawn = hatch(drawn, _shrink(sample.ignore.astype(np.float32), size) > 0)
    return image, drawn


def _shrink(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes to (w, h), averaging where it shrinks."""
    shrinks = array.shape[1] > size[0] or array.shape[0] > size[1]
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)


def _write(sheet: Image.Image, left: int, top: int, text: str, width: int) -> None:
    """Writes a line; one that is too long is cut at its front, where ids differ least."""
    # Matplotlib's own font: it knows more letters than Pillow's, and Pillow reads no markup in text
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), FONT_SIZE)
    text = printable(text)
    while len(text) > 1 and font.getlength(text) > width - 4:
        text = f"…{text[2:]}"
    ImageDraw.Draw(sheet).text((left + 2, top), text, fill=BLACK, font=font)


def _free_path(folder: Path, name: str, taken: list[Path]) -> Path:
    """A path that is not taken, for a name with any characters."""
    stem = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).lower()[:100]
    path, number = folder / f"{stem}.jpg", 1
    while path in taken:
        number += 1
        path = folder / f"{stem}_{number}.jpg"
    return path
