"""The command: every format of weights is what it says, is read again, and refusals come before a model is loaded."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.authors import build_authors_model
from conftest import randomise
from export_command import run_export
from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam
from hqsam_lightning.sam import FrozenSam


@pytest.fixture(scope="module")
def weights(tiny_sam: FrozenSam, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole HQ-SAM as the authors' package writes it."""
    head = HQHead(tiny_sam)
    randomise(head, seed=5)
    path = tmp_path_factory.mktemp("weights") / "authors.pth"
    torch.save(build_authors_model(tiny_sam, head).state_dict(), path)
    return path


def names_in(path: Path) -> set[str]:
    """Of the tensors in what was written."""
    if path.is_dir():
        assert json.loads((path / "config.json").read_text())["model_type"] == "sam_hq"
        return set(load_file(path / "model.safetensors"))
    return set(load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True))


@pytest.mark.parametrize(
    ("format", "name", "tensor"),
    [
        ("official", "hq.pth", "mask_decoder.hf_token.weight"),
        ("official_head", "epoch_11.pth", "hf_token.weight"),
        ("safetensors", "hq.safetensors", "mask_decoder.hf_token.weight"),
        ("transformers", "hq", "mask_decoder.hq_token.weight"),
    ],
)
def test_weights_come_back_bit_for_bit(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str, name: str, tensor: str
) -> None:
    out = tmp_path / name
    run_export(f"model={weights}", "sam_name=tiny_random", f"format={format}", f"out={out}")
    said = rf"{out}: [\d.]+ MB, {format} of {weights}; largest error (\S+) of the largest logit"
    found = re.fullmatch(said, capsys.readouterr().out.strip().splitlines()[-1])
    assert found
    assert float(found[1]) <= 1e-5
    assert tensor in names_in(out)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    model = HQSam.from_pretrained(weights, sam="tiny_random")
    again = HQSam.from_pretrained(out, sam="tiny_random", sam_weights=weights if format == "official_head" else None)
    assert again.sam.weights_sha256 == model.sam.weights_sha256
    learned = model.head.learned
    assert again.head.learned.keys() == learned.keys()
    assert all(torch.equal(value, learned[key]) for key, value in again.head.learned.items())


@pytest.mark.parametrize(
    ("format", "name", "message"),
    [
        ("tflite", "x", "format: expected one of official, "),
        ("official", "x.bin", "out: expected a file .pth for format=official; got "),
        ("safetensors", "there.safetensors", "out: expected a path where nothing is; got "),
    ],
)
def test_a_place_is_refused_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str, name: str, message: str
) -> None:
    (tmp_path / "there.safetensors").touch()
    with pytest.raises(SystemExit) as ended:
        run_export("model=nowhere.pth", f"format={format}", f"out={tmp_path / name}")
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"error: {message}")
