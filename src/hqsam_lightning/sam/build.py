"""Builds SAM from segment-anything's classes and gives it weights: published, shipped, from a file, or random."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor, nn

from hqsam_lightning.errors import ConfigError, WeightsError, choice_error
from hqsam_lightning.sam.attention import fuse_attention
from hqsam_lightning.sam.efficientnet import EfficientNetEncoder
from hqsam_lightning.sam.frozen import FrozenSam
from hqsam_lightning.sam.layers import chunk_mlps, fuse_norms
from hqsam_lightning.sam.mobile_sam import from_mobile_sam
from hqsam_lightning.sam.shipped import read_shipped
from hqsam_lightning.sam.state_dicts import read_state_dict, state_dict_sha256
from hqsam_lightning.sam.weights import fetch
from hqsam_lightning.seeding import seeded_init

log = logging.getLogger(__name__)

PIXEL_MEAN = [123.675, 116.28, 103.53]
PIXEL_STD = [58.395, 57.12, 57.375]
ANCHOR = "mask_decoder.iou_token.weight"
"""A tensor that every SAM has."""
ATTENTIONS = ("fused", "eager")

EncoderFactory = Callable[..., nn.Module]


def build_sam(
    name: str,
    image_size: int,
    patch_size: int,
    encoder: EncoderFactory,
    embed_dim: int,
    mlp_dim: int,
    weights: str,
    cache_dir: str,
    published: Mapping[str, str] | None = None,
    embedded: str | None = None,
    attention: str = "fused",
    precision: str = "fp32",
) -> FrozenSam:
    """Builds a frozen SAM.

    Args:
        name: shown in reports.
        image_size: side of the square input frame in pixels.
        patch_size: pixels of the input frame per cell of the embedding grid, along each axis.
        encoder: makes the image encoder when called with image_size, patch_size and out_channels (= embed_dim): a
            partial of `vit_encoder`, `TinyViTEncoder` or `EfficientNetEncoder`.
        embed_dim: channels of image embeddings and tokens (256 in SAM).
        mlp_dim: hidden width of the two-way transformer (2048 in SAM).
        weights: ``"published"``, ``"embedded"``, ``"random"`` (the same at every call), ``"imagenet"`` (random but for
            an EfficientNet's features), or the path of a .pth or .safetensors file.
        cache_dir: folder that downloads are kept in.
        published: url and sha256 of the published file.
        embedded: name of the file that the package ships.
        attention: of a ViT: "fused" (`FusedAttention` and `ChunkedMlp`) or "eager" (segment-anything's own,
            with its (L, L) matrices). TinyViT attends as timm does.
        precision: see `FrozenSam`.

    Raises:
        ConfigError: for an unknown attention, sizes that do not fit, or weights that this SAM does not have.
        WeightsError: when weights cannot be fetched or read, or are another architecture's.
    """
    if image_size % patch_size:
        raise ConfigError(f"sam.image_size: expected a multiple of sam.patch_size ({patch_size}); got {image_size}")
    if attention not in ATTENTIONS:
        raise choice_error("sam.attention", attention, ATTENTIONS)
    with seeded_init("sam", name):
        sam = _assemble(image_size, patch_size, encoder, embed_dim, mlp_dim)
    if attention == "fused" and isinstance(sam.image_encoder, ImageEncoderViT):
        fuse_attention(sam.image_encoder)
        chunk_mlps(sam.image_encoder)
    fuse_norms(sam)
    if weights == "imagenet":
        _load_imagenet(sam, name)
    elif weights != "random":
        _load(sam, *_read_weights(name, weights, embedded, published, Path(cache_dir)))
    return FrozenSam(sam, name, state_dict_sha256(sam.state_dict()), precision)


def _assemble(image_size: int, patch_size: int, encoder: EncoderFactory, embed_dim: int, mlp_dim: int) -> Sam:
    grid = image_size // patch_size
    return Sam(
        image_encoder=encoder(image_size=image_size, patch_size=patch_size, out_channels=embed_dim),
        prompt_encoder=PromptEncoder(
            embed_dim=embed_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(image_size, image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=embed_dim, mlp_dim=mlp_dim, num_heads=8),
            transformer_dim=embed_dim,
            iou_head_depth=3,
            iou_head_hidden_dim=embed_dim,
        ),
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
    )


def _load_imagenet(sam: Sam, name: str) -> None:
    if not isinstance(sam.image_encoder, EfficientNetEncoder):
        raise ConfigError(
            f"sam.weights: expected 'random', 'embedded' or a file's path, because the encoder of {name} is no "
            "EfficientNet; got 'imagenet'"
        )
    sam.image_encoder.load_imagenet()


def _read_weights(
    name: str, weights: str, embedded: str | None, published: Mapping[str, str] | None, cache_dir: Path
) -> tuple[dict[str, Tensor], str]:
    """The tensors, and the file that they are from."""
    expected = "sam.weights: expected 'random' or a file's path, because"
    if weights == "embedded":
        if embedded is None:
            raise ConfigError(f"{expected} {name} ships none; got 'embedded'")
        return read_shipped(embedded), embedded
    path = Path(weights).expanduser()
    if weights == "published":
        if published is None:
            raise ConfigError(f"{expected} {name} has no published weights")
        path = fetch(published["url"], published["sha256"], cache_dir)
    return from_mobile_sam(read_state_dict(path)), str(path)


def _load(sam: Sam, state_dict: dict[str, Tensor], source: str) -> None:
    own = sam.state_dict()
    missing = sorted(own.keys() - state_dict.keys())
    wrong = sorted(key for key in own.keys() & state_dict.keys() if not _fits(own[key], state_dict[key]))
    if missing or wrong:
        example = (missing + wrong)[0]
        raise WeightsError(
            f"{source}: expected the weights of this SAM; {len(missing)} of its {len(own)} tensors are missing and "
            f"{len(wrong)} have another shape or type (first: {example}); {_remedy(state_dict.keys())}"
        )
    if unused := sorted(state_dict.keys() - own.keys()):
        log.info("%s: %d of its tensors are not SAM's and are left out (first: %s)", source, len(unused), unused[0])
    sam.load_state_dict({key: state_dict[key] for key in own})


def _fits(own: Tensor, other: Tensor) -> bool:
    return own.shape == other.shape and own.is_floating_point() == other.is_floating_point()


def _remedy(found: Collection[str]) -> str:
    """Remedy for a file whose tensor names are not this SAM's."""
    for name in found:
        prefix = name.removesuffix(ANCHOR)
        if prefix not in (name, ""):
            return f"its names begin with {prefix!r}: save it without"
    if ANCHOR.removeprefix("mask_decoder.") in found:
        return (
            "it holds a mask decoder alone, as HQ-SAM's training program saves it: give it to a head "
            "(variants.<name>.weights), and SAM's own file here"
        )
    return "choose the sam=... that the file belongs to"
