"""A token's way through the last convolution of a fusion against the convolution itself."""

import torch
from torch import nn

from hqsam_lightning.heads.fusion import conv_logits


def test_logits_and_gradients_are_those_of_convolution_then_product() -> None:
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(5, 4, 3, padding=1).double()
    token, feature = (torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in ((3, 4), (3, 5, 7, 9)))
    results = []
    for way in (conv_logits, lambda t, f, c: (c(f) * t[:, :, None, None]).sum(1, keepdim=True)):
        inputs = [token.clone().requires_grad_(), feature.clone().requires_grad_()]
        logits = way(*inputs, conv)
        weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view(logits.shape)
        results.append([logits.detach(), *torch.autograd.grad((logits * weights).sum(), [*inputs, *conv.parameters()])])
    for expected, got in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)
