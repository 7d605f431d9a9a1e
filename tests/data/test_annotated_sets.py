"""What sets of annotated photos are validated on: others, ones in COCO's format, or a part that is held out."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from annotated_files import compressed, instance, some_masks, write_coco, write_sa1b
from hqsam_lightning.data import DataSets, coco_sets, sa1b_sets, synthetic_sets
from hqsam_lightning.data.building import build_sets
from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.train import train

NAMES = [f"{number:02d}.jpg" for number in range(10)]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Ten photos to train on and four to validate on."""
    for folder, names in (("photos", NAMES), ("val", NAMES[:4])):
        (tmp_path / folder).mkdir()
        write_coco(tmp_path / folder, names, f"../{folder}.json")
    return tmp_path


def sets(root: Path, **options: Any) -> DataSets:
    return coco_sets(str(root), "photos.json", "photos", 2, **options)


def ids(samples: SampleSet) -> list[str]:
    return [samples[index].sample_id for index in range(len(samples))]


def numbered(name: str, numbers: range) -> list[str]:
    return [f"{name}/{number:02d}" for number in numbers]


@pytest.mark.parametrize(("holdout", "count"), [(0.1, 1), (0.25, 2), (0.5, 5), (1, 1), (3, 3), (9, 9)])
def test_the_last_photos_by_name_are_held_out(coco: Path, holdout: float, count: int, caplog: Any) -> None:
    with caplog.at_level(logging.INFO):
        made = sets(coco, holdout=holdout)
    assert ids(made.train[0][0]) == numbered("coco", range(10 - count))
    assert {name: ids(held) for name, held in made.validation.items()} == {
        "coco": numbered("coco", range(10 - count, 10))
    }
    assert f"holding out the last photos of coco (holdout={holdout})" in caplog.text


def test_nothing_is_held_out_when_not_asked(coco: Path) -> None:
    made = sets(coco, holdout=0)
    assert (len(made.train[0][0]), made.validation) == (10, {})


@pytest.mark.parametrize("holdout", [0.01, 0.99, 10, 20, -1])
def test_an_impossible_holdout_names_its_key(coco: Path, holdout: float) -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.holdout: expected (to leave photos on both sides of coco's 10|a share in)"
    ):
        sets(coco, holdout=holdout)


def test_coco_is_validated_on(coco: Path, caplog: Any) -> None:
    made = sets(coco, val_annotations="val.json", val_images="val")
    assert len(made.train[0][0]) == 10
    assert {name: ids(held) for name, held in made.validation.items()} == {"coco_val": numbered("coco_val", range(4))}
    assert not caplog.text
    sets(coco, val_annotations="val.json", val_images="photos")
    assert "4 photos of data.val_images are also trained on, e.g. 00.jpg" in caplog.text


