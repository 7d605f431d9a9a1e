"""The fused norm against segment-anything's own, and that it takes its place without copying weights."""

import copy

import pytest
import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import nn

from hqsam_lightning.sam.layers import ChannelNorm, fuse_norms
from tests.conftest import randomise


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_output_and_gradients_are_segment_anythings(memory_format: torch.memory_format) -> None:
    theirs = LayerNorm2d(6)
    randomise(theirs, seed=0)
    ours = nn.Sequential(copy.deepcopy(theirs))
    fuse_norms(ours)
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(2, 6, 5, 4, dtype=torch.float64, generator=generator).to(memory_format=memory_format)
    results = []
    for norm in (theirs.double(), ours.double()):
        x = inputs.clone().requires_grad_()
        out = norm(x)
        (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)).sum().backward()
        results.append([out.detach(), x.grad, *(parameter.grad for parameter in norm.parameters())])
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)


def test_norms_are_replaced_at_every_depth_with_their_parameters() -> None:
    model = nn.Sequential(LayerNorm2d(3, eps=0.5), nn.Sequential(nn.GELU(), LayerNorm2d(4)))
    before = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    fuse_norms(model)
    assert [type(module) for module in (model[0], model[1][1])] == [ChannelNorm, ChannelNorm]
    assert model[0].eps == 0.5
    assert {name: parameter.data_ptr() for name, parameter in model.named_parameters()} == before
