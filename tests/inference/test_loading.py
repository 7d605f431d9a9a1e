"""A model comes back from a run, a folder, a file or a hub with the logits that it had."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir

from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError, HQSamError, WeightsError
from hqsam_lightning.heads import HQHead
from hqsam_lightning.heads.official import to_official
from hqsam_lightning.inference import HQSam, SamPredictor, sam_model_registry
from hqsam_lightning.inference.loading import SHIPPED
from hqsam_lightning.train import train

TINY = (
    *("setting=paper", "sam=tiny_random", "trainer=cpu", "trainer.max_epochs=1", "data.train_size=2"),
    *("data.val_size=1", "batch.total=2", "loader.num_workers=0", "loss.num_points=16", "~callbacks.progress_bar"),
    *("+head@variants.tuned=tuned_token", "variants.hq.features=[decoder]"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inference") / "run"
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        train(compose("train", overrides=[*TINY, f"paths.output_dir={folder}"]))
    return folder


def logits_of(model: HQSam) -> np.ndarray:
    predictor = SamPredictor(model)
    predictor.set_image(np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8))
    return predictor.predict(box=np.array([5, 6, 30, 40]), multimask_output=False, return_logits=True)[0]


def trained(run: Path) -> HQSam:
    return HQSam.from_pretrained(f"{run}::hq")


def test_a_run_is_loaded_by_its_variant_and_checkpoint(run: Path) -> None:
    best = trained(run)
    assert best.output == "hq"
    assert not np.array_equal(logits_of(best), logits_of(best.plain()))
    last = HQSam.from_pretrained(f"{run}/checkpoints/last.ckpt::hq")
    assert np.array_equal(logits_of(best), logits_of(last))
    assert HQSam.from_pretrained(f"{run}::tuned").head.outputs == ("hq",)
    with pytest.raises(ConfigError, match=r"::VARIANT: expected one of hq, tuned; got 'no variant'"):
        HQSam.from_pretrained(run)


def test_a_folder_holds_the_head_alone(run: Path, tmp_path: Path) -> None:
    model = trained(run)
    model.save_pretrained(tmp_path / "saved")
    files = {path.name: path.stat().st_size for path in (tmp_path / "saved").iterdir()}
    learned = sum(value.numel() for value in model.head.learned.values())
    assert files.keys() == {"config.json", "model.safetensors", "README.md"}
    assert 4 * learned < files["model.safetensors"] < 4 * learned + 4000
    again = HQSam.from_pretrained(tmp_path / "saved")
    assert again.output == model.output
    assert np.array_equal(logits_of(again), logits_of(model))
    again.save_pretrained(tmp_path / "twice")
    for name in files:
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / "saved" / name).read_bytes()


def test_the_card_says_what_the_run_wrote(run: Path, tmp_path: Path) -> None:
    trained(run).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    metrics = json.loads((run / "metrics.json").read_text())
    for fact in (metrics["run"]["command"], metrics["run"]["sam_sha256"], metrics["run"]["date"], "mBIoU"):
        assert fact in card
    assert str(run) not in card.replace(metrics["run"]["command"], "")
    # a head taken out of its run has no facts
    lone = tmp_path / "lone.ckpt"
    shutil.copyfile(run / "checkpoints" / "best" / "hq.ckpt", lone)
    HQSam.from_pretrained(lone).save_pretrained(tmp_path)
    assert "Nothing is known of its training" in (tmp_path / "README.md").read_text()


def test_another_sam_is_refused_by_both_names(run: Path, tmp_path: Path) -> None:
    model = trained(run)
    model.save_pretrained(tmp_path)
    state = {name: value + 1 for name, value in model.sam.sam.state_dict().items()}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"expected the SAM that the head was trained with, tiny_random .* got tiny"):
        HQSam.from_pretrained(tmp_path, sam_weights=tmp_path / "other.pth")


def rewrite(folder: Path, **changes: object) -> None:
    """Changes a model's config as somebody would who means harm."""
    from hqsam_lightning.inference.folder import CONFIG_FILE, KIND, VERSION
    from hqsam_lightning.storage.files import read_document, write_document

    config = read_document(folder / CONFIG_FILE, KIND, VERSION, WeightsError, "")
    write_document(folder / CONFIG_FILE, KIND, VERSION, {**config, **changes})