@pytest.mark.parametrize("key", ["val_annotations", "val_images"])
def test_annotations_and_photos_to_validate_on_go_together(coco: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.val_annotations, data\.val_images: expected both or neither; got"):
        sets(coco, **{key: "val"})


def test_other_sets_are_validated_on_too(coco: Path) -> None:
    scenes = synthetic_sets(train_size=2, val_size=2, image_size=64)
    assert list(sets(coco, validation=scenes).validation) == ["synthetic"]
    both = sets(coco, validation=scenes, val_annotations="val.json", val_images="val")
    assert list(both.validation) == ["synthetic", "coco_val"]
    assert list(scenes.validation) == ["synthetic"]
    assert len(both.train[0][0]) == 10


def test_names_to_exclude_are_those_of_one_of_the_sets(coco: Path) -> None:
    (coco / "val" / "02.jpg").rename(coco / "val" / "only_here.jpg")
    write_coco(coco / "val", ["00.jpg", "only_here.jpg"], "../val.json")
    made = sets(coco, val_annotations="val.json", val_images="val", exclude=["01.jpg", "only_here"])
    assert (len(made.train[0][0]), len(made.validation["coco_val"])) == (9, 1)
    with pytest.raises(DataError, match=r"data\.exclude: expected names of photos of the annotations, got 'only_here'"):
        sets(coco, exclude=["01.jpg", "only_here"])


def test_a_part_of_sa1b_is_held_out(tmp_path: Path) -> None:
    for number in range(6):
        write_sa1b(tmp_path / f"sa_{number % 2:06d}", some_masks(1), stem=f"sa_{number}")
    made = sa1b_sets(str(tmp_path), 1, limit=5, holdout=2)
    assert ids(made.train[0][0]) == [f"sa1b/sa_{number}" for number in (0, 1, 2)]
    assert ids(made.validation["sa1b"]) == [f"sa1b/sa_{number}" for number in (3, 4)]
    scenes = synthetic_sets(train_size=2, val_size=2, image_size=64)
    assert list(sa1b_sets(str(tmp_path), 1, limit=None, validation=scenes).validation) == ["synthetic"]


SMALL = (
    "sam=tiny_random",
    "trainer=cpu",
    "trainer.max_steps=1",
    "trainer.max_epochs=1",
    "batch.total=4",
    "loader.num_workers=0",
    "~callbacks.progress_bar",
)


def test_the_readmes_line_needs_nothing_else(coco: Path, make_config) -> None:
    """No HQSeg-44K on the disk: the line trains, and scores photos of several masks each that it holds out."""
    path = coco / "photos.json"
    content = json.loads(path.read_text())
    content["annotations"] += [instance(number + 10, number, compressed(some_masks(1)[0])) for number in range(10)]
    path.write_text(json.dumps(content))
    data = ("data=coco", f"data.data_dir={coco}", "data.annotations=photos.json", "data.images=photos")
    means, objects = train(make_config(*data, *SMALL, f"paths.data_dir={coco / 'absent'}"))
    assert objects["trainer"].global_step == 1
    assert set(means["dataset"]) == {"coco"}


def test_hqseg44k_is_validated_on_where_it_is_asked_for(coco: Path, make_config) -> None:
    data = ("data=coco", f"data.data_dir={coco}", "data.annotations=photos.json", "data.images=photos")
    config = make_config(*data, "+data@data.validation=hqseg44k_val", f"paths.data_dir={coco}")
    assert list(config.data.validation.val_sources) == ["dis_vd", "coift", "hrsod", "thinobject5k_te"]
    assert list(config.data.validation.sources) == []
    with pytest.raises(DataError, match=r"(?s)dis_vd: .*does not exist.*coift: .*hrsod: .*thinobject5k_te: ") as caught:
        build_sets(config)
    *_, hint = str(caught.value).splitlines()
    assert hint == "these sets are data.validation: write data.validation.KEY where this names data.KEY"
    make_config(*data, "+data@data.validation=hqseg44k_val", "data.validation.allow_missing=true")


def test_errors_of_the_outer_sets_have_no_such_hint(coco: Path, make_config) -> None:
    with pytest.raises(DataError, match=r"absent\.json: [^\n]*$"):
        build_sets(make_config("data=coco", f"data.data_dir={coco}", "data.annotations=absent.json"))


def test_table_15_validates_sa1b_on_hqseg44k(make_config) -> None:
    config = OmegaConf.to_container(make_config("data=sa1b_hqseg44k").data, resolve=True)
    usual = OmegaConf.to_container(make_config("data=sa1b").data, resolve=True)
    assert usual["validation"] is None
    assert {key: value for key, value in config.items() if config[key] != usual[key]}.keys() == {"validation"}
    hqseg44k = OmegaConf.to_container(make_config("data=hqseg44k").data, resolve=True)
    assert config["validation"]["catalogue"] == hqseg44k["catalogue"]
    assert config["validation"]["val_sources"] == hqseg44k["val_sources"]
