"""Contact sheets: a few photos of each source with their masks, so that misread masks are seen before a long run."""

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
    """Writes one picture per source: photos, each beside its masks in colours and its ignored pixels hatched.

    Each shows the source's first sample and up to 7 random ones, which depend on the seed and the source's name. A
    source that cannot be drawn is logged as a warning with its traceback; it never ends a run.

    Args:
        sets: what is trained and validated on.
        folder: of the run; the pictures are ``data/train_SOURCE.jpg`` and ``data/val_SET.jpg`` in it.
        seed: of the random samples.

    Returns:
        The pictures written.
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
    """Draws the contact sheet of one source.

    Args:
        samples: of the source.
        title: written on top.
        seed: of the random samples.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        DataError: the source is empty, or a sample that is to be shown cannot be read.
    """
    if not len(samples):
        raise DataError(f"{title}: expected at least one sample, found none")
    tiles = [_tile(samples[index]) for index in choose(len(samples), title, seed)]
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    height, width = tiles[0].shape[:2]
    sheet = np.full((LINE + rows * height, columns * width, 3), WHITE, np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        sheet[LINE + row * height : LINE + (row + 1) * height, column * width : (column + 1) * width] = tile
    return _with_text(sheet, [f"{title}: {len(tiles)} of {len(samples)}"])


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


def _tile(sample: Sample) -> np.ndarray:
    """(SIDE + CAPTION, 2 * SIDE, 3): the photo, the same with its masks, the caption below."""
    height, width = sample.image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = _shrink(sample.image, size)
    masks = np.stack([_shrink(mask, size) for mask in sample.masks])
    drawn = tint(image, masks.clip(0, 1))
    if sample.ignore is not None:
        # stripes, thin as they may be, show where any ignored pixel is
        drawn = hatch(drawn, _shrink(sample.ignore.astype(np.float32), size) > 0)
    tile = np.full((SIDE + CAPTION, 2 * SIDE, 3), WHITE, np.uint8)
    for left, picture in ((0, image), (SIDE, drawn)):
        tile[CAPTION : CAPTION + size[1], left : left + size[0]] = picture
    return _with_text(tile, [sample.sample_id, caption(sample)])


def _shrink(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes to (w, h), averaging where it shrinks."""
    shrinks = array.shape[1] > size[0] or array.shape[0] > size[1]
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST)


def _with_text(picture: np.ndarray, lines: list[str]) -> np.ndarray:
    """Writes lines at the top, what is too long cut at its front, where ids differ least."""
    image = Image.fromarray(picture)
    canvas = ImageDraw.Draw(image)
    # Matplotlib's own font: it knows more letters than Pillow's, and Pillow reads no markup in text
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), FONT_SIZE)
    for number, line in enumerate(lines):
        text = printable(line)
        while len(text) > 1 and font.getlength(text) > image.width - 4:
            text = f"…{text[2:]}"
        canvas.text((2, number * LINE), text, fill=BLACK, font=font)
    return np.asarray(image)


def _free_path(folder: Path, name: str, taken: list[Path]) -> Path:
    """A path for a name with any characters, other than those taken."""
    stem = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).lower()[:100]
    path, number = folder / f"{stem}.jpg", 1
    while path in taken:
        number += 1
        path = folder / f"{stem}_{number}.jpg"
    return path
