"""Sets built from folders and from procedural scenes."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.catalogue import licenses_of
from hqsam_lightning.data.datasets import SampleSet
from hqsam_lightning.data.sets import DataSets, also_validate_on, folder_sets, synthetic_sets
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.shapes import is_thin, thinness
from hqsam_lightning.types import OBJECT_THRESHOLD

COUNTS = {"birds": 10, "boats": 5, "test": 3}
CATALOGUE: dict[str, dict[str, Any]] = {
    "birds": {"images": "birds/im", "masks": "birds/gt"},
    "boats": {"images": "boats", "weight": 0.5},
    "test": {"images": "test/photos", "masks": "test/masks"},
    "absent": {"images": "absent/im", "masks": "absent/gt"},
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Photos of 8 x 6 whose grey level is their number, each with a half-covered mask."""
    for name, count in COUNTS.items():
        images = tmp_path / CATALOGUE[name]["images"]
        masks = tmp_path / CATALOGUE[name].get("masks", CATALOGUE[name]["images"])
        for folder in (images, masks):
            folder.mkdir(parents=True, exist_ok=True)
        half = np.zeros((6, 8), np.uint8)
        half[:, :4] = 255
        for number in range(count):
            Image.new("RGB", (8, 6), (number * 20,) * 3).save(images / f"{number:02d}.jpg")
            Image.fromarray(half).save(masks / f"{number:02d}.png")
    return tmp_path


def sets(tree: Path, sources: list[str], val_sources: list[str], **options: Any) -> DataSets:
    return folder_sets(CATALOGUE, sources, val_sources, str(tree), **options)


def ids(samples: SampleSet) -> list[str]:
    return [samples[index].sample_id for index in range(len(samples))]


def numbered(name: str, numbers: range) -> list[str]:
    return [f"{name}/{number:02d}" for number in numbers]


# --- folders ---------------------------------------------------------------------------------------------------------


def test_sources_are_merged_with_their_weights(tree):
    made = sets(tree, ["birds", "boats"], ["test"])
    assert [weight for _, weight in made.train] == [1.0, 0.5]
    assert [ids(samples) for samples, _ in made.train] == [numbered("birds", range(10)), numbered("boats", range(5))]
    assert {name: ids(samples) for name, samples in made.validation.items()} == {"test": numbered("test", range(3))}


def test_sources_keep_the_order_they_are_asked_in(tree):
    made = sets(tree, ["boats", "birds"], ["test"])
    assert [samples[0].dataset for samples, _ in made.train] == ["boats", "birds"]


def test_samples_are_read_from_the_files(tree):
    sample = sets(tree, ["birds"], ["test"]).train[0][0][7]
    assert sample.image.shape == (6, 8, 3)
    assert sample.image.dtype == np.uint8
    assert np.abs(sample.image.astype(int) - 140).max() <= 2
    expected = np.zeros((1, 6, 8), np.float32)
    expected[..., :4] = 1
    np.testing.assert_array_equal(sample.masks, expected)
    assert (sample.sample_id, sample.dataset) == ("birds/07", "birds")


def test_data_dir_may_lie_in_the_home_folder(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree.parent))
    made = folder_sets(CATALOGUE, ["birds"], ["test"], f"~/{tree.name}")
    assert len(made.train[0][0]) == 10


def test_describe_counts_images(tree):
    text = sets(tree, ["birds", "boats"], ["test"]).describe()
    assert text == "training on 15 images of 2 source(s); validating on test 3"
    assert sets(tree, ["birds"], [], holdout=0).describe().endswith("validating on nothing")


# --- holdout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holdout", "birds", "boats"), [(0.2, 2, 1), (0.4, 4, 2), (0.9, 9, 4), (1, 1, 1), (3, 3, 3), (4.0, 4, 4)]
)
def test_the_last_photos_by_name_are_held_out(tree, holdout, birds, boats):
    made = sets(tree, ["birds", "boats"], [], holdout=holdout)
    assert list(made.validation) == ["birds", "boats"]
    for (train, _), (name, held_out), count in zip(made.train, made.validation.items(), (birds, boats), strict=True):
        total = COUNTS[name]
        assert ids(train) == numbered(name, range(total - count))
        assert ids(held_out) == numbered(name, range(total - count, total))


def test_weights_survive_the_holdout(tree):
    assert [weight for _, weight in sets(tree, ["birds", "boats"], [], holdout=1).train] == [1.0, 0.5]


