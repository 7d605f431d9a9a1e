"""CascadePSP behind SAM (table 4 of the paper), by its authors' package with their weights; nothing is trained."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hqsam_lightning.errors import ConfigError, WeightsError
from hqsam_lightning.heads.base import Head
from hqsam_lightning.sam.decoding import plain_masks
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.sam.state_dicts import WRAPPER, read_torch_file, require_state_dict
from hqsam_lightning.types import MaskLogits, PromptEmbeddings, SamFeatures

# beyond it a sigmoid is 0 or 1 in what follows
MOST_CERTAIN = 1e-4


class CascadePspHead(Head):
    """Refines SAM's masks in the input frame.

    Cheng et al., "CascadePSP", CVPR 2020; `pip install 'hqsam-lightning[cascadepsp]'`.

    Args:
        sam: has no effect.
        weights: folder of the authors' file, which they call ``model``; ``~`` is expanded.
        seed: has no effect.

    Raises:
        ConfigError: where the package is not installed.
        WeightsError: where the folder has no such file, or it is damaged, holds code, or is of another model.
    """

    outputs = ("hq",)
    needs_pixels = True

    def __init__(self, sam: FrozenSam, weights: str, seed: int = 0) -> None:
        super().__init__()
        if find_spec("segmentation_refinement") is None:
            raise ConfigError(
                "CascadePspHead: expected the package segmentation-refinement, found none; "
                "pip install 'hqsam-lightning[cascadepsp]'"
            )
        folder = Path(weights).expanduser()
        if not (folder / "model").is_file():
            raise WeightsError(
                f"variants.<name>.weights={weights}: expected a folder with CascadePSP's file 'model', found none; "
                "download it as segmentation-refinement's page says"
            )
        from segmentation_refinement import Refiner

        _require_weights(folder / "model")
        self.refiner = Refiner(model_folder=str(folder), download_and_check_model=False)
        self.refiner.model.requires_grad_(False)

    @torch.no_grad()
    def decode(
        self, sam: FrozenSam, features: SamFeatures, image_feature: Tensor | None, prompts: PromptEmbeddings
    ) -> MaskLogits:
        """Runs SAM, then CascadePSP on each of its masks; its logits are of the input frame's size, (n, 1, H, W)."""
        logits, iou = plain_masks(sam.mask_decoder, features, prompts)
        assert features.pixels is not None
        self.refiner.device = features.pixels.device
        self.refiner.model.to(features.pixels.device)
        size = features.pixels.shape[-2:]
        coarse = torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        refined = [
            self._refine(features.pixels[image], mask)
            for image, mask in zip(prompts.image_index, coarse[:, 0] > 0, strict=True)
        ]
        return MaskLogits(sam=logits, hq=torch.stack(refined), iou=iou)

    def _refine(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """Logits (1, H, W) of one mask (H, W) of an image (3, H, W)."""
        image = np.ascontiguousarray(pixels.permute(1, 2, 0).cpu().numpy())
        refined = self.refiner.refine(image, mask.cpu().numpy().astype(np.uint8) * 255, fast=False)
        probability = torch.from_numpy(refined).to(pixels.device)[None] / 255
        return torch.logit(probability, eps=MOST_CERTAIN)


def _require_weights(path: Path) -> None:
    """Reads the file before its authors' package does, which lets torch choose whether to run code in it."""
    from segmentation_refinement.models.psp.pspnet import RefinementModule

    remedy = "download it again, as segmentation-refinement's page says"
    found = require_state_dict(path, read_torch_file(path, remedy), remedy)
    with torch.device("meta"):
        own = {f"{WRAPPER}{name}": value.shape for name, value in RefinementModule().state_dict().items()}
    wrong = sorted(own.keys() ^ found.keys())
    wrong += sorted(name for name in own.keys() & found.keys() if own[name] != found[name].shape)
    if wrong:
        raise WeightsError(
            f"{path}: expected CascadePSP's {len(own)} tensors, whose names begin with {WRAPPER!r}; {len(wrong)} are "
            f"missing, not its own or of another shape (first: {wrong[0]}); {remedy}"
        )
