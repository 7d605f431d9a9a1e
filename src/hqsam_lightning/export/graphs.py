"""A model as two graphs with tensors alone as inputs: the image encoder, and the decoder with its prompt encoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from segment_anything.modeling import PromptEncoder
from torch import Tensor, nn

from hqsam_lightning.export.samples import Sample
from hqsam_lightning.inference.model import HQSam
from hqsam_lightning.sam.encoder import encode
from hqsam_lightning.types import PromptEmbeddings, PromptGroup, SamFeatures

PADDING, TOP_LEFT, BOTTOM_RIGHT = -1, 2, 3
"""Labels of points that are no clicks, as in segment-anything's own ONNX model."""
ENCODER_INPUTS = {"images": {0: "images"}}
ENCODER_OUTPUTS = ("image_embeddings", "early")
DECODER_INPUTS = {
    "image_embeddings": {0: "images"},
    "early": {0: "images"},
    "image_index": {0: "prompts"},
    "point_coords": {0: "prompts", 1: "points"},
    "point_labels": {0: "prompts", 1: "points"},
    "mask_input": {0: "prompts"},
    "has_mask_input": {0: "prompts"},
}
"""Inputs of the decoder with the names of their axes of any length."""
DECODER_OUTPUTS = ("low_res_logits", "iou_predictions")
AT_ONCE = 2
"""Images that a graph encodes at once: attention in a graph holds its whole matrix, 0.8 GB an image in a ViT-B."""
Graph = Callable[..., tuple[Tensor, Tensor]]


class EncoderGraph(nn.Module):
    """The image encoder of a model, in float32.

    Args:
        model: whose head may have an encoder of its own.
    """

    def __init__(self, model: HQSam) -> None:
        super().__init__()
        self.sam = model.sam
        self.encoder = model.head.own_encoder or model.sam.sam.image_encoder

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes images.

        Args:
            images: (B, 3, H, W) float32 RGB values 0 to 255 in the input frame.

        Returns:
            Image embeddings (B, C, h, w), and early feature (B, E, h, w).
        """
        return encode(self.encoder, self.sam.normalise(images))


class DecoderGraph(nn.Module):
    """Prompt encoder, SAM's mask decoder and the head of a model.

    Args:
        model: its output decides which logits are given.
        multimask_output: see `HQSam.decode`.
    """

    def __init__(self, model: HQSam, multimask_output: bool) -> None:
        super().__init__()
        self.sam = model.sam
        self.head = model.head_for(multimask_output)
        self.output = model.output
        self.dense_pe: Tensor
        self.register_buffer("dense_pe", model.sam.prompt_encoder.get_dense_pe().contiguous(), persistent=False)

    def forward(
        self,
        image_embeddings: Tensor,
        early: Tensor,
        image_index: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Predicts the masks of N prompts.

        Args:
            image_embeddings: (B, C, h, w).
            early: (B, E, h, w).
            image_index: (N,) int64, the image of each prompt.
            point_coords: (N, K, 2) float32, (x, y) in pixels of the input frame. A box is its two corners. Points
                without a box end with one of label -1.
            point_labels: (N, K) int64: 1 on the object, 0 off it, 2 a box's top left and 3 its bottom right corner,
                -1 none.
            mask_input: (N, 1, 4h, 4w) float32 logits of a mask.
            has_mask_input: (N,) float32, 1 where the mask is a prompt and 0 where it is not.

        Returns:
            Logits (N, M, 4h, 4w) in the input frame, and SAM's predictions of their IoU (N, M).
        """
        prompts = PromptEmbeddings(
            rows=torch.arange(image_index.shape[0], device=image_index.device),
            image_index=image_index,
            sparse=embed_points(self.sam.prompt_encoder, point_coords, point_labels),
            dense=embed_masks(self.sam.prompt_encoder, mask_input, has_mask_input),
        )
        features = SamFeatures(image_embeddings, early, self.dense_pe)
        found = self.head.decode(self.sam, features, self.head.image_feature(features), prompts)
        logits, iou = found.select(self.output), found.iou
        iou = iou.unflatten(0, (-1, 1)) if iou.ndim == 1 else iou
        return logits, iou.amax(dim=1, keepdim=True) if logits.shape[1] < iou.shape[1] else iou


def embed_points(encoder: PromptEncoder, coords: Tensor, labels: Tensor) -> Tensor:
    """(N, K, C) tokens of points, by arithmetic on their labels instead of the prompt encoder's indexing by them."""
    tokens = encoder.pe_layer.forward_with_coords(coords + 0.5, encoder.input_image_size)
    labels = labels.unsqueeze(-1)
    tokens = tokens * (labels != PADDING) + encoder.not_a_point_embed.weight * (labels == PADDING)
    for label, embedding in enumerate(encoder.point_embeddings):
        tokens = tokens + embedding.weight * (labels == label)
    return tokens


def embed_masks(encoder: PromptEncoder, masks: Tensor, given: Tensor) -> Tensor:
    """(N, C, h, w) of masks, and of those that are not given."""
    given = given.reshape(-1, 1, 1, 1)
    return encoder.mask_downscaling(masks) * given + encoder.no_mask_embed.weight.reshape(1, -1, 1, 1) * (1 - given)


def refusal_of_graphs(model: HQSam) -> str | None:
    """Why a model cannot be two graphs; None where it can."""
    if model.head.needs_pixels and model.head.own_encoder is None:
        return f"a decoder graph has features as its input, and {type(model.head).__name__} needs the image itself"
    return None


def decoder_inputs(group: PromptGroup, image_index: Tensor, mask_input_size: int) -> tuple[Tensor, ...]:
    """A group of N prompts as the decoder graph takes them, without the features.

    Args:
        group: prompts in the order of their rows.
        image_index: (N,) the image of each.
        mask_input_size: 4h = 4w of the SAM.
    """
    count = len(image_index)
    coords, labels = torch.zeros(count, 0, 2), torch.zeros(count, 0, dtype=torch.int64)
    if group.point_coords is not None and group.point_labels is not None:
        coords, labels = group.point_coords.float(), group.point_labels.long()
        if group.boxes is None:
            coords = torch.cat([coords, torch.zeros(count, 1, 2)], dim=1)
            labels = torch.cat([labels, torch.full((count, 1), PADDING)], dim=1)
    if group.boxes is not None:
        corners = torch.tensor([TOP_LEFT, BOTTOM_RIGHT]).repeat(count, 1)
        coords = torch.cat([coords, group.boxes.reshape(count, 2, 2)], dim=1)
        labels = torch.cat([labels, corners], dim=1)
    masks = torch.zeros(count, 1, mask_input_size, mask_input_size) if group.masks is None else group.masks.float()
    return image_index, coords, labels, masks, torch.full((count,), float(group.masks is not None))


@torch.no_grad()
def run_graphs(encoder: Graph, decoder: Graph, sample: Sample, mask_input_size: int) -> list[Tensor]:
    """Logits (B, M, 4h, 4w) for each kind of a sample's prompts.

    Args:
        encoder: see `EncoderGraph`.
        decoder: see `DecoderGraph`.
        sample: images and prompts.
        mask_input_size: see `decoder_inputs`.
    """
    parts = [encoder(images) for images in sample.images.split(AT_ONCE)]
    features = [torch.cat(tensors) for tensors in zip(*parts, strict=True)]
    groups = sample.groups.values()
    return [decoder(*features, *decoder_inputs(group, sample.index, mask_input_size))[0] for group in groups]
