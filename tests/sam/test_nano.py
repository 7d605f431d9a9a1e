"""The SAM that the package ships, measured by segment-anything's own predictor on a fixed set of scenes."""

import hashlib
import re
from importlib.resources import files

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from segment_anything import SamPredictor

from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.sam import FrozenSam

FOLDER = files("hqsam_lightning.sam.shipped")
SCENES = 60


@pytest.fixture(scope="module")
def nano() -> FrozenSam:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return instantiate(compose("train", overrides=["sam=nano"]).sam)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_file_is_small_and_is_the_one_of_the_model_card():
    content = (FOLDER / "sam_nano.safetensors").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    assert len(content) <= 10e6
    assert (FOLDER / "sam_nano.sha256").read_text() == f"{sha256}  sam_nano.safetensors\n"
    assert sha256 in (FOLDER / "MODEL_CARD.md").read_text()


def test_it_is_the_default(nano):
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("train")
    assert (config.sam.name, config.sam.weights) == ("nano", "embedded")
    assert instantiate(config.sam).weights_sha256 == nano.weights_sha256


def test_it_segments_what_a_box_holds(nano):
    """Means on these scenes as the model card states them, and 20 points above the box itself."""
    predictor = SamPredictor(nano.sam)
    ours, filled = [], []
    for sample in Scenes(SCENES, split="val", masks="coarse"):
        predictor.set_image(sample.image)
        for mask in sample.masks > 0.5:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = np.array([columns[0], rows[0], columns[-1], rows[-1]])
            ours.append(iou(predictor.predict(box=box, multimask_output=False)[0][0], mask))
            inside = np.zeros_like(mask)
            inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
            filled.append(iou(inside, mask))
    card = (FOLDER / "MODEL_CARD.md").read_text()
    stated = re.search(rf"\| box, first {SCENES} scenes \| ([\d.]+) \| ([\d.]+) \|", card)
    assert stated
    assert [100 * np.mean(filled), 100 * np.mean(ours)] == pytest.approx(
        [float(text) for text in stated.groups()], abs=0.2
    )
    assert np.mean(ours) > np.mean(filled) + 0.2
