"""The HQ token after a scaled dot product with SAM's output token (table 2 of the paper)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hqsam_lightning.heads.hq import HQHead
from hqsam_lightning.sam.decoding import DecoderState


class TokenProductHead(HQHead):
    """Lets the HQ token attend to SAM's output token and to itself before its MLP.

    The paper names the scaled dot product of the two tokens without a formula. This is attention with the HQ token as
    query and both tokens as keys and values; it learns nothing beyond what `HQHead` does. Arguments are those of
    `HQHead`.
    """

    def mask_token(self, state: DecoderState) -> Tensor:
        """The mix (n, C) of both tokens that the HQ token asks for."""
        token = state.extra_tokens[:, :1]
        both = torch.cat([state.mask_tokens[:, :1], token], dim=1)
        return F.scaled_dot_product_attention(token, both, both)[:, 0]
