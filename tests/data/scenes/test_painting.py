"""What is painted: objects lie in their masks alone, and what the frame does not hold is left out."""

import numpy as np
import pytest

from hqsam_lightning.data.scenes import painting
from hqsam_lightning.data.scenes.drawing import DrawnObject, draw_object, place_objects


def test_an_object_outside_the_frame_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small thin objects may be placed beside the frame, as the one of this seed is."""
    rng = np.random.default_rng(8962)
    outside = draw_object(rng, 256, rng.uniform(0.05, 0.2))
    assert not outside.alpha.any()
    objects, _ = place_objects(np.random.default_rng(0), 256, 2)
    drawn = []
    monkeypatch.setattr(painting, "draw_object", lambda *arguments: drawn.append(arguments) or outside)
    images = [painting.paint_scene(np.random.default_rng(seed), 256, objects) for seed in range(4)]
    assert all(image.std() > 1 for image in images)
    assert any(extent <= 0.2 for _, _, extent in drawn), "no distractor was asked for"


def test_distractors_touch_no_object() -> None:
    """A block on the left half: whatever the distractors are, its pixels stay as they were."""
    alpha = np.zeros((128, 128, 1), np.float32)
    alpha[:, :64] = 1
    objects, colours = [DrawnObject(alpha, [], 1.0)] * 8, [np.full(3, 200, np.float32)] * 8
    painted = 0
    for seed in range(5):
        image = np.zeros((128, 128, 3), np.float32)
        painting._paint_distractors(np.random.default_rng(seed), image, objects, colours, 0.5)
        assert not image[:, :64].any()
        painted += int((image > 0).any())
    assert painted >= 3
