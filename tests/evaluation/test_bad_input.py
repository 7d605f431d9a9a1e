"""Every kind of bad input on every suite: left out, counted and named; or with strict=true an error that names it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from bad_sets import (
    BOXES,
    CATEGORY,
    COARSE,
    MASK_FILES,
    MASKS_OF_JSON,
    SEVERAL,
    SINGLE,
    TUBES,
    Fault,
    Writer,
    write_boxes,
    write_clips,
    write_instances,
    write_photos,
    write_videos,
)
from hqsam_lightning.config import conf_dir, own_errors
from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluate import evaluate
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.evaluation.suites import Setting
from hqsam_lightning.evaluation.suites.clips import ClipSuite
from hqsam_lightning.evaluation.table import read_table
from hqsam_lightning.metrics import Metric, mask_iou

INSTANCES = {**BOXES, **CATEGORY}
SETS: Mapping[str, tuple[Writer, Mapping[str, Fault]]] = {
    "coco": (write_boxes, INSTANCES),
    "lvis": (write_boxes, INSTANCES),
    "sginw": (write_boxes, INSTANCES),
    "uvo": (write_boxes, BOXES),
    "coco_masks": (write_instances, MASKS_OF_JSON),
    "fine_grained": (write_photos, MASK_FILES),
    "folder": (write_photos, MASK_FILES),
    "points": (write_photos, MASK_FILES),
    "clicks": (write_photos, MASK_FILES),
    "clicks_davis": (write_photos, MASK_FILES),
    "big": (write_photos, MASK_FILES),
    "big_coarse": (write_photos, COARSE),
    "davis16": (write_clips, SINGLE),
    "davis17": (write_clips, SEVERAL),
    "ytvis": (write_videos, TUBES),
    "hq_ytvis": (write_videos, TUBES),
}
"""How the set of each suite is written, and the kinds of bad input that it can have."""
SHIPPED = {"photos"}
"""The suite whose set comes with the package."""
FAULTS = {suite: faults for suite, (_, faults) in SETS.items()}


def test_no_suite_is_missing() -> None:
    assert {path.stem for path in (Path(conf_dir()) / "suite").glob("*.yaml")} == set(SETS) | SHIPPED


@lru_cache(maxsize=32)
def composed(suite: str) -> DictConfig:
    overrides = [f"suite={suite}", "sam=tiny_random", "trainer=cpu", "loader.num_workers=0", "paths.output_dir=out"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("evaluate", overrides=overrides)


def config_of(suite: str, folder: Path, faults: Mapping[str, Fault], strict: bool = False) -> DictConfig:
    """Writes the suite's set with these faults."""
    config = copy.deepcopy(composed(suite))
    config.paths.data_dir, config.paths.output_dir, config.strict = str(folder), str(folder / "out"), strict
    config.suite.update(SETS[suite][0](config.suite, folder, faults))
    return config


@pytest.mark.parametrize("suite", FAULTS)
def test_the_rest_is_scored(suite: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All kinds at once."""
    faults = FAULTS[suite]
    images = [fault for fault in faults.values() if fault.image]
    with pytest.raises(DataError, match=rf"^{len(images)} of \d+ images left out") as error:
        evaluate(config_of(suite, tmp_path, faults))
    for kind, fault in faults.items():
        assert re.search(fault.message, str(error.value) if fault.image else caplog.text), kind
    left_out = json.loads((tmp_path / "out" / "metrics.json").read_text())["run"]["left_out"]
    assert left_out.startswith(f"{len(images)} of ")
    counts = [int(count) for count in re.findall(r"(\d+) (?:clips or )?entries of", left_out)]
    assert sum(counts) == len(faults) - len(images)
    assert len(read_table(tmp_path / "out" / "scores.csv"))


def read_all(config: DictConfig, entries: bool) -> None:
    """Builds a suite, of which entries are checked then, and reads every image, and every frame of clips."""
    with own_errors("suite"):
        suite = instantiate(config)
    assert not entries
    examples = suite.examples(Setting(Scorer({"iou": Metric("mIoU", function=mask_iou)}, [], [], Stretch(64)), {}, 16))
    for index in range(len(examples)):
        examples[index]
    for clip in suite.clips.values() if isinstance(suite, ClipSuite) else ():
        for frame in range(len(clip.photos)):
            clip.read(frame)


@pytest.mark.parametrize(("suite", "kind"), [(suite, kind) for suite, faults in FAULTS.items() for kind in faults])
def test_strict_names_it(suite: str, kind: str, tmp_path: Path) -> None:
    """Entries before anything is predicted, images there or when they are read."""
    fault = FAULTS[suite][kind]
    config = config_of(suite, tmp_path, {kind: fault}, strict=True)
    with pytest.raises(DataError, match=rf"(?s){fault.message}"):
        read_all(config.suite, entries=not fault.image)
