"""Formats that hold weights: the authors' files, and safetensors with the config."""

from __future__ import annotations

from pathlib import Path

import torch
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor

from hqsam_lightning.errors import ExportError
from hqsam_lightning.export.base import Format
from hqsam_lightning.export.samples import Sample, predict
from hqsam_lightning.heads.official import OFFICIAL_PREFIX, authors_refusal, to_official
from hqsam_lightning.inference.folder import on_cpu, require_origin
from hqsam_lightning.inference.loading import build_sam_of
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.inference.whole_file import write_whole_model
from hqsam_lightning.sam import TinyViTEncoder
from hqsam_lightning.sam.mobile_sam import to_mobile_sam
from hqsam_lightning.sam.state_dicts import read_state_dict
from hqsam_lightning.storage.files import replacing
from hqsam_lightning.training.weights import OFFICIAL_VARIANT, open_weights


class Official(Format):
    """The authors' whole model, as `segment_anything_hq.sam_model_registry` reads it."""

    name = "official"
    suffix = ".pth"

    def refusal(self, model: HQSam) -> str | None:
        """The authors have one head, and on TinyViT one early feature."""
        encoder = model.sam.sam.image_encoder
        if not isinstance(encoder, ImageEncoderViT | TinyViTEncoder):
            return f"the authors' models have a ViT or TinyViT; {model.sam.name} has {type(encoder).__name__}"
        if isinstance(encoder, TinyViTEncoder) and encoder.early != "merged":
            return f"the authors' TinyViT gives a head its merged early feature; this SAM gives early={encoder.early}"
        refused = authors_refusal(model.head)
        return None if refused is None else f"the authors' model cannot hold this: {refused}"

    def tensors(self, model: HQSam) -> dict[str, Tensor]:
        """All tensors of the file."""
        return official_state(model)

    def write(self, model: HQSam, out: Path, multimask_output: bool) -> None:
        """Writes a bare state dict."""
        with replacing(out) as file:
            torch.save(self.tensors(model), file)

    def read(self, out: Path, model: HQSam, multimask_output: bool, sample: Sample) -> list[Tensor]:
        """The file's SAM and head."""
        sam = build_sam_of({**require_origin(model, "export").sam, "weights": str(out)})
        head = open_weights(str(out), "out")[0].build(OFFICIAL_VARIANT, sam)
        return predict(HQSam(sam, head, model.output), sample, multimask_output)


class OfficialHead(Official):
    """The decoder alone, as the authors' training script saves it."""

    name = "official_head"

    def tensors(self, model: HQSam) -> dict[str, Tensor]:
        """The mask decoder's, SAM's part of it included."""
        return {
            name.removeprefix(OFFICIAL_PREFIX): value
            for name, value in official_state(model).items()
            if name.startswith(OFFICIAL_PREFIX)
        }

    def read(self, out: Path, model: HQSam, multimask_output: bool, sample: Sample) -> list[Tensor]:
        """The file's head on the model's SAM, after the decoder's tensors were compared."""
        held = read_state_dict(out, "out")
        missing = self.tensors(model).keys() ^ held.keys()
        if missing:
            raise ExportError(f"{out}: expected the tensors of the mask decoder; {min(missing)} is missing or not its")
        head = open_weights(str(out), "out")[0].build(OFFICIAL_VARIANT, model.sam)
        return predict(HQSam(model.sam, head, model.output), sample, multimask_output)


class Safetensors(Format):
    """SAM, the head and the config in one file, which `HQSam.from_pretrained` takes."""

    name = "safetensors"
    suffix = ".safetensors"

    def refusal(self, model: HQSam) -> str | None:
        """It holds every head."""
        return None

    def write(self, model: HQSam, out: Path, multimask_output: bool) -> None:
        """Writes tensors and config."""
        write_whole_model(model, out)

    def read(self, out: Path, model: HQSam, multimask_output: bool, sample: Sample) -> list[Tensor]:
        """The file as a model; the code that it names is that of the model, which is loaded."""
        return predict(HQSam.from_pretrained(out, trusted=True), sample, multimask_output)


def official_state(model: HQSam) -> dict[str, Tensor]:
    """All tensors of a model with an HQ head, under the authors' names."""
    state = model.sam.sam.state_dict()
    if isinstance(model.sam.sam.image_encoder, TinyViTEncoder):
        state = to_mobile_sam(state)
    return on_cpu({**state, **to_official(model.head.state_dict())})