def test_nothing_is_held_out_beside_a_validation_set(tree):
    made = sets(tree, ["birds"], ["test"], holdout=0.5)
    assert len(made.train[0][0]) == 10
    assert list(made.validation) == ["test"]


def test_nothing_is_held_out_when_not_asked(tree):
    made = sets(tree, ["birds"], [], holdout=0)
    assert len(made.train[0][0]) == 10
    assert made.validation == {}


@pytest.mark.parametrize(("val_sources", "level"), [([], "INFO"), (["absent"], "WARNING")])
def test_the_holdout_is_announced(tree, caplog, val_sources, level):
    """As a warning where a validation set was asked for."""
    with caplog.at_level(logging.INFO):
        sets(tree, ["birds"], val_sources, holdout=0.2, allow_missing=True)
    assert [record.levelname for record in caplog.records if "holdout=0.2" in record.message] == [level]


@pytest.mark.parametrize(("holdout", "count"), [(0.01, 0), (0.99, 5), (5, 5), (7, 7), (-0.5, -2), (-1, -5)])
def test_an_impossible_holdout_names_its_key(tree, holdout, count):
    message = rf"^data\.holdout: expected to leave photos on both sides of boats's 5; {holdout} holds out {count}$"
    with pytest.raises(ConfigError, match=message):
        sets(tree, ["boats"], [], holdout=holdout)


# --- what is missing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "sources", "val_sources"),
    [("data.sources", ["birds", "bords"], ["test"]), ("data.val_sources", ["birds"], ["bords"])],
)
def test_unknown_sources_are_named_with_the_choices(tree, key, sources, val_sources):
    with pytest.raises(ConfigError, match=rf"^{key}: expected one of absent, birds, boats, test; got 'bords'$"):
        sets(tree, sources, val_sources)


@pytest.mark.parametrize(("sources", "val_sources"), [(["birds", "absent"], ["test"]), (["birds"], ["absent"])])
def test_a_missing_source_is_an_error(tree, sources, val_sources):
    with pytest.raises(
        DataError, match=r"absent: images folder .*absent/im does not exist; .*data\.allow_missing=true"
    ):
        sets(tree, sources, val_sources)


def test_allow_missing_trains_on_what_is_there(tree):
    made = sets(tree, ["absent", "boats"], ["test"], allow_missing=True)
    assert [(len(samples), weight) for samples, weight in made.train] == [(5, 0.5)]
    assert list(made.validation) == ["test"]


def test_photos_are_held_out_when_every_validation_set_is_missing(tree):
    made = sets(tree, ["birds"], ["absent"], allow_missing=True, holdout=0.2)
    assert ids(made.train[0][0]) == numbered("birds", range(8))
    assert ids(made.validation["birds"]) == numbered("birds", range(8, 10))


def test_allow_missing_needs_something(tree):
    with pytest.raises(DataError, match="no pair of photo and mask is left"):
        sets(tree, ["absent"], [], allow_missing=True)


def test_sources_without_a_permissive_license_are_left_out(tree, caplog):
    licensed = {name: {**source, "license": "MIT" if name == "boats" else ""} for name, source in CATALOGUE.items()}
    caplog.set_level(logging.INFO)
    made = folder_sets(licensed, ["birds", "boats"], ["test"], str(tree), license="permissive")
    assert [ids(samples) for samples, _ in made.train] == [numbered("boats", range(5))]
    assert list(made.validation) == ["test"]
    assert "not trained on: birds (unknown)" in caplog.text
    section = {"photos": {"catalogue": licensed, "sources": ["birds", "boats"], "license": "permissive"}}
    assert licenses_of(section) == {"boats": "MIT"}
    assert licenses_of({**section["photos"], "license": None}) == {"birds": "unknown", "boats": "MIT"}
    photos = {"catalogue": licensed, "sources": ["birds"]}
    assert licenses_of({"photographs": photos, "validation": {"catalogue": licensed, "sources": ["boats"]}}) == {
        "birds": "unknown"
    }
    assert licenses_of({"_target_": "hqsam_lightning.data.also_validate_on", "scenes": {}, "photos": photos}) == {}
    with pytest.raises(ConfigError, match=r"data\.license: .* got birds \(unknown\); set"):
        folder_sets(licensed, ["birds"], [], str(tree), license="permissive")
    with pytest.raises(ConfigError, match=r"data\.license: expected one of permissive, null; got 'free'"):
        folder_sets(licensed, ["birds"], [], str(tree), license="free")


