"""Attention of the decoder's tokens, against what segment-anything's own softmax gives."""

from unittest import mock

import torch
from segment_anything.modeling import transformer

from head_examples import IMAGE_INDEX, make_prompts, two_images
from hqsam_lightning.heads import HQHead
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.sam.attention_maps import watch_token_attention


def test_maps_are_the_last_layers_softmax(tiny_sam: FrozenSam) -> None:
    head = HQHead(tiny_sam)
    features = tiny_sam.encode(two_images(tiny_sam))
    prompts = tiny_sam.encode_prompts(group_prompts([make_prompts()[1]]), torch.tensor(IMAGE_INDEX[1:2]))
    cells = features.image_embeddings.shape[-1] ** 2
    seen = []

    def softmax(values: torch.Tensor, dim: int) -> torch.Tensor:
        seen.append(values.softmax(dim))
        return seen[-1]

    authors = mock.patch.object(transformer, "torch", mock.Mock(wraps=torch, softmax=softmax))
    with authors, watch_token_attention(tiny_sam.mask_decoder) as maps:
        head.decode(tiny_sam, features, head.image_feature(features), prompts[0])
    to_image = [attention for attention in seen if attention.shape[-1] == cells]
    assert len(to_image) == 3, "one a layer, and the final attention behind them"
    assert len(maps) == 1
    assert maps[0].shape == (1, 6 + 2, cells), "IoU, four masks and HQ before the box's two corners"
    torch.testing.assert_close(maps[0], to_image[1].mean(1))
    torch.testing.assert_close(maps[0].sum(-1), torch.ones(1, 8))


def test_nothing_is_watched_afterwards(tiny_sam: FrozenSam) -> None:
    with watch_token_attention(tiny_sam.mask_decoder):
        pass
    layer = tiny_sam.mask_decoder.transformer.layers[-1].cross_attn_token_to_image
    assert not layer._forward_pre_hooks
