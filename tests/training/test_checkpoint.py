"""What is read is what was written: damage, foreign files and values that are not finite are named."""

import io
import os
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from hqsam_lightning.errors import CheckpointError
from hqsam_lightning.training.checkpoint import FORMAT_VERSION, INFO_KEY, AtomicCheckpointIO, read_checkpoint, seal

CONTENT = {
    "global_step": 7,
    "state_dict": {"variants.hq.token": torch.linspace(-1, 1, 257), "variants.hq.half": torch.ones(3).bfloat16()},
    "optimizer_states": [{"state": {0: {"step": torch.tensor(7.0), "exp_avg": torch.rand(50)}}, "param_groups": [{}]}],
    "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "kth_value": torch.tensor(-torch.inf)}},
    INFO_KEY: {"version": "1", "config": {"seed": 1, "betas": [0.9, 0.999], "name": "å", "none": None}},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    AtomicCheckpointIO().save_checkpoint(CONTENT, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_it_comes_back_as_it_was(path: Path) -> None:
    read = read_checkpoint(path)
    assert read["global_step"] == 7
    assert read[INFO_KEY]["config"] == CONTENT[INFO_KEY]["config"]
    assert all(torch.equal(read["state_dict"][key], value) for key, value in CONTENT["state_dict"].items())


def test_flipped_bits_are_never_accepted_with_other_content(path: Path) -> None:
    whole, rng = path.read_bytes(), random.Random(0)
    messages = []
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            accepted = read_checkpoint(path)
        except CheckpointError as error:
            messages.append(str(error))
        else:
            assert accepted[INFO_KEY]["sha256"] == seal(CONTENT)[INFO_KEY]["sha256"]
    assert len(messages) > 50
    assert all("last.ckpt" in text and "weights_only" not in text for text in messages)


@pytest.mark.parametrize("name", ["state_dict", "current_model_state", "optimizer_states"])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, name: str) -> None:
    content = {**CONTENT, name: {"deep": [{"weight": torch.tensor([1.0, torch.nan])}]}}
    if name == "state_dict":
        content[name] = {"deep": torch.tensor([-torch.inf])}
    AtomicCheckpointIO().save_checkpoint(content, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=rf"{name}\.deep.*: expected finite values"):
        read_checkpoint(tmp_path / "last.ckpt")


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("false",)


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def without_entry(name: str) -> bytes:
    file, result = io.BytesIO(saved(seal(CONTENT))), io.BytesIO()
    with zipfile.ZipFile(file) as before, zipfile.ZipFile(result, "w") as after:
        for entry in before.namelist():
            if not entry.endswith(name):
                after.writestr(entry, before.read(entry))
    return result.getvalue()


WEIGHT = torch.zeros(1)
OLD = {**seal(CONTENT), INFO_KEY: {**seal(CONTENT)[INFO_KEY], "format_version": FORMAT_VERSION + 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or of another kind: it is an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "HTML page"),
        (b"\x00" * 1000, "damaged or of another kind"),
        (pickle.dumps({"state_dict": {}}), "damaged or of another kind"),
        (saved(Malicious()), "objects other than tensors and plain values"),
        (saved({"state_dict": {}, "model": Malicious()}), "objects other than tensors and plain values"),
        (without_entry("data/0"), "its archive cannot be read"),
        (without_entry("data.pkl"), "its archive cannot be read"),
        (saved([1, 2]), "got a list"),
        (saved(WEIGHT), "got a Tensor"),
        (saved({"pytorch-lightning_version": "2.6", "state_dict": {"a": WEIGHT}}), "Lightning checkpoint of another"),
        (saved({"image_encoder.pos_embed": WEIGHT}), r"weights of a SAM, which .*sam\.weights"),
        (saved({"module.mask_decoder.iou": WEIGHT}), r"weights of a SAM whose keys begin with 'module\.'"),
        (saved({"hf_token.weight": WEIGHT}), r"weights of HQ-SAM, .*variants\.hq\.weights"),
        (saved({"state_dict": {"layer": WEIGHT}}), r"bare weights \(layer"),
        (saved({"a": 1}), "a dict with keys a"),
        (saved({INFO_KEY: 3, "state_dict": {}}), "expected a checkpoint written by hqsam_lightning"),
        (saved(CONTENT), r"expected format_version 3, got None: another version .*\(1, this is"),
        (saved(OLD), "expected format_version 3, got 4"),
        (saved({**seal(CONTENT), "global_step": 8}), "does not match its sha256"),
    ],
)
def test_what_a_file_is_instead_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"ckpt_path=.*last\.ckpt: .*{message}") as caught:
        read_checkpoint(path)
    assert "weights_only" not in str(caught.value)


def test_no_file_to_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ckpt")
    for name, message in (("absent.ckpt", "cannot find it"), ("pipe.ckpt", "got a pipe"), ("", "got a folder")):
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(tmp_path / name)
