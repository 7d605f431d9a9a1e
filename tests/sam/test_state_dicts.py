"""Weights files: damaged, foreign and unsound ones are refused by name; none gives other numbers."""

import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from damage import flipped
from hqsam_lightning.errors import WeightsError
from hqsam_lightning.sam.state_dicts import pack_weights, read_state_dict

StateDict = dict[str, Tensor]


def a_state_dict(prefix: str = "") -> StateDict:
    generator = torch.Generator().manual_seed(0)
    return {
        f"{prefix}encoder.weight": torch.randn(40, 33, generator=generator),
        f"{prefix}encoder.half": torch.randn(50, generator=generator).half(),
        f"{prefix}steps": torch.tensor(7),
    }


def write_ours(state_dict: StateDict, path: Path) -> None:
    path.write_bytes(pack_weights(state_dict))


def is_equal(read: StateDict, expected: StateDict) -> bool:
    return read.keys() == expected.keys() and all(
        read[name].dtype == value.dtype and torch.equal(read[name], value) for name, value in expected.items()
    )


@pytest.mark.parametrize(("name", "save"), [("a.pth", torch.save), ("a.safetensors", write_ours)])
def test_no_flipped_bit_changes_the_weights(tmp_path: Path, name: str, save: Callable[..., None]) -> None:
    path, expected = tmp_path / name, a_state_dict()
    save(expected, path)
    assert is_equal(read_state_dict(path), expected)
    refused = 0
    for content in flipped(path.read_bytes(), seed=2, count=120):
        path.write_bytes(content)
        try:
            read = read_state_dict(path)
        except WeightsError:
            refused += 1
        else:
            assert is_equal(read, expected)
    assert refused > 60


def test_a_swapped_tensor_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_ours(a_state_dict(), path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    save_file({**a_state_dict(), "steps": torch.tensor(8)}, path, metadata)
    with pytest.raises(WeightsError, match=r"a\.safetensors: its tensors do not match their checksum"):
        read_state_dict(path)


@pytest.mark.parametrize("facts", ["{}", "[]", "no JSON", '{"format": "hqsam_lightning/weights", "format_version": 9}'])
def test_another_version_of_ours_is_refused(tmp_path: Path, facts: str) -> None:
    save_file(a_state_dict(), tmp_path / "a.safetensors", {"hqsam_lightning": facts})
    with pytest.raises(
        WeightsError,
        match=r"a\.safetensors: (its header is damaged|expected a file of format|expected format_version 1, got 9)",
    ):
        read_state_dict(tmp_path / "a.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("name", "save"), [("a.pth", torch.save), ("a.safetensors", save_file)])
@pytest.mark.parametrize("tensor", ["encoder.weight", "encoder.half"])
def test_weights_that_are_not_finite_are_named(
    tmp_path: Path, tensor: str, name: str, save: Callable[..., None], value: float
) -> None:
    state_dict = a_state_dict()
    state_dict[tensor].view(-1)[17] = value
    save(state_dict, tmp_path / name)
    with pytest.raises(WeightsError, match=rf"{name}: {tensor}: expected finite weights, got NaN or infinity"):
        read_state_dict(tmp_path / name)


def test_weights_beyond_float32_are_named(tmp_path: Path) -> None:
    torch.save({"w": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"w: expected finite weights, .*in float32"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(1).expand(1 << 20, 1 << 20),
        torch.zeros(3).as_strided((3, 1 << 50), (1, 0)),
        torch.empty(3, device="meta"),
    ],
    ids=["of stride 0", "of one stride 0", "meta"],
)
def test_tensors_that_the_file_does_not_hold_are_refused(tmp_path: Path, tensor: Tensor) -> None:
    torch.save({"w": tensor}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth: (w: expected a dense tensor|cannot be read)"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize("key", ["state_dict", "model", "ema"])
def test_a_whole_checkpoint_is_named(tmp_path: Path, key: str) -> None:
    torch.save({"epoch": 3, key: a_state_dict()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=rf"a dict under '{key}', as training programs save it; save that alone"):
        read_state_dict(tmp_path / "a.pth")


def test_a_uniform_module_prefix_is_dropped_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(a_state_dict("module."), tmp_path / "a.pth")
    with caplog.at_level(logging.INFO):
        assert is_equal(read_state_dict(tmp_path / "a.pth"), a_state_dict())
    assert "all names begin with 'module.'" in caplog.text


@pytest.mark.parametrize("other", ["steps", "modules.w", "module"])
def test_a_prefix_of_some_names_stays(tmp_path: Path, other: str) -> None:
    content = {"module.w": torch.zeros(2), other: torch.ones(1)}
    torch.save(content, tmp_path / "a.pth")
    assert is_equal(read_state_dict(tmp_path / "a.pth"), content)


def test_a_renamed_file_is_named(tmp_path: Path) -> None:
    torch.save(a_state_dict(), tmp_path / "a.safetensors")
    save_file(a_state_dict(), tmp_path / "a.pth")
    for name, found in (("a.safetensors", "rename it to .pth"), ("a.pth", "rename it to .safetensors")):
        with pytest.raises(WeightsError, match=rf"{name}: expected weights, got .*{found}"):
            read_state_dict(tmp_path / name)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "an HTML page"),
        (b"<html><body>404</body></html>", "an HTML page"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "an XML file"),
    ],
)
def test_what_was_downloaded_instead_is_named(tmp_path: Path, suffix: str, content: bytes, found: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"a\{suffix}: expected weights, got {found}"):
        read_state_dict(path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_only_regular_files_are_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(WeightsError, match=rf"{name}: expected a regular file, got a pipe"):
        read_state_dict(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(WeightsError, match=rf"{name}: expected a regular file, got a folder"):
        read_state_dict(tmp_path / name)


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(a_state_dict(), tmp_path / "a.pth")
    assert is_equal(read_state_dict(Path("~/a.pth")), a_state_dict())


def test_a_compressed_zip_is_refused(tmp_path: Path) -> None:
    torch.save(a_state_dict(), tmp_path / "stored.pth")
    with (
        zipfile.ZipFile(tmp_path / "stored.pth") as stored,
        zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    with pytest.raises(WeightsError, match=r"a\.pth: cannot be read \(BadZipFile\)"):
        read_state_dict(tmp_path / "a.pth")
