"""A leading ~ in paths."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hqsam_lightning.schema import check_config
from hqsam_lightning.schema.paths import path_keys
from schema.test_checking import composed


@pytest.mark.parametrize(
    ("command", "overrides", "key"),
    [
        ("train", (), "ckpt_path"),
        ("train", (), "cache"),
        ("train", (), "sam.weights"),
        ("train", (), "variants.hq.weights"),
        ("train", ("data=folder",), "paths.data_dir"),
        ("train", ("data=coco",), "data.val_annotations"),
        ("train", ("data=coco",), "data.annotations"),
        ("train", ("data=sa1b",), "data.folder"),
        ("train", ("data=folder",), "data.catalogue.folder.masks"),
        ("report", (), "out"),
        ("report", (), "table"),
        ("scenes", (), "file"),
        ("demo", (), "model"),
        ("demo", (), "sam_weights"),
    ],
)
def test_home_is_expanded(command: str, overrides: tuple[str, ...], key: str) -> None:
    config = composed(command, *overrides).copy()
    OmegaConf.update(config, key, "~/some (folder)/x")
    expanded = check_config(config, command)
    assert OmegaConf.select(expanded, key) == str(Path.home() / "some (folder)" / "x")
    assert OmegaConf.select(config, key) == "~/some (folder)/x"


def test_lists_of_folders_and_references_are_expanded() -> None:
    report = composed("report").copy()
    report.runs = ["~/a", "b~"]
    assert list(check_config(report, "report").runs) == [str(Path.home() / "a"), "b~"]
    config = composed("train", "data=coco").copy()
    config.paths.data_dir = "~/data"
    assert check_config(config, "train").data.data_dir == str(Path.home() / "data" / "coco")


def test_other_keys_keep_their_text() -> None:
    config = composed("train").copy()
    config.name = "~draft"
    assert check_config(config, "train").name == "~draft"


def test_keys_are_told_by_rules_and_annotations() -> None:
    nested = OmegaConf.to_container(composed("train", "data=synthetic_and_ecssd"), resolve=True)
    found = path_keys(nested)
    assert "data.photos.data_dir" in found
    assert "data.scenes.train_size" not in found
