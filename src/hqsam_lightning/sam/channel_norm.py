"""LayerNorm over channels by PyTorch's fused kernel; equal to segment-anything's `LayerNorm2d` and much faster."""

from __future__ import annotations

from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelNorm(LayerNorm2d):
    """segment-anything's norm of (B, C, H, W) over C, with its parameters and their names.

    segment-anything takes six elementwise passes, each of which autograd keeps a copy of. The fused kernel wants the
    channels last in memory, and leaves them so: the convolutions around it then work in that format too.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalises each pixel's channels."""
        last = x.permute(0, 2, 3, 1)
        return F.layer_norm(last, last.shape[-1:], self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


def fuse_norms(model: nn.Module) -> None:
    """Sets a `ChannelNorm` in every `LayerNorm2d`'s place; no weight is copied or renamed."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, LayerNorm2d) and not isinstance(child, ChannelNorm):
                norm = ChannelNorm(len(child.weight), child.eps)
                norm.weight, norm.bias = child.weight, child.bias
                setattr(module, name, norm)
