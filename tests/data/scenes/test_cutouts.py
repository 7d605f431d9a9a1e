"""Cut-outs and photographs in scenes, from files whose pixels are known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.scenes.cutouts import (
    EMBEDDED,
    PICTURES,
    Backgrounds,
    Cutouts,
    pick_file,
    place_cutout,
    read_cutout,
    recolour,
)
from hqsam_lightning.errors import DataError

RED = (200, 20, 20)


def write_disc(path: Path, side: int = 120) -> None:
    """A red disc of half the side before a transparent background of another colour."""
    y, x = np.indices((side, side)) - side / 2 + 0.5
    inside = np.hypot(x, y) <= side / 4
    pixels = np.where(inside[..., None], (*RED, 255), (0, 255, 0, 0)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_cutout_is_cropped_to_its_object(tmp_path: Path) -> None:
    write_disc(tmp_path / "disc.png")
    cutout = read_cutout(tmp_path / "disc.png")
    assert cutout.shape == (60, 60, 4)
    assert tuple(cutout[30, 30]) == (*RED, 255)
    assert tuple(cutout[0, 0]) == (0, 0, 0, 0)


@pytest.mark.parametrize("extent", [0.2, 0.9])
def test_a_placed_cutout_keeps_shape_and_colour(tmp_path: Path, extent: float) -> None:
    """A disc stays an ellipse of its own colour whichever way it is turned, within the squeeze that is drawn."""
    write_disc(tmp_path / "disc.png", 400)
    cutout = read_cutout(tmp_path / "disc.png")
    whole = 0
    for seed in range(8):
        drawn = place_cutout(np.random.default_rng(seed), cutout, 128, extent)
        assert drawn.pixels is not None
        inside = drawn.alpha[..., 0] > 0.99
        assert np.abs(drawn.pixels[inside] - RED).max() <= 2
        area, largest = float(drawn.alpha.sum()), np.pi / 4 * (extent * 128) ** 2
        assert area <= 1.05 * largest
        whole += area >= 0.6 * largest
    assert whole >= 4, "the frame cut most of them off"


def test_a_recoloured_cutout_has_parts_of_other_colours(tmp_path: Path) -> None:
    """Its outline stays, and so does what was read; some colours are far from the one it had, and from each other."""
    write_disc(tmp_path / "disc.png")
    cutout = read_cutout(tmp_path / "disc.png")
    before, spreads = cutout.copy(), []
    for seed in range(20):
        changed = recolour(np.random.default_rng(seed), cutout)
        assert np.array_equal(changed[..., 3], cutout[..., 3])
        assert not changed[changed[..., 3] == 0].any()
        inside = changed[cutout[..., 3] == 255][:, :3].astype(float)
        spreads.append(np.ptp(inside, axis=0).max())
    assert np.array_equal(cutout, before)
    assert np.median(spreads) > 60


def test_a_share_of_the_cutouts_is_recoloured(tmp_path: Path) -> None:
    write_disc(tmp_path / "disc.png")

    def unchanged(share: float) -> float:
        cutouts = Cutouts(tmp_path, 1.0, recoloured=share)
        drawn = [cutouts(np.random.default_rng(seed), 64, 0.8) for seed in range(40)]
        kept = [
            np.abs(each.pixels[each.alpha[..., 0] > 0.99] - RED).max() <= 2 for each in drawn if each.pixels is not None
        ]
        return float(np.mean(kept))

    assert unchanged(0) == 1
    assert 0.5 < unchanged(0.3) < 0.9
    assert Cutouts(tmp_path, 1.0, recoloured=0.3).facts != Cutouts(tmp_path, 1.0).facts


def test_folders_are_drawn_alike(tmp_path: Path) -> None:
    """One file in one folder, twenty in another: half of the objects are the one."""
    write_disc(tmp_path / "one" / "disc.png")
    for number in range(20):
        write_disc(tmp_path / "many" / f"{number}.png", 60)
    cutouts = Cutouts(tmp_path, 1.0)
    assert [len(group) for group in cutouts.groups] == [20, 1]
    rng = np.random.default_rng(0)
    picked = [pick_file(rng, cutouts.groups).parent.name for _ in range(200)]
    assert 70 <= picked.count("one") <= 130


def test_scenes_show_them(tmp_path: Path) -> None:
    write_disc(tmp_path / "cutouts" / "disc.png")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (90, 60), (10, 20, 150)).save(tmp_path / "photos" / "blue.png")
    arguments = {"cutouts": str(tmp_path / "cutouts"), "cutout_share": 1.0, "objects": (1, 1)}
    scenes = Scenes(4, 64, backgrounds=str(tmp_path / "photos"), background_share=1.0, **arguments)  # type: ignore[arg-type]
    for index in range(4):
        sample = scenes[index]
        assert np.array_equal(scenes[index].image, sample.image)
        background = sample.image[sample.masks[0] == 0].astype(float).mean(0)
        assert background[2] > 2 * background[0], "not the photograph's blue"
    assert scenes.identify(0).content != Scenes(4, 64, objects=(1, 1)).identify(0).content


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.cutouts=.*expected a folder with image files"):
        Cutouts(tmp_path / "nowhere", 0.5)
    with pytest.raises(DataError, match=r"data.backgrounds=.*expected a folder with image files"):
        Backgrounds(tmp_path, 0.5)
    Image.new("RGBA", (20, 20), (255, 0, 0, 0)).save(tmp_path / "empty.png")
    with pytest.raises(DataError, match=r"empty.png: expected an object before a transparent background"):
        read_cutout(tmp_path / "empty.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"expected an image file of format .* got .*broken\.png"):
        read_cutout(tmp_path / "broken.png")


def test_the_package_ships_pictures() -> None:
    """As many as their README says, with its license; every cut-out shows an object."""
    cutouts, backgrounds = Cutouts(EMBEDDED, 0.5), Backgrounds(EMBEDDED, 1.0)
    table = (PICTURES / "README.md").read_text()
    for group in [*cutouts.groups, *backgrounds.groups]:
        assert f"| `{group[0].parent.relative_to(PICTURES)}` | {len(group)} |" in table
    for path in (path for group in cutouts.groups for path in group[::10]):
        cutout = read_cutout(path)
        assert 60 <= max(cutout.shape[:2]) <= 192
        assert 0.02 < (cutout[..., 3] > 127).mean() < 1
    photo = backgrounds(np.random.default_rng(0), 64)
    assert photo is not None
    assert photo.shape == (64, 64, 3)
