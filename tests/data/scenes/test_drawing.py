import numpy as np
import pytest

from hqsam_lightning.data.scenes import drawing
from hqsam_lightning.data.scenes.drawing import MIN_VISIBLE, DrawnObject, draw_object, place_objects
from hqsam_lightning.data.scenes.families import blob
from hqsam_lightning.data.scenes.strokes import Stroke

SIZE = 128


def square(rng: np.random.Generator, thin: float) -> list[Stroke]:
    return [Stroke(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]))]


def test_objects_are_hidden_by_later_ones_but_not_mostly():
    hidden = 0
    for seed in range(30):
        objects, visible = place_objects(np.random.default_rng(seed), SIZE, 3)
        for index, (drawn, alpha) in enumerate(zip(objects, visible, strict=True)):
            left = drawn.alpha.copy()
            for later in objects[index + 1 :]:
                left *= 1 - later.alpha
            np.testing.assert_allclose(alpha, left, atol=1e-6)
            assert alpha.sum() >= MIN_VISIBLE * drawn.alpha.sum()
            hidden += alpha.sum() < drawn.alpha.sum() - 1
    assert hidden > 0


def test_a_blob_stands_in_where_nothing_can_be_seen(monkeypatch: pytest.MonkeyPatch):
    families = []

    def unseen(rng, size, extent, family=None):
        families.append(family)
        if family is not None:
            return draw_object(rng, size, extent, family)
        return DrawnObject(np.zeros((size, size, 1), np.float32), [], extent)

    monkeypatch.setattr(drawing, "draw_object", unseen)
    objects, visible = place_objects(np.random.default_rng(0), SIZE, 2)
    assert families[-1] is blob
    assert len(objects) == len(visible) == 1
    assert visible[0].sum() > 0.05 * SIZE**2


@pytest.mark.parametrize("extent", [0.2, 0.5, 0.9])
def test_longer_side_is_the_extent(extent: float):
    for seed in range(10):
        drawn = draw_object(np.random.default_rng(seed), SIZE, extent, square)
        longer = max(side.stop - side.start for side in drawn.window)
        assert longer == pytest.approx(extent * SIZE, abs=0.02 * SIZE + 2)


def test_area_is_that_of_the_polygon():
    """Alphas are coverage: they sum to the same share of the frame at any size."""
    for seed in range(5):
        areas = [
            draw_object(np.random.default_rng(seed), size, 0.6, square).alpha.sum() / size**2 for size in (SIZE, 1024)
        ]
        assert areas[0] == pytest.approx(areas[1], rel=0.02)


def test_small_objects_where_they_are_asked_for() -> None:
    """The first object is as large as ever; the others' longer sides go down to the smallest one's."""

    def sides(smallest: float | None) -> list[float]:
        drawn = [place_objects(np.random.default_rng(seed), 256, 5, smallest=smallest)[0] for seed in range(12)]
        assert all(objects[0].extent >= 0.45 for objects in drawn)
        return [each.extent for objects in drawn for each in objects[1:]]

    assert min(sides(None)) >= 0.2
    small = sides(0.05)
    assert 0.05 <= min(small) < 0.15
    assert max(small) > 0.4