@pytest.mark.parametrize(
    ("part", "target"),
    [("head", "os.system"), ("head", "hqsam_lightning.heads.base.cast"), ("sam", "builtins.exec")],
)
def test_code_of_others_is_not_run(run: Path, tmp_path: Path, part: str, target: str) -> None:
    trained(run).save_pretrained(tmp_path)
    rewrite(tmp_path, **{part: {"name": "x", "sha256": "x", "config": {"_target_": target}, "_target_": target}})
    with pytest.raises(WeightsError, match=f"{target}.*pass trusted=True"):
        HQSam.from_pretrained(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "missing", "config"])
def test_a_damaged_folder_is_refused(run: Path, tmp_path: Path, damage: str) -> None:
    trained(run).save_pretrained(tmp_path)
    file = tmp_path / ("config.json" if damage == "config" else "model.safetensors")
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes().replace(b'"hq"', b'"qh"') if damage == "config" else file.read_bytes()[:-9])
    with pytest.raises(WeightsError, match=file.name):
        HQSam.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["whole", "decoder", "plain"])
def test_files_of_others_are_loaded(run: Path, tmp_path: Path, kind: str) -> None:
    sam = trained(run).sam
    head = HQHead(sam, seed=5)
    parts = {"plain": sam.sam.state_dict(), "decoder": to_official(head.state_dict())}
    parts["decoder"] |= {name: value for name, value in parts["plain"].items() if name.startswith("mask_decoder.")}
    content = {
        "plain": parts["plain"],
        "whole": {**parts["plain"], **parts["decoder"]},
        "decoder": {name.removeprefix("mask_decoder."): value for name, value in parts["decoder"].items()},
    }[kind]
    file = tmp_path / f"{kind}.pth"
    torch.save(content, file)
    # the sizes of a SAM in little are nobody's
    with pytest.raises(ConfigError, match="choose it with sam=NAME"):
        HQSam.from_pretrained(file)
    model = HQSam.from_pretrained(file, sam="tiny_random")
    expected = HQSam(sam) if kind == "plain" else HQSam(sam, head)
    assert model.output == ("sam" if kind == "plain" else "sum")
    assert np.array_equal(logits_of(model), logits_of(expected))


def test_the_registry_takes_files_and_nothing(tmp_path: Path) -> None:
    model = sam_model_registry["nano"]()
    torch.save(model.sam.sam.state_dict(), tmp_path / "nano.pth")
    again = sam_model_registry["nano"](checkpoint=str(tmp_path / "nano.pth"))
    assert again.sam.weights_sha256 == model.sam.weights_sha256
    assert HQSam.from_pretrained("nano").sam.weights_sha256 != model.sam.weights_sha256


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_head_is_what_its_card_says(tmp_path: Path, name: str) -> None:
    model = HQSam.from_pretrained(name)
    assert not np.array_equal(logits_of(model), logits_of(model.plain()))
    model.save_pretrained(tmp_path)
    for path in SHIPPED[name].iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("hq_vit_x", "expected one of nano, .* got 'hq_vit_x', which is none"),
        ("no/such/folder", "which is none"),
        ("missing.pth", "missing.pth: expected a weights file, found none"),
    ],
)
def test_what_is_not_there_is_named(where: str, message: str) -> None:
    with pytest.raises(HQSamError, match=message):
        HQSam.from_pretrained(where)


def test_plain_sam_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a model with a trained head; got plain SAM"):
        HQSam.from_pretrained("nano").save_pretrained(tmp_path)