def test_the_full_check_is_passed_on(tree):
    Image.new("L", (8, 6), 0).save(tree / "birds/gt/03.png")
    assert len(sets(tree, ["birds"], ["test"], check="quick").train[0][0]) == 10
    with pytest.raises(DataError, match=r"03\.png"):
        sets(tree, ["birds"], ["test"], check="full")


# --- procedural scenes -----------------------------------------------------------------------------------------------


def test_synthetic_sets_share_no_scene():
    made = synthetic_sets(train_size=7, val_size=5, image_size=64, seed=3)
    ((train, weight),) = made.train
    (val,) = made.validation.values()
    assert (len(train), len(val), weight) == (7, 5, 1.0)
    assert len({*ids(train), *ids(val)}) == 12
    images = {samples[index].image.tobytes() for samples in (train, val) for index in range(len(samples))}
    assert len(images) == 12
    assert made.describe() == "training on 7 images of 1 source(s); validating on synthetic 5"


def test_synthetic_sets_follow_size_objects_and_seed():
    def first(**options: Any) -> Any:
        return synthetic_sets(2, 2, **{"image_size": 96, **options}).train[0][0][0]

    assert first(image_size=80).image.shape == (80, 80, 3)
    assert len(first(objects=(1, 1)).masks) == 1
    assert first(seed=1).image.tobytes() == first(seed=1).image.tobytes()
    assert first(seed=1).image.tobytes() != first(seed=2).image.tobytes()
    several = synthetic_sets(8, 8, 128, objects=(3, 3))
    for samples in (several.train[0][0], several.validation["synthetic"]):
        assert max(len(samples[index].masks) for index in range(8)) == 3


def test_thin_objects_may_be_kept_out_of_the_training_scenes_alone():
    def thin(samples: SampleSet) -> list[bool]:
        masks = [mask for index in range(len(samples)) for mask in samples[index].masks]
        return [is_thin(thinness(mask > OBJECT_THRESHOLD)) for mask in masks]

    made, every = (synthetic_sets(24, 24, 128, (1, 3), thin_objects=value) for value in (False, True))
    assert not any(thin(made.train[0][0]))
    assert any(thin(every.train[0][0]))
    for index in range(24):
        ours, theirs = (kind.validation["synthetic"][index] for kind in (made, every))
        assert ours.image.tobytes() == theirs.image.tobytes()


def test_photos_are_validated_on_beside_scenes(tree: Path) -> None:
    scenes = synthetic_sets(train_size=7, val_size=5, image_size=64)
    photos = sets(tree, ["birds"], [], holdout=1)
    made = also_validate_on(scenes, photos)
    assert made.train == scenes.train
    assert {name: len(samples) for name, samples in made.validation.items()} == {"synthetic": 5, "birds": 1}
    assert ids(made.validation["birds"]) == ids(photos.validation["birds"])


def test_photos_are_a_share_of_what_is_trained_on(tree: Path) -> None:
    made = synthetic_sets(60, 5, 64, photographs=sets(tree, ["birds"], ["test"]), photograph_share=0.25)
    # a quarter of 80
    assert [(len(samples), weight) for samples, weight in made.train] == [(60, 1.0), (10, 2.0)]
    assert list(made.validation) == ["synthetic"]
    both = synthetic_sets(60, 5, 64, photographs=sets(tree, ["birds", "boats"], ["test"]), photograph_share=0.5)
    (_, birds), (_, boats) = both.train[1:]
    assert birds == 2 * boats


def test_photos_to_train_on_have_to_be_there(tree: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.photographs: expected photos to train on; got none"):
        synthetic_sets(7, 5, 64, photographs=sets(tree, [], ["test"]))
    with pytest.raises(ConfigError, match=r"data\.photograph_share: expected a number in \(0, 1\); got 1"):
        synthetic_sets(7, 5, 64, photographs=sets(tree, ["birds"], []), photograph_share=1)


def test_sets_may_be_for_validation_alone(tree: Path) -> None:
    made = sets(tree, [], ["test"])
    assert made.train == []
    assert list(made.validation) == ["test"]


def test_each_source_is_named_once_and_one_is_there(tree: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.sources, data\.val_sources: expected each source once; got birds"):
        sets(tree, ["birds", "birds"], [])
    with pytest.raises(ConfigError, match=r"data\.sources: expected at least one of .*birds.*; got none"):
        sets(tree, [], [])
