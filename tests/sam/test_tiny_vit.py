"""TinyViT against the encoder of the authors' package (Light HQ-SAM)."""

import warnings
from typing import Any

import pytest
import torch

from conftest import randomise
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.sam import TinyViTEncoder
from hqsam_lightning.sam.mobile_sam import from_mobile_sam
from hqsam_lightning.seeding import seeded_init

MOBILE_SAM: dict[str, Any] = {
    "embed_dims": (64, 128, 160, 320),
    "depths": (2, 2, 6, 2),
    "num_heads": (2, 4, 5, 10),
    "window_sizes": (7, 7, 14, 7),
}


def small(**changes: Any) -> TinyViTEncoder:
    size = {"embed_dims": (8, 16, 24, 32), "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 2)}
    arguments = {"image_size": 64, "patch_size": 16, "out_channels": 12, **size, "window_sizes": (4, 4, 4, 4)}
    return TinyViTEncoder(**{**arguments, **changes})


def official_encoder() -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package imports modules from where timm used to have them
        from segment_anything_hq.modeling import TinyViT
    return TinyViT(img_size=1024, in_chans=3, num_classes=1, mlp_ratio=4.0, drop_path_rate=0.0, **MOBILE_SAM)


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_features_equal_the_authors():
    ours = TinyViTEncoder(image_size=1024, patch_size=16, out_channels=256, **MOBILE_SAM).eval()
    official = official_encoder()
    randomise(official, seed=1)
    generator = torch.Generator().manual_seed(3)
    for name, value in official.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    official.eval()  # not before: the biases of its attention are looked up here
    whole = {f"image_encoder.{name}": value for name, value in official.state_dict().items()}
    state = {name.removeprefix("image_encoder."): value for name, value in from_mobile_sam(whole).items()}
    ours.load_state_dict(state, strict=True)
    images = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        final, early = ours.with_early(images)
        official_final, official_early = official(images)
    assert early.shape == (1, 160, 64, 64)
    assert relative(final, official_final) <= 1e-5
    assert relative(early, official_early[0].permute(0, 3, 1, 2)) <= 1e-5


@pytest.mark.parametrize("size", [64, 96, 256])
def test_shapes_and_gradients(size):
    encoder = small(image_size=size)
    final, early = encoder.with_early(torch.randn(2, 3, size, size))
    assert final.shape == (2, 12, size // 16, size // 16)
    assert early.shape == (2, encoder.early_dim, size // 16, size // 16)
    final.square().mean().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_the_stacked_early_feature_holds_every_cell_of_the_second_stage() -> None:
    encoder = small(early="stacked").eval()
    found = {}
    encoder.stages[1].register_forward_hook(lambda module, args, output: found.update(fine=output))
    with torch.no_grad():
        _, early = encoder.with_early(torch.randn(2, 3, 64, 64))
    fine = found["fine"]
    assert fine.shape == (2, 16, 8, 8)
    assert early.shape == (2, encoder.early_dim, 4, 4) == (2, 64, 4, 4)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert torch.equal(early[:, 2 * row + column :: 4], fine[:, :, row::2, column::2])


def test_another_frame_or_patch_size_is_refused():
    with pytest.raises(ConfigError, match=r"sam\.image_size: expected a multiple of 32 for TinyViT; got 80"):
        small(image_size=80)
    with pytest.raises(ConfigError, match=r"sam\.patch_size: expected 16, TinyViT's stride; got 8"):
        small(patch_size=8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": (1, 1, 1)}, r"sam\.encoder\.depths: expected four positive integers, one a stage; got \[1, 1, 1\]"),
        ({"window_sizes": (4, 4, 0, 4)}, r"sam\.encoder\.window_sizes: .* got \[4, 4, 0, 4\]"),
        (
            {"num_heads": (1, 2, 5, 2)},
            r"sam\.encoder\.num_heads: expected divisors of embed_dims .* got \[1, 2, 5, 2\]",
        ),
    ],
)
def test_stages_that_cannot_work_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**changes)


def test_a_change_of_weights_in_eval_mode_is_seen() -> None:
    """timm's own attention would go on with the biases of the first call, and with their graph."""
    encoder = small().eval()
    randomise(encoder, seed=1)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    for _ in range(2):
        before = encoder(images)
        before.sum().backward()
    other = small().eval()
    randomise(other, seed=3)
    encoder.load_state_dict(other.state_dict())
    assert not torch.allclose(encoder(images), before)
    assert torch.equal(encoder(images), other(images))


def test_batch_statistics_are_learnt_in_train_mode_alone() -> None:
    encoder = small()
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    together = encoder.train()(images)
    mean = encoder.patch_embed.conv1.bn.running_mean.clone()
    assert mean.abs().min() > 0
    assert not torch.allclose(encoder(images[:1]), together[:1], atol=1e-3), "a batch's statistics are its own"
    encoder.eval()
    mean = encoder.patch_embed.conv1.bn.running_mean.clone()
    torch.testing.assert_close(encoder(images[:1]), encoder(images)[:1])
    assert torch.equal(encoder.patch_embed.conv1.bn.running_mean, mean)


@torch.no_grad()
def test_bfloat16_is_near() -> None:
    with seeded_init("bfloat16"):
        encoder = small().eval()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    exact = encoder(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = encoder(images)
    assert 0 < relative(rough.float(), exact) < 0.05


@torch.no_grad()
def test_a_channels_last_copy_gives_the_same() -> None:
    encoder = small().eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    expected = encoder.with_early(images)
    found = encoder.to(memory_format=torch.channels_last).with_early(
        images.contiguous(memory_format=torch.channels_last)
    )
    assert all(relative(ours, theirs) <= 1e-5 for ours, theirs in zip(found, expected, strict=True))
