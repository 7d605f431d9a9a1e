"""`transformers`' SamHQModel, with the processor that goes with it."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn

from hqsam_lightning.export.base import Format
from hqsam_lightning.export.samples import Sample
from hqsam_lightning.export.weights import official_state
from hqsam_lightning.heads.official import authors_refusal
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.sam.transformers_names import to_transformers
from hqsam_lightning.storage.files import writing
from hqsam_lightning.types import PromptGroup

log = logging.getLogger(__name__)


class TransformersFolder(Format):
    """A folder that `transformers.SamHQModel.from_pretrained` and `HQSam.from_pretrained` take."""

    name = "transformers"
    packages = ("transformers",)
    extra = "transformers"

    def refusal(self, model: HQSam) -> str | None:
        """SamHQModel is a ViT with the authors' head."""
        encoder = model.sam.sam.image_encoder
        if not isinstance(encoder, ImageEncoderViT):
            return f"SamHQModel has SAM's ViT as its image encoder; {model.sam.name} has {type(encoder).__name__}"
        refused = authors_refusal(model.head)
        return None if refused is None else f"SamHQModel cannot hold this: {refused}"

    def write(self, model: HQSam, out: Path, multimask_output: bool) -> None:
        """Writes config, weights and processor."""
        from transformers import SamHQConfig, SamHQModel, SamHQProcessor, SamImageProcessor

        size = model.image_size
        built = SamHQModel(SamHQConfig(**sizes_of(model.sam)))
        built.load_state_dict(to_transformers(official_state(model)))
        images = SamImageProcessor(
            size={"longest_edge": size},
            pad_size={"height": size, "width": size},
            mask_size={"longest_edge": model.sam.mask_input_size},
            mask_pad_size={"height": model.sam.mask_input_size, "width": model.sam.mask_input_size},
        )
        with writing(out):
            built.save_pretrained(out)
            SamHQProcessor(images).save_pretrained(out)

    @torch.no_grad()
    def read(self, out: Path, model: HQSam, multimask_output: bool, sample: Sample) -> list[Tensor]:
        """SamHQModel's own masks; with three of them it sorts by IoU, so that one is asked for."""
        from transformers import SamHQModel

        theirs = SamHQModel.from_pretrained(out).eval()
        embeddings, early = theirs.get_image_embeddings(model.sam.normalise(sample.images))
        given = {"image_embeddings": embeddings, "intermediate_embeddings": early}

        def masks(group: PromptGroup) -> Tensor:
            options = {"multimask_output": False, "hq_token_only": model.output == "hq"}
            return theirs(**given, **options, **_as_theirs(group)).pred_masks[:, 0]

        groups = list(sample.groups.values())
        before = masks(groups[0])
        pass_image_tokens(theirs)
        found = [masks(group) for group in groups]
        if not torch.allclose(before, found[0], rtol=1e-3, atol=1e-3):
            log.warning(
                "transformers %s: SamHQModel upscales the image tokens that enter its decoder's transformer instead "
                "of those that leave it, and predicts worse masks from any weights; the file is right: correct the "
                "loaded model with hqsam_lightning.export.pass_image_tokens(model), or use HQSam.from_pretrained",
                version("transformers"),
            )
        return found

    def expected(self, model: HQSam, multimask_output: bool, sample: Sample) -> list[Tensor]:
        """One mask of the model for each prompt."""
        return super().expected(model, False, sample)


def pass_image_tokens(model: nn.Module) -> None:
    """Makes the decoder of a `transformers.SamHQModel` upscale the image tokens that its transformer returns.

    Releases of transformers drop them and upscale the transformer's input. The hook writes them over that input, which
    the decoder does not use otherwise: a release without the fault predicts the same with it. For inference alone.

    Args:
        model: is changed.
    """

    def write_over_input(_: nn.Module, __: Any, given: dict[str, Tensor], answer: tuple[Tensor, Tensor]) -> None:
        into = given["image_embeddings"]
        # the decoder swaps the axes 2 and 3 before it reshapes
        into.copy_(answer[1].transpose(2, 3).reshape(into.shape).transpose(2, 3))

    decoder: Any = model.get_submodule("mask_decoder")
    decoder.transformer.register_forward_hook(write_over_input, with_kwargs=True)


def _as_theirs(group: PromptGroup) -> dict[str, Tensor | None]:
    """Prompts, one for each image, as SamHQModel takes them."""
    points = (group.boxes, group.point_coords, group.point_labels)
    boxes, coords, labels = (None if each is None else each[:, None] for each in points)
    return {"input_boxes": boxes, "input_points": coords, "input_labels": labels, "input_masks": group.masks}


def sizes_of(sam: FrozenSam) -> dict[str, Any]:
    """Arguments of `transformers.SamHQConfig` for a SAM on a ViT."""
    encoder: Any = sam.sam.image_encoder
    patch_size = encoder.patch_embed.proj.kernel_size[0]
    windows = [block.window_size for block in encoder.blocks]
    frame = {"image_size": sam.image_size, "patch_size": patch_size}
    vision = {
        **frame,
        "hidden_size": sam.early_dim,
        "output_channels": sam.embed_dim,
        "num_pos_feats": sam.embed_dim // 2,
        "num_hidden_layers": len(windows),
        "num_attention_heads": encoder.blocks[0].attn.num_heads,
        "window_size": max(windows),
        "global_attn_indexes": [index for index, window in enumerate(windows) if window == 0],
    }
    decoder = {
        "hidden_size": sam.embed_dim,
        "iou_head_hidden_dim": sam.embed_dim,
        "mlp_dim": sam.mask_decoder.transformer.layers[0].mlp.lin1.out_features,
        "vit_dim": sam.early_dim,
        # SAM's; transformers' default is another
        "layer_norm_eps": sam.mask_decoder.transformer.layers[0].norm1.eps,
    }
    prompts = {**frame, "hidden_size": sam.embed_dim}
    return {"vision_config": vision, "prompt_encoder_config": prompts, "mask_decoder_config": decoder}
