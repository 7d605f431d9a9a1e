"""labelme's and CVAT's files give the masks that were drawn, and are refused where they cannot."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from annotated_files import write_photo
from hqsam_lightning.data.datasets import CocoInstances
from hqsam_lightning.errors import DataError

HEIGHT, WIDTH = 40, 56
SQUARE = [[4, 4], [20, 4], [20, 20], [4, 20]]
OTHER = [[30, 8], [50, 8], [50, 30], [30, 30]]


def drawn(*shapes: list[list[float]]) -> np.ndarray:
    """Polygons by Pillow, which counts the pixels of the outline in."""
    image = Image.new("1", (WIDTH, HEIGHT))
    for points in shapes:
        ImageDraw.Draw(image).polygon([tuple(point) for point in points], fill=1)
    return np.asarray(image)


def circle(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 <= radius**2


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def small_mask() -> np.ndarray:
    return np.random.default_rng(0).random((9, 13)) > 0.4


def inside(part: np.ndarray, left: int, top: int) -> np.ndarray:
    whole = np.zeros((HEIGHT, WIDTH), bool)
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole


def png(mask: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def shape(points: list, kind: str = "polygon", group: int | None = None, **more: object) -> dict:
    return {"label": "leaf", "points": points, "shape_type": kind, "group_id": group, **more}


def write_labelme(folder: Path, shapes: object, name: str = "a.png", **more: object) -> Path:
    write_photo(folder / "a.png")
    content = {"imagePath": name, "imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": shapes, **more}
    (folder / "a.json").write_text(json.dumps(content))
    return folder


def runs_by_rows(mask: np.ndarray) -> str:
    runs, value = [0], False
    for pixel in mask.ravel():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return ", ".join(map(str, runs))


def write_cvat(folder: Path, shapes: str, size: str = f'height="{HEIGHT}" width="{WIDTH}"', head: str = "") -> Path:
    write_photo(folder / "images" / "a.png")
    body = f'{head}<annotations><version>1.1</version><image id="0" name="a.png" {size}>{shapes}</image></annotations>'
    (folder / "annotations.xml").write_text(f'<?xml version="1.0" encoding="utf-8"?>{body}')
    return folder


def points(corners: list[list[float]]) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)


@pytest.mark.parametrize("name", ["a.png", "..\\photos\\a.png", "../a.png"])
def test_labelmes_shapes_are_masks(tmp_path: Path, name: str) -> None:
    part = small_mask()
    shapes = [
        shape(SQUARE, group=1),
        shape(OTHER, group=1),
        shape(SQUARE),
        shape([[28, 20], [28, 30]], "circle"),
        shape([[5, 7], [17, 15]], "mask", mask=png(part)),
        shape([[1, 1], [9, 9]], "rectangle"),
        shape([[1, 1]], "point"),
    ]
    samples = CocoInstances(write_labelme(tmp_path, shapes, name), tmp_path)
    masks = samples[0].masks > 0.5
    assert len(masks) == 4
    assert overlap(masks[0], drawn(SQUARE, OTHER)) > 0.85
    assert overlap(masks[1], drawn(SQUARE)) > 0.85
    assert overlap(masks[2], circle(28, 20, 10)) > 0.9
    assert np.array_equal(masks[3], inside(part, 5, 7))


def test_cvats_shapes_are_masks(tmp_path: Path) -> None:
    part = small_mask()
    shapes = (
        f'<polygon label="leaf" points="{points(SQUARE)}" group_id="3"/>'
        f'<mask label="leaf" rle="{runs_by_rows(part)}" left="30" top="25" width="13" height="9" group_id="3"/>'
        f'<polygon label="leaf" points="{points(OTHER)}"/>'
        '<ellipse label="leaf" cx="28" cy="20" rx="10" ry="10"/>'
        '<box label="leaf" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    )
    folder = write_cvat(tmp_path, shapes)
    masks = CocoInstances(folder / "annotations.xml", folder / "images")[0].masks > 0.5
    assert len(masks) == 3
    assert overlap(masks[0], drawn(SQUARE) | inside(part, 30, 25)) > 0.85
    assert np.array_equal(masks[0][25:34, 30:43], part)
    assert overlap(masks[1], drawn(OTHER)) > 0.85
    assert overlap(masks[2], circle(28, 20, 10)) > 0.9


@pytest.mark.parametrize(
    ("shapes", "more", "message"),
    [
        (3, {}, r"a\.json: expected an object with a list of shapes"),
        ([shape(SQUARE)], {"imageHeight": -1}, "expected imageHeight and imageWidth"),
        (["x"], {}, r"shapes\[0\]: cannot be read \(AttributeError"),
        ([shape([["x", 1]])], {}, r"shapes\[0\]: cannot be read \(ValueError"),
        ([shape([[50, 35], [60, 40]], "mask", mask=png(small_mask()))], {}, "expected a mask inside of the image"),
        ([shape([[1, 1]], "mask", mask="?")], {}, "its mask is not base64"),
        ([shape([[1, 1]], "mask", mask="AAAA")], {}, "cannot identify image file"),
        ([shape([[1, float("inf")], [1, 2], [3, 4]])], {}, "a.json"),
    ],
)
def test_damaged_labelme_files_are_named(tmp_path: Path, shapes: object, more: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CocoInstances(write_labelme(tmp_path, shapes, **more), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shapes": "<polygon"}, "expected XML; it is damaged"),
        ({"shapes": "", "size": 'height="x" width="3"'}, "image 0: expected a height and a width"),
        ({"shapes": '<polygon points="1,2;3"/>'}, "image 'a.png': <polygon> cannot be read"),
        ({"shapes": '<mask rle="3,4" left="0" top="0" width="5" height="5"/>'}, "expected run lengths of 5 x 5 pixels"),
        ({"shapes": '<mask rle="0,25" left="53" top="0" width="5" height="5"/>'}, "expected a mask inside"),
        ({"shapes": "", "head": "<!DOCTYPE a [<!ENTITY b 'c'>]>"}, "without declarations of its own"),
    ],
)
def test_damaged_cvat_files_are_named(tmp_path: Path, arguments: dict, message: str) -> None:
    folder = write_cvat(tmp_path, **arguments)
    with pytest.raises(DataError, match=message):
        CocoInstances(folder / "annotations.xml", folder / "images")


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected labelme's JSON files, one per photo; found none"):
        CocoInstances(tmp_path, tmp_path)
