"""Our reader gives the authors' pixels, on real files."""

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.benchmarking.authors_reader import read_and_jitter
from hqsam_lightning.data.reading import read_pair
from hqsam_lightning.data.transforms import LargeScaleJitter


@pytest.mark.parametrize("scale", [0.1, 0.37, 0.5, 1.0, 1.31, 2.0])
@pytest.mark.parametrize("size", [(300, 400), (401, 257), (1224, 1632)])
def test_pixels_are_within_one_of_the_authors(tmp_path: Path, size: tuple[int, int], scale: float) -> None:
    rng = np.random.default_rng(0)
    photo, mask = tmp_path / "a.jpg", tmp_path / "a.png"
    Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(photo)
    Image.fromarray((rng.random(size) > 0.5).astype(np.uint8) * 255).save(mask)
    theirs, their_mask = read_and_jitter(photo, mask, 512, False, scale, random.Random(0))
    jitter = LargeScaleJitter(512)
    image, (label,), *_ = read_pair(photo, mask)
    scaled = tuple(max(1, round(side * max(1, round(scale * 512)) / max(size))) for side in size)
    corner_rng = random.Random(0)
    corner = tuple(corner_rng.randint(0, max(side - 512, 0)) for side in scaled)
    ours = jitter.apply(image, scaled, corner).transpose(2, 0, 1)
    assert np.abs(ours.astype(int) - theirs.numpy().astype(int)).max() <= 1
    ours_mask = jitter.apply_to_mask(label, scaled, corner)
    np.testing.assert_allclose(ours_mask, their_mask[0].numpy() / 255, atol=1e-3)
