"""Each class as one uses it in a notebook: of a folder, without any config."""

import doctest
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotated_files import HEIGHT, WIDTH, some_masks, write_sa1b
from hqsam_lightning.data.datasets import MergedSets, PhotoFolder, Sa1b, SampleSet, Scenes, scenes
from hqsam_lightning.errors import DataError

LAYOUTS = {
    "subfolders": ("images/{}.png", "masks/{}.png", {}),
    "one folder": ("{}.jpg", "{}.png", {}),
    "ending": ("{}.jpg", "{}_mask.png", {"mask_suffix": "_mask.png"}),
    "named": ("im/{}.jpg", "gt/{}.png", {"images": "im", "masks": "gt"}),
}


def write_pairs(root: Path, photo: str, mask: str) -> np.ndarray:
    """Two photos with a mask each, which it returns: the first 3 and 4 rows."""
    masks = np.zeros((2, 9, 7), np.uint8)
    masks[0, :3] = masks[1, :4] = 255
    for name, drawn in zip("ab", masks, strict=True):
        for pattern, pixels in ((photo, np.full((9, 7, 3), 90, np.uint8)), (mask, drawn)):
            path = root / pattern.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return masks > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_plain_folder(tmp_path: Path, layout: str) -> None:
    photo, mask, arguments = LAYOUTS[layout]
    masks = write_pairs(tmp_path / "birds", photo, mask)
    samples = PhotoFolder(tmp_path / "birds", **arguments)
    assert [sample.sample_id for sample in samples] == ["birds/a", "birds/b"]
    for sample, expected in zip(samples, masks, strict=True):
        assert sample.image.shape == (9, 7, 3)
        np.testing.assert_array_equal(sample.masks[0] > 0.5, expected)


def test_a_folder_without_masks_says_what_is_missing(tmp_path: Path) -> None:
    Image.new("RGB", (7, 9)).save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a\.png"):
        PhotoFolder(tmp_path)


def test_annotated_photos_take_all_their_masks(tmp_path: Path) -> None:
    masks = some_masks(6)
    write_sa1b(tmp_path, masks)
    assert Sa1b(tmp_path)[0].masks.shape == (6, HEIGHT, WIDTH)
    assert Sa1b(tmp_path, max_masks=2)[0].masks.shape == (2, HEIGHT, WIDTH)


def test_the_examples_of_the_docstrings() -> None:
    assert doctest.testmod(scenes).attempted
    assert doctest.testmod(scenes).failed == 0


def test_sets_are_put_together(tmp_path: Path) -> None:
    write_pairs(tmp_path / "birds", "{}.jpg", "{}.png")
    sets: list[SampleSet] = [PhotoFolder(tmp_path / "birds"), Scenes(2, image_size=64)]
    merged = MergedSets(sets)
    assert [merged.identify(index).dataset for index in range(len(merged))] == ["birds"] * 2 + ["synthetic"] * 2
