"""TinyViT as MobileSAM and Light HQ-SAM use it: timm's four stages, the last without down-sampling, and SAM's neck."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import Attention, ConvNorm, TinyVit
from torch import Tensor, nn

from hqsam_lightning.errors import ConfigError, choice_error
from hqsam_lightning.sam.early import EncoderWithEarly, check_frame

EARLY = ("merged", "stacked")


class TinyViTEncoder(EncoderWithEarly):
    """A convolutional stem and stage (stride 4), then three of window attention and convolutions (strides 8, 16, 16).

    It has BatchNorm: in train mode its statistics are the batch's.

    Args:
        image_size: side of the square input frame in pixels, a multiple of 32. A grid that is not whole windows is
            padded right and below, as in the original.
        patch_size: pixels of the input frame a cell of the embedding grid, 16.
        out_channels: channels C of the image embeddings.
        embed_dims: channels of the four stages.
        depths: blocks of the four stages.
        num_heads: attention heads of the four stages (the first has none and its number is not used).
        window_sizes: sides of the four stages' attention windows in cells (the first's is not used).
        early: the early feature. ``"merged"``, as in Light HQ-SAM: what the third stage begins with, E = embed_dims[2].
            ``"stacked"``: the second stage's output, each 2 x 2 of its cells stacked as channels, so that nothing of
            stride 8 is lost, E = 4 * embed_dims[1].

    Raises:
        ConfigError: naming the key whose value cannot work.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        out_channels: int,
        embed_dims: Sequence[int],
        depths: Sequence[int],
        num_heads: Sequence[int],
        window_sizes: Sequence[int],
        early: str = "merged",
    ) -> None:
        super().__init__()
        check_frame("TinyViT", image_size, patch_size)
        stages = {"embed_dims": embed_dims, "depths": depths, "num_heads": num_heads, "window_sizes": window_sizes}
        _check_stages(stages)
        if early not in EARLY:
            raise choice_error("sam.encoder.early", early, EARLY)
        vit = TinyVit(
            num_classes=0,
            drop_path_rate=0.0,
            **{name: tuple(values) for name, values in stages.items()},
        )
        vit.stages[3].downsample.conv2.conv.stride = (1, 1)
        for block in (block for stage in vit.stages[1:] for block in stage.blocks):
            block.attn.__class__ = _Attention
        for module in vit.modules():
            if isinstance(module, ConvNorm):
                module.__class__ = _FoldedConvNorm
        self.img_size = image_size
        self.early = early
        self.early_dim = embed_dims[2] if early == "merged" else 4 * embed_dims[1]
        self.patch_embed = vit.patch_embed
        self.stages = vit.stages
        self.neck = nn.Sequential(
            nn.Conv2d(embed_dims[3], out_channels, kernel_size=1, bias=False),
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )

    def with_early(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the encoder once and keeps the early feature on the way.

        Args:
            images: (B, 3, H, W) normalised.

        Returns:
            Final feature (B, C, h, w), and early feature (B, E, h, w).
        """
        # in this order of memory, no convolution or attention rearranges what the one before gave
        images = images.contiguous(memory_format=torch.channels_last)
        fine = self.stages[1](self.stages[0](self.patch_embed(images)))
        merged = self.stages[2].downsample(fine)
        hidden = self.stages[2].blocks(merged.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        early = merged if self.early == "merged" else nn.functional.pixel_unshuffle(fine, 2)
        return self.neck(self.stages[3](hidden)), early


class _Attention(Attention):
    """timm's attention without its cache of biases, which are of a shape that PyTorch has a fused CPU kernel for.

    The cache outlives a change of the weights (loading, averaging) and keeps a graph across backward passes; and the
    gradient of its indexing is summed in an order that threads decide.
    """

    def get_attention_biases(self, device: torch.device) -> Tensor:
        """The bias (1, heads, N, N) between each two of a window's N cells."""
        table = self.attention_biases.t()
        return nn.functional.embedding(self.attention_bias_idxs, table).permute(2, 0, 1).contiguous()[None]


class _FoldedConvNorm(ConvNorm):
    """timm's convolution and BatchNorm, in eval mode as the one convolution that they are together."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Transforms (B, C, H, W)."""
        if self.training:
            return super().forward(hidden)
        conv, norm = self.conv, self.bn
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        weight, bias = conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
        return nn.functional.conv2d(hidden, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _check_stages(stages: dict[str, Sequence[int]]) -> None:
    for name, values in stages.items():
        if len(values) != 4 or min(values) < 1:
            raise ConfigError(f"sam.encoder.{name}: expected four positive integers, one a stage; got {list(values)}")
    for width, heads in list(zip(stages["embed_dims"], stages["num_heads"], strict=True))[1:]:
        if width % heads:
            raise ConfigError(
                f"sam.encoder.num_heads: expected divisors of embed_dims {list(stages['embed_dims'])}; "
                f"got {list(stages['num_heads'])}"
            )
