"""Fused attention against segment-anything's eager attention, forward and backward."""

import copy
from functools import partial

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.sam import attention, build_sam, vit_encoder
from hqsam_lightning.sam.attention import FusedAttention, fuse_attention
from tests.conftest import DEVICES, randomise

CHUNKS, CHANNELS = attention._attend_by_chunks, attention._attend_by_channels
# the way to attend, elements of a chunk's bias (some queries; some heads; some images of 7 x 7), whether by products
KERNELS = {
    "channels": (CHANNELS, 1, False),
    "bias": (attention._attend_by_bias, 1, False),
    "some queries": (CHUNKS, 650, False),
    "some heads": (CHUNKS, 5000, False),
    "some images": (CHUNKS, 7500, False),
    "products": (CHUNKS, 650, True),
}


@pytest.fixture(params=sorted(KERNELS))
def kernel(request, monkeypatch):
    """Every way to attend, whatever the device and type; the last chunk is a shorter one."""
    attend, budget, by_products = KERNELS[request.param]
    for name in ("_attend_by_chunks", "_attend_by_channels", "_attend_by_bias"):
        monkeypatch.setattr(attention, name, attend)
    monkeypatch.setattr(attention, "BIAS", budget)
    monkeypatch.setattr(attention, "TOKENS", 2 * 49)
    if by_products:
        monkeypatch.setattr(attention, "BY_PRODUCTS", (torch.float64, torch.float32, torch.bfloat16))


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def make_attention(height: int, width: int, device: str) -> Attention:
    eager = Attention(dim=24, num_heads=3, use_rel_pos=True, input_size=(height, width))
    randomise(eager, seed=0)
    return eager.double().to(device)


def gradients(module, tokens):
    module.zero_grad()
    tokens = tokens.clone().requires_grad_()
    out = module(tokens)
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype, device=out.device).view_as(out)).sum().backward()
    return {"out": out.detach(), "in": tokens.grad} | {name: p.grad.clone() for name, p in module.named_parameters()}


@pytest.mark.parametrize("size", [(7, 7), (5, 9), (1, 1)])
def test_output_and_all_gradients_equal_eager_attention(kernel, size, device):
    eager = make_attention(*size, device)
    tokens = torch.randn(3, *size, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(device)
    expected, got = gradients(eager, tokens), gradients(FusedAttention(copy.deepcopy(eager)), tokens)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-9, atol=1e-11, msg=name)


def test_relative_positions_matter(kernel, device):
    """Else the test above could not fail for them."""
    eager = make_attention(6, 6, device)
    tokens = torch.randn(1, 6, 6, 24, dtype=torch.float64, device=device)
    with torch.no_grad():
        before = FusedAttention(eager)(tokens)
        for position in (eager.rel_pos_h, eager.rel_pos_w):
            old = position.clone()
            position.zero_()
            assert (FusedAttention(eager)(tokens) - before).abs().max() > 1e-3
            position.copy_(old)


def test_whole_encoder_with_padded_windows_equals_eager(kernel, device):
    """A grid of 5 x 5 in windows of 3, and a global block whose table is longer than the grid."""
    encoder = vit_encoder(80, 16, 8, embed_dim=16, depth=3, num_heads=2, window_size=3, global_attn_indexes=[1])
    randomise(encoder, seed=2)
    encoder.to(device)
    fused = copy.deepcopy(encoder)
    fuse_attention(fused)
    assert fused.state_dict().keys() == encoder.state_dict().keys()
    images = torch.randn(2, 3, 80, 80, generator=torch.Generator().manual_seed(3)).to(device)
    with torch.no_grad():
        expected = encoder(images)
        assert (fused(images) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_fusing_copies_no_weight():
    encoder = vit_encoder(64, 16, 8, embed_dim=16, depth=2, num_heads=2, window_size=2, global_attn_indexes=[1])
    before = {name: parameter.data_ptr() for name, parameter in encoder.named_parameters()}
    fuse_attention(encoder)
    assert {name: parameter.data_ptr() for name, parameter in encoder.named_parameters()} == before


def test_autocast_keeps_the_low_precision(kernel, device):
    eager = make_attention(6, 6, device).float()
    tokens = torch.randn(2, 6, 6, 24, generator=torch.Generator().manual_seed(4)).to(device)
    with torch.no_grad(), torch.autocast(device, torch.bfloat16):
        got = FusedAttention(eager)(tokens)
    assert got.dtype == torch.bfloat16
    with torch.no_grad():
        expected = eager(tokens)
    assert (got.float() - expected).abs().max() <= 0.02 * expected.abs().max()


def build(choice: str):
    encoder = partial(vit_encoder, embed_dim=16, depth=2, num_heads=2, window_size=2, global_attn_indexes=[1])
    return build_sam("x", 64, 16, encoder, 32, 64, "random", "unused", attention=choice)


@pytest.mark.parametrize(("choice", "kind"), [("fused", FusedAttention), ("eager", Attention)])
def test_config_chooses_and_the_weights_are_the_same(choice, kind):
    sam = build(choice)
    assert isinstance(sam.sam.image_encoder, ImageEncoderViT)
    assert all(isinstance(block.attn, kind) for block in sam.sam.image_encoder.blocks)
    assert sam.weights_sha256 == build("eager").weights_sha256


def test_unknown_attention_is_refused():
    with pytest.raises(ConfigError, match=r"^sam\.attention: .*'flash'"):
        build("flash")
