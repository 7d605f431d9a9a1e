"""Weights inside the package: written as they are read, and never used when they are not what was written."""

import copy
import hashlib
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from conftest import randomise
from hqsam_lightning.errors import ConfigError, StorageError, WeightsError
from hqsam_lightning.sam import FrozenSam, TinyViTEncoder, build_sam, shipped
from hqsam_lightning.sam.shipped import save_shipped

FILE = "sam_tiny.safetensors"
SIZES = {"depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_sizes": [4, 4, 4, 4]}


def build(**changes: Any) -> FrozenSam:
    arguments = {
        "name": "tiny",
        "image_size": 64,
        "patch_size": 16,
        "embed_dim": 32,
        "mlp_dim": 64,
        "encoder": partial(TinyViTEncoder, embed_dims=[4, 8, 16, 24], **SIZES),
        "weights": "embedded",
        "embedded": FILE,
        "cache_dir": "unused",
    }
    return build_sam(**{**arguments, **changes})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the package's folder of weights."""
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture
def trained() -> torch.nn.Module:
    sam = copy.deepcopy(build(weights="random").sam)
    randomise(sam, seed=4)
    sam.image_encoder.patch_embed.conv1.bn.running_mean.fill_(0.1)
    sam.image_encoder.patch_embed.conv1.bn.num_batches_tracked.fill_(70_001)
    return sam


def test_what_is_saved_is_loaded(folder: Path, trained: torch.nn.Module) -> None:
    sha256 = save_shipped(trained, folder / FILE)
    assert hashlib.sha256((folder / FILE).read_bytes()).hexdigest() == sha256
    stored = [value for value in load_file(folder / FILE).values() if value.is_floating_point()]
    assert {value.dtype for value in stored} == {torch.float16}
    sam = build()
    expected = trained.state_dict()
    for name, value in sam.sam.state_dict().items():
        assert value.dtype == expected[name].dtype, name
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-6)
        assert torch.equal(value, expected[name].half().float() if value.is_floating_point() else expected[name]), name
    assert sam.weights_sha256 == build().weights_sha256 != build(weights="random").weights_sha256
    assert not any(parameter.requires_grad for parameter in sam.parameters())


def test_the_same_weights_make_the_same_file(folder: Path, trained: torch.nn.Module) -> None:
    assert save_shipped(trained, folder / FILE) == save_shipped(copy.deepcopy(trained), folder / "again.safetensors")
    assert load_file(folder / FILE)["image_encoder.patch_embed.conv1.bn.num_batches_tracked"] == 70_001


def test_the_hash_is_for_sha256sum(folder: Path, trained: torch.nn.Module) -> None:
    save_shipped(trained, folder / FILE)
    subprocess.run(["sha256sum", "--check", "sam_tiny.sha256"], cwd=folder, check=True, capture_output=True)


def test_a_missing_file_or_hash_is_named(folder: Path, trained: torch.nn.Module) -> None:
    with pytest.raises(
        WeightsError, match=r"sam_tiny\.safetensors: expected a file that the package ships, found none"
    ):
        build()
    save_shipped(trained, folder / FILE)
    (folder / "sam_tiny.sha256").unlink()
    with pytest.raises(WeightsError, match=r"sam_tiny\.sha256: expected a file .* sam\.weights=random"):
        build()


def test_a_changed_file_is_refused(folder: Path, trained: torch.nn.Module) -> None:
    sha256 = save_shipped(trained, folder / FILE)
    content = bytearray((folder / FILE).read_bytes())
    content[-1] ^= 1
    (folder / FILE).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"sam_tiny\.safetensors: expected SHA-256 {sha256}, got "):
        build()
    (folder / "sam_tiny.sha256").write_text("")
    with pytest.raises(WeightsError, match=r"sam_tiny\.safetensors: expected SHA-256"):
        build()


def test_another_architectures_weights_are_refused(folder: Path, trained: torch.nn.Module) -> None:
    save_shipped(trained, folder / FILE)
    with pytest.raises(WeightsError, match=r"sam_tiny\.safetensors: expected the weights of this SAM"):
        build(embed_dim=64)


def test_a_sam_without_shipped_weights_says_so() -> None:
    with pytest.raises(ConfigError, match=r"sam\.weights: expected .* because tiny ships none"):
        build(embedded=None)


def test_weights_that_float16_cannot_hold_are_not_written(folder: Path, trained: torch.nn.Module) -> None:
    trained.mask_decoder.iou_token.weight.data[0, 0] = 1e5
    with pytest.raises(WeightsError, match=r"mask_decoder\.iou_token\.weight: expected .* finite in float16"):
        save_shipped(trained, folder / FILE)
    assert not list(folder.iterdir())


def test_the_folder_is_the_packages() -> None:
    assert (shipped.FOLDER / "__init__.py").is_file()


def test_a_copy_elsewhere_carries_its_checksum(folder: Path, trained: torch.nn.Module) -> None:
    save_shipped(trained, folder / FILE)
    path = folder / "elsewhere.safetensors"
    content = bytearray((folder / FILE).read_bytes())
    path.write_bytes(content)
    assert build(weights=str(path)).weights_sha256 == build().weights_sha256
    for place in (-1, -999, len(content) // 2):
        changed = bytearray(content)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(WeightsError, match=r"elsewhere\.safetensors: .*(checksum|finite)"):
            build(weights=str(path))


def test_a_disk_that_cannot_be_written_is_named(folder: Path, trained: torch.nn.Module) -> None:
    (folder / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/sam\.safetensors"):
        save_shipped(trained, folder / "file" / "sam.safetensors")
