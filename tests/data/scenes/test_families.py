from functools import cache

import cv2
import numpy as np
import pytest

from hqsam_lightning.data.scenes import families
from hqsam_lightning.data.scenes.families import FAMILIES, MIXED, SOLID, THIN, WEIGHTS, draw_family
from hqsam_lightning.data.scenes.families.glyphs import CHARACTERS, FONTS, glyph_outlines
from hqsam_lightning.data.scenes.strokes import Stroke

SEEDS = range(30)
SIZE = 256  # a frame in which a pixel is a stroke's px
each_family = pytest.mark.parametrize("name", FAMILIES)


def rasterise(strokes: list[Stroke], extent: float = 0.85) -> np.ndarray:
    """Centres an object whose longer side is `extent` of the frame's: (SIZE, SIZE) bool."""
    points = np.concatenate([stroke.points for stroke in strokes])
    low, high = points.min(0), points.max(0)
    scale = extent * 2 * SIZE / (high - low).max()
    canvas = np.zeros((2 * SIZE, 2 * SIZE), np.uint8)
    for stroke in strokes:
        xy = np.round((stroke.points - (low + high) / 2) * scale + SIZE).astype(np.int32)
        if stroke.width:
            cv2.polylines(canvas, [xy], False, 255, max(1, round(2 * stroke.width)))
        else:
            cv2.fillPoly(canvas, [xy], 255 if stroke.ink else 0)
    return cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA) > 128


@cache
def mask_of(name: str, seed: int, thin: float = 4.0) -> np.ndarray:
    return rasterise(FAMILIES[name](np.random.default_rng(seed), thin))


def part_areas(mask: np.ndarray, connectivity: int = 8) -> list[int]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    return sorted(stats[1:, cv2.CC_STAT_AREA].tolist(), reverse=True)


def hole_areas(mask: np.ndarray) -> list[int]:
    """Areas of the background's parts within the object, largest first; specks of a few pixels do not count."""
    outside = np.pad(~mask, 1, constant_values=True)
    return [area for area in part_areas(outside, connectivity=4)[1:] if area > 8]


