"""A SAM gets its weights at random, from a file, or from where they are published, and never quietly the wrong ones."""

import hashlib
import logging
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hqsam_lightning.errors import ConfigError, WeightsError
from hqsam_lightning.sam import FrozenSam, TinyViTEncoder, build_sam, vit_encoder

TINY: dict[str, Any] = {
    "name": "tiny",
    "image_size": 64,
    "patch_size": 16,
    "embed_dim": 32,
    "mlp_dim": 64,
    "encoder": partial(vit_encoder, embed_dim=16, depth=2, num_heads=2, window_size=2, global_attn_indexes=[1]),
    "cache_dir": "unused",
}


def build(**changes: Any) -> FrozenSam:
    return build_sam(**{**TINY, "weights": "random", **changes})


@pytest.fixture
def other_weights() -> dict[str, torch.Tensor]:
    return {key: value + 1 for key, value in build().sam.state_dict().items()}


@pytest.fixture
def served(tmp_path: Path, other_weights: dict[str, torch.Tensor]) -> Iterator[dict[str, Any]]:
    folder = tmp_path / "served"
    folder.mkdir()
    torch.save(other_weights, folder / "tiny.pth")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None  # type: ignore[method-assign]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sha256 = hashlib.sha256((folder / "tiny.pth").read_bytes()).hexdigest()
    yield {"url": f"http://127.0.0.1:{server.server_address[1]}/tiny.pth", "sha256": sha256}
    server.shutdown()
    server.server_close()


def test_random_weights_are_the_same_at_every_call() -> None:
    state = torch.random.get_rng_state()
    first, second = build(), build()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.weights_sha256 == second.weights_sha256
    assert first.weights_sha256 != build(name="another").weights_sha256


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_of_a_file(tmp_path: Path, other_weights: dict[str, torch.Tensor], suffix: str) -> None:
    path = tmp_path / f"sam.{suffix}"
    (torch.save if suffix == "pth" else save_file)(other_weights, path)
    sam = build(weights=str(path))
    assert all(torch.equal(value, other_weights[key]) for key, value in sam.sam.state_dict().items())
    assert sam.weights_sha256 != build().weights_sha256


def test_published_weights_are_fetched_and_verified(
    tmp_path: Path, served: dict[str, Any], other_weights: dict[str, torch.Tensor]
) -> None:
    sam = build(weights="published", published=served, cache_dir=str(tmp_path / "cache"))
    assert all(torch.equal(value, other_weights[key]) for key, value in sam.sam.state_dict().items())
    with pytest.raises(WeightsError, match=r"tiny\.pth"):
        build(weights="published", published={**served, "sha256": "0" * 64}, cache_dir=str(tmp_path / "other"))


def test_another_architectures_weights_are_refused(tmp_path: Path, other_weights: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "sam.pth"
    torch.save(other_weights, path)
    with pytest.raises(WeightsError, match=r"sam\.pth: expected the weights of this SAM; \d+ of its \d+ tensors"):
        build(weights=str(path), embed_dim=64)


@pytest.mark.parametrize("prefix", ["model.", "sam.", "_orig_mod."])
def test_a_prefix_is_named(tmp_path: Path, other_weights: dict[str, torch.Tensor], prefix: str) -> None:
    torch.save({f"{prefix}{name}": value for name, value in other_weights.items()}, tmp_path / "sam.pth")
    with pytest.raises(WeightsError, match=rf"sam\.pth: .*its names begin with '{prefix}': save it without"):
        build(weights=str(tmp_path / "sam.pth"))


def test_a_parallel_models_weights_are_taken(tmp_path: Path, other_weights: dict[str, torch.Tensor]) -> None:
    torch.save({f"module.{name}": value for name, value in other_weights.items()}, tmp_path / "sam.pth")
    torch.save(other_weights, tmp_path / "bare.pth")
    read = [build(weights=str(tmp_path / name)).weights_sha256 for name in ("sam.pth", "bare.pth")]
    assert read[0] == read[1]


def test_a_decoder_alone_is_named(tmp_path: Path) -> None:
    torch.save(build().mask_decoder.state_dict(), tmp_path / "epoch_11.pth")
    with pytest.raises(WeightsError, match=r"epoch_11\.pth: .*a mask decoder alone.*give it to a head"):
        build(weights=str(tmp_path / "epoch_11.pth"))


def test_what_is_left_out_is_logged(
    tmp_path: Path, other_weights: dict[str, torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    more = {"mask_decoder.hf_token.weight": torch.zeros(1, 32), "zz": torch.zeros(1)}
    torch.save({**other_weights, **more}, tmp_path / "sam_hq.pth")
    with caplog.at_level(logging.INFO):
        build(weights=str(tmp_path / "sam_hq.pth"))
    assert "2 of its tensors are not SAM's and are left out (first: mask_decoder.hf_token.weight)" in caplog.text


@pytest.mark.parametrize("change", [torch.Tensor.int, torch.Tensor.bool, lambda value: value[None]])
def test_another_type_or_shape_is_refused(tmp_path: Path, other_weights: dict[str, torch.Tensor], change) -> None:
    name = "mask_decoder.iou_token.weight"
    torch.save({**other_weights, name: change(other_weights[name])}, tmp_path / "sam.pth")
    with pytest.raises(WeightsError, match=rf"1 have another shape or type \(first: {name}\)"):
        build(weights=str(tmp_path / "sam.pth"))


def test_values_that_cannot_work_are_named() -> None:
    with pytest.raises(ConfigError, match=r"sam\.weights: expected 'random' or a file's path.* tiny has no published"):
        build(weights="published")
    with pytest.raises(ConfigError, match=r"sam\.image_size: expected a multiple of sam\.patch_size \(16\); got 60"):
        build(image_size=60)
    with pytest.raises(ConfigError, match=r"sam\.encoder\.global_attn_indexes: expected at least one block"):
        build(encoder=partial(TINY["encoder"], global_attn_indexes=[]))


def test_frozen_means_frozen() -> None:
    sam = build().train()
    assert not any(module.training for module in sam.modules())
    assert not any(parameter.requires_grad for parameter in sam.parameters())
    features = sam.encode(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert not features.image_embeddings.requires_grad
    assert features.image_embeddings.shape == (2, 32, 4, 4)
    assert features.early.shape == (2, 16, 4, 4)
    assert features.dense_pe.shape == (1, 32, 4, 4)


def test_batch_norm_is_frozen_too() -> None:
    stages = {"embed_dims": [4, 8, 16, 24], "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    sam = build(encoder=partial(TinyViTEncoder, **stages, window_sizes=[4, 4, 4, 4])).train()
    assert sam.early_dim == 16
    before = {key: value.clone() for key, value in sam.sam.state_dict().items()}
    images = torch.randint(0, 256, (3, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    together, alone = sam.encode(images), sam.encode(images[1:2])
    torch.testing.assert_close(together.image_embeddings[1:2], alone.image_embeddings, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.early[1:2], alone.early, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in sam.sam.state_dict().items())
