"""Pictures of where SAM's output token and the HQ token look (figure 6 of the paper)."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import cv2
import numpy as np
import pandas as pd
from torch import Tensor

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.table import Row
from hqsam_lightning.heads import HQHead
from hqsam_lightning.sam.attention_maps import watch_token_attention
from hqsam_lightning.training.callbacks.panels import ImagePanels, Panel, image_of, make_panel
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.types import Batch

OUTPUT_TOKEN = 1
"""Place of the single mask's token among the decoder's tokens, behind the IoU token."""
HQ_TOKEN = 5
"""Place of the HQ token, behind SAM's four mask tokens."""


class AttentionPanels(ImagePanels):
    """As `ImagePanels`, with the two tokens' attention to the image beside the masks.

    A map is the last decoder layer's cross-attention, a mean over its heads, as a share of its own greatest value. It
    is stretched from the embedding grid to the photo. Arguments and errors are those of `ImagePanels`.
    """

    def judged(self, module: HQSamModule) -> Row:
        """As of `ImagePanels`.

        Raises:
            ConfigError: also where the variant has no HQ token.
        """
        judged = super().judged(module)
        head = module.heads[judged[0]]
        if not isinstance(head, HQHead):
            tokens = [name for name, head in module.heads.items() if isinstance(head, HQHead)]
            raise ConfigError(
                f"callbacks.panels.variant: expected a variant with an HQ token (here: {', '.join(tokens) or 'none'}), "
                f"got {judged[0]}, a {type(head).__name__}"
            )
        return judged

    def make(
        self, module: HQSamModule, batch: Batch, row: int, shown: dict[Row, Tensor], scored: pd.DataFrame
    ) -> Panel:
        """Makes the panel of one mask, running its image once more."""
        head = cast(HQHead, module.heads[self.judged(module)[0]])
        panel = make_panel(batch, row, shown, scored, module.scorer)
        features = module.sam.encode(image_of(batch, row)[None])
        (group,) = [group for group in batch.prompts if row in group.rows]
        prompts = module.sam.encode_prompts([group.only(row)], batch.image_index.new_zeros(row + 1))
        with watch_token_attention(module.sam.mask_decoder) as maps:
            head.decode(module.sam, features, head.image_feature(features), prompts[0])
        height, width = features.image_embeddings.shape[-2:]
        grids = maps[0][0].unflatten(-1, (height, width)).float().cpu().numpy()
        looks = {"output token looks": grids[OUTPUT_TOKEN], "HQ token looks": grids[HQ_TOKEN]}
        return replace(panel, masks=panel.masks | {name: _stretch(grid, panel) for name, grid in looks.items()})


def _stretch(grid: np.ndarray, panel: Panel) -> np.ndarray:
    height, width = panel.image.shape[:2]
    return cv2.resize(grid / grid.max(), (width, height), interpolation=cv2.INTER_LINEAR)
