"""The photographs with SAM-nano's masks that the package ships."""

import re

from hqsam_lightning.data.self_masked import COUNT, FOLDER, shipped_self_masked
from hqsam_lightning.types import OBJECT_THRESHOLD


def test_every_pair_has_a_mask_without_a_border():
    """Between what is object and what is not lie pixels that say neither."""
    sets = shipped_self_masked()
    assert not sets.validation
    ((samples, _),) = sets.train
    assert len(samples) == COUNT
    for index in range(COUNT):
        sample = samples[index]
        assert sample.image.shape == (256, 256, 3)
        assert sample.ignore is not None
        (mask,) = sample.masks >= OBJECT_THRESHOLD
        assert mask.mean() > 0.005, sample.sample_id
        outside = ~mask & ~sample.ignore
        assert not (mask[1:] & outside[:-1]).any()
        assert not (mask[:, 1:] & outside[:, :-1]).any()


def test_every_photograph_is_listed():
    listed = set(re.findall(r"`(\w+)`", (FOLDER / "README.md").read_text()))
    photos = {path.stem.rsplit("_", 2)[0] for path in (FOLDER / "images").iterdir()}
    assert photos <= listed


def test_the_pairs_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.*g")) < 3_000_000