def thin_share(name: str) -> float:
    """Share of the object that opening with a disc of 9 px takes away, mean over the seeds."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    masks = [mask_of(name, seed).astype(np.uint8) for seed in SEEDS]
    return float(np.mean([1 - cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc).sum() / mask.sum() for mask in masks]))


def test_every_family_is_in_one_group_with_a_positive_weight():
    groups = [family for group in (SOLID, MIXED, THIN) for family in group]
    assert len(groups) == len(set(groups)) == len(FAMILIES) == len(WEIGHTS)
    assert set(FAMILIES.values()) == set(groups)
    assert FAMILIES.keys() == WEIGHTS.keys()
    assert all(FAMILIES[family.__name__] is family for family in groups)
    assert min(WEIGHTS.values()) > 0


def test_half_of_the_objects_is_solid_and_at_most_a_third_thin():
    total = sum(WEIGHTS.values())
    assert sum(SOLID.values()) >= 0.5 * total
    assert 0.15 * total < sum(THIN.values()) <= total / 3


def test_families_are_drawn_by_their_weights(monkeypatch):
    for index, name in enumerate(FAMILIES):
        monkeypatch.setitem(
            families.FAMILIES, name, lambda rng, thin, index=index: [Stroke(np.full((1, 2), index), thin)]
        )
    rng, count = np.random.default_rng(0), 20_000
    drawn = np.bincount([int(draw_family(rng, 5.0)[0].points[0, 0]) for _ in range(count)], minlength=len(WEIGHTS))
    wanted = count * np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())
    assert (np.abs(drawn - wanted) < 5 * np.sqrt(wanted)).all()


@each_family
@pytest.mark.parametrize("thin", [3.0, 8.0])
def test_strokes_are_well_formed(name, thin):
    for seed in SEEDS:
        strokes = FAMILIES[name](np.random.default_rng(seed), thin)
        for stroke in strokes:
            assert isinstance(stroke, Stroke)
            assert stroke.points.ndim == 2
            assert stroke.points.shape[1] == 2
            assert len(stroke.points) >= (2 if stroke.width else 3)
            assert np.isfinite(stroke.points).all()
            assert stroke.width == 0 or 2 <= stroke.width <= 2.5 * thin
            assert stroke.part in range(4)
        assert strokes[0].ink


@each_family
def test_draws_one_piece_within_the_frame(name):
    for seed in SEEDS:
        mask = mask_of(name, seed)
        assert mask.sum() > 0.02 * mask.size
        assert part_areas(mask)[0] > 0.97 * mask.sum()
        assert not np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any()


@each_family
def test_follows_from_the_generator_alone(name):
    again = {}
    for state in (0, 1):
        np.random.seed(state)
        again[state] = FAMILIES[name](np.random.default_rng(7), 4.0)
    for first, second in zip(*again.values(), strict=True):
        np.testing.assert_array_equal(first.points, second.points)
        assert first[1:] == second[1:]


@each_family
def test_seeds_give_different_objects(name):
    masks = [mask_of(name, seed) for seed in SEEDS]
    assert len({mask.tobytes() for mask in masks}) == len(masks)


@pytest.mark.parametrize("name", [family.__name__ for family in THIN])
def test_thin_width_widens_thin_objects(name):
    for seed in range(5):
        assert mask_of(name, seed, 8.0).sum() > 1.1 * mask_of(name, seed, 3.0).sum()


def test_thin_families_are_thinner_than_solid_ones():
    solid = {family.__name__: thin_share(family.__name__) for family in SOLID}
    thin = {family.__name__: thin_share(family.__name__) for family in THIN}
    assert max(solid.values()) < 0.15
    assert min(thin.values()) > 0.3


@pytest.mark.parametrize("name", ["ring", "cup", "wheel", "bicycle", "net", "ladder", "fence", "chain"])
def test_open_families_have_holes(name):
    assert all(hole_areas(mask_of(name, seed)) for seed in SEEDS)


@pytest.mark.parametrize("name", ["blob", "polygon", "mushroom", "house", "car", "leaf", "vase", "lamp"])
def test_closed_families_have_none(name):
    """A window or a spot is a part, not a hole."""
    assert not any(hole_areas(mask_of(name, seed)) for seed in SEEDS)


@pytest.mark.parametrize("name", ["quadruped", "person", "car", "house", "flower", "umbrella", "balloon", "bird"])
def test_composed_families_name_their_parts(name):
    for seed in SEEDS:
        strokes = FAMILIES[name](np.random.default_rng(seed), 4.0)
        assert len({stroke.part for stroke in strokes}) >= 2


@pytest.mark.parametrize("font", FONTS)
def test_characters_are_of_one_piece_with_their_holes(font):
    holes = {"8": 2, "B": 2, "A": 1, "O": 1, "e": 1, "4": 1, "T": 0, "s": 0}
    for character in CHARACTERS:
        mask = rasterise([Stroke(points, ink=ink) for points, ink in glyph_outlines(font, character)])
        assert len(part_areas(mask)) == 1, character
        assert len(hole_areas(mask)) == holes.get(character, len(hole_areas(mask))), character


def test_ink_inside_a_hole_stays():
    """The a of an @ lies in the hole of its ring."""
    mask = rasterise([Stroke(points, ink=ink) for points, ink in glyph_outlines("DejaVuSans-Bold", "@")])
    assert mask[SIZE // 2 - 40 : SIZE // 2 + 40, SIZE // 2 - 40 : SIZE // 2 + 40].mean() > 0.25


def test_characters_stand_upright_on_the_line():
    for font in FONTS[:2]:
        points = np.concatenate([outline for outline, _ in glyph_outlines(font, "L")])
        assert points.min(0) == pytest.approx([0, -0.73], abs=0.02)  # DejaVu's capitals are 0.73 of its size tall
        assert points[:, 1].max() == pytest.approx(0, abs=0.02)
        upper, lower = np.array_split(rasterise([Stroke(points)]), 2)
        assert lower.sum() > 1.3 * upper.sum()
