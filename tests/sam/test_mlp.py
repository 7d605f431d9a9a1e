"""The chunked MLP against segment-anything's own."""

import copy

import pytest
import torch
from segment_anything.modeling.common import MLPBlock
from torch import nn

from hqsam_lightning.sam import layers, vit_encoder
from hqsam_lightning.sam.layers import ChunkedMlp, chunk_mlps
from tests.conftest import randomise


@pytest.mark.parametrize("tokens_at_a_time", [1, 7, 1000])
def test_output_and_gradients_are_segment_anythings(tokens_at_a_time: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "TOKENS", tokens_at_a_time)
    theirs = MLPBlock(4, 9, nn.GELU).double()
    randomise(theirs, seed=0)
    inputs = torch.randn(2, 3, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    results = []
    for module in (theirs, ChunkedMlp(copy.deepcopy(theirs))):
        tokens = inputs.clone().requires_grad_()
        out = module(tokens)
        (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
        results.append({"out": out.detach(), "in": tokens.grad} | {n: p.grad for n, p in module.named_parameters()})
    assert results[0].keys() == results[1].keys()
    for name, expected in results[0].items():
        torch.testing.assert_close(results[1][name], expected, rtol=1e-10, atol=1e-12)


def test_chunking_copies_no_weight() -> None:
    encoder = vit_encoder(64, 16, 8, embed_dim=16, depth=2, num_heads=2, window_size=2, global_attn_indexes=[1])
    before = {name: parameter.data_ptr() for name, parameter in encoder.named_parameters()}
    chunk_mlps(encoder)
    assert all(isinstance(block.mlp, ChunkedMlp) for block in encoder.blocks)
    assert {name: parameter.data_ptr() for name, parameter in encoder.named_parameters()} == before
