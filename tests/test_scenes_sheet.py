import numpy as np
import pytest

from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.scenes import contact_sheet


def test_sheet_shows_photos_and_tints_each_mask():
    scenes = Scenes(6, 64, seed=1, split="val")
    sheet = contact_sheet(scenes, rows=2, columns=2)
    assert sheet.shape == (2 * 64, 2 * 3 * 64, 3)
    assert sheet.dtype == np.uint8
    third = scenes[2]  # second row, first column
    assert np.array_equal(sheet[64:, :64], third.image)
    fine = sheet[64:, 64:128].astype(int)
    outside = third.masks.sum(0) == 0
    assert np.abs(fine - third.image // 2)[outside].max() <= 1
    assert np.abs(fine - third.image // 2)[third.masks.max(0) > 0.9].mean() > 20


def test_sheet_refuses_coarse_scenes_and_too_many():
    with pytest.raises(ConfigError, match=r"data\.masks: expected 'fine'"):
        contact_sheet(Scenes(2, 64, masks="coarse"), 1, 1)
    with pytest.raises(ConfigError, match="expected 1 to 2 scenes; got 3 x 1"):
        contact_sheet(Scenes(2, 64), 3, 1)
