"""A SAM and a head trained on it, as one model to predict with."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hqsam_lightning.errors import choice_error
from hqsam_lightning.heads import Head, HQHead, SamHead
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.sam.decoding import ALL_MASKS
from hqsam_lightning.types import PromptGroup, SamFeatures


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: what `hqsam_lightning.inference.folder` writes beside its weights.

    Attributes:
        sam: config of SAM, as plain values with ``_target_``.
        head: config of the head, likewise; None for plain SAM.
        facts: of the run that trained the head, for the model card.
    """

    sam: Mapping[str, Any]
    head: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class HQSam(nn.Module):
    """A frozen SAM and a head, in eval mode.

    Args:
        sam: the frozen model.
        head: trained on it; None is plain SAM.
        output: which logits are masks where a call does not say: "sam", "hq" or "sum" (SAM + HQ, the paper's
            and the released predictor's); None takes "sum" where the head has it, otherwise its first.
        origin: what the model was built from; a model without one cannot be saved.

    Raises:
        ConfigError: the head has no such output.
    """

    mask_threshold: float = 0.0
    image_format: str = "RGB"

    def __init__(
        self, sam: FrozenSam, head: Head | None = None, output: str | None = None, origin: Origin | None = None
    ) -> None:
        super().__init__()
        self.sam = sam
        self.head = SamHead() if head is None else head
        outputs = self.head.outputs
        if output is not None and output not in outputs:
            raise choice_error("output", output, outputs)
        self.output = output or ("sum" if "sum" in outputs else outputs[0])
        self.origin = origin
        self.eval()

    @classmethod
    def from_pretrained(
        cls,
        where: str | Path,
        *,
        device: str | torch.device = "cpu",
        output: str | None = None,
        sam: str | None = None,
        sam_weights: str | Path | None = None,
        precision: str | None = None,
        cache_dir: str | Path | None = None,
        revision: str | None = None,
        trusted: bool = False,
    ) -> HQSam:
        """Builds a model and loads its weights.

        Args:
            where: a name ("nano", "nano_vit", "vit_tiny", "vit_b", "vit_l" or "vit_h" for plain SAM, "hq_nano" or
                "hq_nano_vit" for the heads that the package ships, "hq_vit_tiny", "hq_vit_b", "hq_vit_l" or "hq_vit_h"
                for the authors' HQ-SAM); the folder of a run, one of its checkpoints, or either with ``::VARIANT``; a
                folder of `save_pretrained`, or of transformers' SamModel or SamHQModel; a file of SAM or HQ-SAM
                (``.pth``, ``.pt``, ``.safetensors``); or a repository ``ORG/NAME`` of the Hugging Face Hub.
            device: to put it on.
            output: see `HQSam`; "sam" leaves the head out. None takes what a run has chosen (its
                `evaluation.choose_output`), what a run or folder was evaluated by, otherwise SAM + HQ.
            sam: name of a SAM of conf/sam, where a file's sizes do not tell.
            sam_weights: file of SAM's weights, where they are not the published ones.
            precision: of the image encoder, "fp32", "bf16" or "fp16".
            cache_dir: of downloads; None is ``HQSAM_CACHE`` or ``~/.cache/hqsam_lightning``.
            revision: branch, tag or commit of a repository.
            trusted: whether a folder or repository may name code outside of this package, which is then run.

        Raises:
            HQSamError: there is no such model, or a file is missing, damaged, or of another SAM.
        """
        from hqsam_lightning.inference.loading import Options, load

        options = Options(sam, sam_weights, precision, output, cache_dir, trusted, revision)
        return load(where, options).to(device)

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes a folder that `from_pretrained` loads: the head alone, and a model card.

        Raises:
            HQSamError: it is plain SAM, or a file cannot be written.
        """
        from hqsam_lightning.inference.folder import write_folder

        write_folder(self, Path(folder).expanduser())

    def push_to_hub(self, repository: str, **options: Any) -> str:
        """Uploads what `save_pretrained` writes.

        Args:
            repository: ``ORG/NAME``, created if missing.
            options: of `huggingface_hub.HfApi.create_repo`, such as ``private`` and ``token``.

        Returns:
            Address of the commit.
        """
        from hqsam_lightning.inference.hub import upload

        return upload(self, repository, **options)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.sam.device

    @property
    def image_size(self) -> int:
        """Side of the square input frame, in pixels."""
        return self.sam.image_size

    @property
    def image_encoder(self) -> nn.Module:
        """SAM's image encoder; code written for segment-anything asks it for `img_size`."""
        return self.sam.sam.image_encoder

    def forward(self, batched_input: Sequence[Mapping[str, Any]], multimask_output: bool) -> list[dict[str, Any]]:
        """Predicts masks of several images, with segment-anything's names.

        Args:
            batched_input: for each image its ``image`` (3, H, W), resized to the input frame; its ``original_size``
                (H0, W0); and of its N prompts, in pixels of the input frame, ``boxes`` (N, 4), ``point_coords``
                (N, K, 2) with ``point_labels`` (N, K), and ``mask_inputs`` (N, 1, 4h, 4w), as far as there are.
            multimask_output: see `decode`.

        Returns:
            For each image, ``masks`` (N, M, H0, W0) bool, ``iou_predictions`` (N, M) and ``low_res_logits``
            (N, M, 4h, 4w).

        Raises:
            PromptError: an image or a prompt is missing or has a wrong shape.
        """
        from hqsam_lightning.inference.batched_input import predict_records

        return predict_records(self, batched_input, multimask_output)

    def plain(self) -> HQSam:
        """The same SAM without the head; it can decode this model's features where the head has no encoder."""
        origin = None if self.origin is None else Origin(self.origin.sam)
        return HQSam(self.sam, origin=origin)

    @property
    def is_plain_sam(self) -> bool:
        """Whether there is no trained head."""
        return isinstance(self.head, SamHead)

    @torch.no_grad()
    def encode(self, frames: Tensor) -> SamFeatures:
        """Features that the head decodes.

        Args:
            frames: (B, 3, H, W) RGB values 0 to 255 in the input frame, uint8 or float32; padding has the mean of
                SAM's normalisation.
        """
        if self.head.own_encoder is not None:
            return self.sam.encode_with(self.head.own_encoder, frames)
        return self.sam.encode(frames)

    @torch.no_grad()
    def decode(
        self,
        features: SamFeatures,
        prompts: Sequence[PromptGroup],
        image_index: Tensor,
        multimask_output: bool = False,
        output: str | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Mask logits of N prompts.

        Args:
            features: of B images.
            prompts: groups whose rows together are 0 .. N-1, in pixels of the input frame.
            image_index: (N,) the image of each.
            multimask_output: three masks for each prompt, SAM's multi-mask output, each with the HQ logits added
                where the output is "sum"; heads that predict one mask alone give one.
            output: of the head's; None takes the model's.

        Returns:
            Logits (N, M, 4h, 4w) and SAM's predictions of their IoU (N, M), for M = 1 or 3. The HQ logits are one
            mask whatever `multimask_output` is, with the highest of SAM's predictions.

        Raises:
            ConfigError: the head has no such output.
        """
        output = output or self.output
        if output not in self.head.outputs:
            raise choice_error("output", output, self.head.outputs)
        found = self.head_for(multimask_output)(self.sam, features, self.sam.encode_prompts(list(prompts), image_index))
        logits, iou = found.select(output), found.iou.reshape(len(image_index), -1)
        if logits.shape[1] < iou.shape[1]:
            iou = iou.amax(dim=1, keepdim=True)
        return logits, iou

    def head_for(self, multimask_output: bool) -> Head:
        """The head, choosing SAM's masks as a call wants them."""
        if not isinstance(self.head, HQHead | SamHead):
            return self.head
        head = copy.copy(self.head)
        head.multimask_output = ALL_MASKS if multimask_output else False
        return head
