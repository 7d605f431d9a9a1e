"""Our reader gives the authors' pixels, on real files."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks.authors_reader import read_and_jitter
from hqsam_lightning.data.datasets import PhotoPairs
from hqsam_lightning.data.jitter import LargeScaleJitter


@pytest.mark.parametrize("scale", [0.1, 0.37, 0.5, 1.0, 1.31, 2.0])
@pytest.mark.parametrize("size", [(300, 400), (401, 257), (1224, 1632)])
def test_pixels_are_the_authors(tmp_path: Path, size: tuple[int, int], scale: float) -> None:
    """Equal, but next to a whole number: there the authors' float32 positions, which are off by up to 2e-4 of a pixel
    on the large photo, may truncate to the level beside. Ours are exact to 1e-3 of a level.
    """
    rng = np.random.default_rng(0)
    photo, mask = tmp_path / "a.jpg", tmp_path / "a.png"
    Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(photo)
    Image.fromarray((rng.random(size) > 0.5).astype(np.uint8) * 255).save(mask)
    theirs, their_mask = read_and_jitter(photo, mask, 512, False, scale, random.Random(0))
    jitter = LargeScaleJitter(512)
    sample = PhotoPairs("birds", [(photo, mask)])[0]
    image, (label,) = sample.image, sample.masks
    scaled = tuple(max(1, round(side * max(1, round(scale * 512)) / max(size))) for side in size)
    corner_rng = random.Random(0)
    corner = tuple(corner_rng.randint(0, max(side - 512, 0)) for side in scaled)
    ours = jitter.apply(image, scaled, corner).transpose(2, 0, 1)
    exact = exact_frame(image, scaled, corner)
    assert (ours >= np.floor(exact - 1e-3)).all()
    assert (ours <= np.floor(exact + 1e-3)).all()
    differs = ours != theirs.numpy()
    assert np.abs(ours.astype(int) - theirs.numpy().astype(int)).max() <= 1
    assert np.abs(exact - exact.round())[differs].max(initial=0) < 0.1
    assert differs.mean() < 0.02
    ours_mask = jitter.apply_to_masks(label[None], scaled, corner)[0]
    np.testing.assert_allclose(ours_mask, their_mask[0].numpy() / 255, atol=1e-3)


def exact_frame(image: np.ndarray, scaled: tuple[int, ...], corner: tuple[int, ...]) -> np.ndarray:
    """(3, 512, 512) in float64, not truncated: torch's interpolation, cropped and padded with 128."""
    whole = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None]
    resized = F.interpolate(whole, scaled, mode="bilinear", align_corners=False)[0]
    inside = resized[:, corner[0] : corner[0] + 512, corner[1] : corner[1] + 512]
    return F.pad(inside, (0, 512 - inside.shape[2], 0, 512 - inside.shape[1]), value=128).numpy()
