"""Methods over the frozen encoder, one file each."""

from hqsam_lightning.heads.base import Head
from hqsam_lightning.heads.cascade_psp import CascadePspHead
from hqsam_lightning.heads.context_tokens import ContextTokensHead
from hqsam_lightning.heads.encoder_tuning import AdapterHead, LoraHead
from hqsam_lightning.heads.finetuned import TunedDecoderHead, TunedSamHead, TunedTokenHead
from hqsam_lightning.heads.hq import HQHead, TokenProductHead
from hqsam_lightning.heads.refiner import RefinerHead
from hqsam_lightning.heads.sam import SamHead

__all__ = [
    "AdapterHead",
    "CascadePspHead",
    "ContextTokensHead",
    "HQHead",
    "Head",
    "LoraHead",
    "RefinerHead",
    "SamHead",
    "TokenProductHead",
    "TunedDecoderHead",
    "TunedSamHead",
    "TunedTokenHead",
]
