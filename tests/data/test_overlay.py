"""Tints and hatching, pixel by pixel."""

import matplotlib
import numpy as np
import pytest

from hqsam_lightning.data.overlay import DIMMED, HATCH_GREYS, OPACITY, hatch, tint


def test_tints_equal_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    image, masks = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), rng.random((3, 5, 7), dtype=np.float32)
    made = tint(image, masks)
    for y, x, channel in np.ndindex(image.shape):
        value = DIMMED * float(image[y, x, channel])
        for mask, colour in zip(masks, matplotlib.color_sequences["tab10"][:3], strict=True):
            value += float(mask[y, x]) * (1 - DIMMED) * image[y, x, channel]
            opacity = OPACITY * float(mask[y, x])
            value = (1 - opacity) * value + opacity * 255 * colour[channel]
        assert abs(made[y, x, channel] - min(value, 255)) <= 1


@pytest.mark.parametrize("count", [0, 1, 10, 25])
def test_any_number_of_masks_is_tinted(count: int) -> None:
    image = np.full((4, max(count, 1), 3), 200, np.uint8)
    masks = np.stack(
        [np.eye(max(count, 1), dtype=np.float32)[[row] * 4] for row in range(count)] or [image[..., 0] * 0]
    )
    made = tint(image, masks)
    assert made.shape == image.shape
    assert len(np.unique(made[0], axis=0)) == min(max(count, 1), 10)


def test_hatching_covers_the_ignored_pixels_and_nothing_else() -> None:
    image = np.random.default_rng(1).integers(0, 90, (40, 50, 3), dtype=np.uint8)
    ignore = np.random.default_rng(2).random((40, 50)) < 0.5
    made = hatch(image, ignore)
    assert np.array_equal(made[~ignore], image[~ignore])
    assert set(np.unique(made[ignore])) == set(HATCH_GREYS)
