"""The SAMs that the package ships, measured by segment-anything's own predictor on a fixed set of scenes."""

import hashlib
import re
from importlib.resources import files

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from segment_anything import SamPredictor

from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.datasets import Scenes

FOLDER = files("hqsam_lightning.sam.shipped")
NAMES = sorted(
    path.name.removeprefix("sam_").removesuffix(".safetensors")
    for path in FOLDER.iterdir()
    if path.name.endswith(".safetensors")
)
SCENES = 60


def config_of(*overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", overrides=list(overrides))


def section_of(name: str) -> str:
    """What the model card says of a SAM."""
    sections = (FOLDER / "MODEL_CARD.md").read_text().split("\n## ")
    (section,) = [each for each in sections if each.partition("\n")[0].endswith(f", `sam={name}`")]
    return section


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_small_and_is_the_one_of_the_model_card(name: str) -> None:
    content = (FOLDER / f"sam_{name}.safetensors").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    assert len(content) <= 10e6
    assert (FOLDER / f"sam_{name}.sha256").read_text() == f"{sha256}  sam_{name}.safetensors\n"
    assert f"`sam_{name}.safetensors`, float16, {len(content):,} bytes" in section_of(name)
    assert sha256 in section_of(name)


def test_the_default_and_the_second_one_are_shipped() -> None:
    assert config_of().sam == config_of("sam=nano").sam
    for name in ("nano", "nano_vit"):
        sam = config_of(f"sam={name}").sam
        assert (sam.name, sam.weights) == (name, "embedded")
        assert (FOLDER / sam.embedded).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_it_segments_what_a_box_holds(name: str) -> None:
    """Means on these scenes as the model card states them, and 20 points above the box itself."""
    sam = instantiate(config_of(f"sam={name}").sam)
    predictor = SamPredictor(sam.sam)
    ours, filled = [], []
    for sample in Scenes(SCENES, sam.image_size, split="val", masks="coarse"):
        predictor.set_image(sample.image)
        for mask in sample.masks > 0.5:
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = np.array([columns[0], rows[0], columns[-1], rows[-1]])
            ours.append(iou(predictor.predict(box=box, multimask_output=False)[0][0], mask))
            inside = np.zeros_like(mask)
            inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
            filled.append(iou(inside, mask))
    stated = re.search(rf"\| box, first {SCENES} scenes \| ([\d.]+) \| ([\d.]+) \|", section_of(name))
    assert stated
    assert [100 * np.mean(filled), 100 * np.mean(ours)] == pytest.approx(
        [float(text) for text in stated.groups()], abs=0.2
    )
    assert np.mean(ours) > np.mean(filled) + 0.2
