import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from torch import Tensor, nn

from conftest import randomise, sizes
from hqsam_lightning.errors import WeightsError
from hqsam_lightning.heads import HQHead
from hqsam_lightning.heads.official import from_official, put_official, to_official
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.sam.state_dicts import read_state_dict

StateDict = dict[str, Tensor]
# the sizes of `tiny_sam`
EMBED_DIM = 32
EARLY_DIM = 16


def transformer(embed_dim: int) -> TwoWayTransformer:
    return TwoWayTransformer(depth=2, embedding_dim=embed_dim, mlp_dim=64, num_heads=8)


def official_decoder(embed_dim: int = EMBED_DIM, early_dim: int = EARLY_DIM) -> nn.Module:
    """The authors' decoder with random weights."""
    with warnings.catch_warnings():
        # the package imports modules from where timm used to have them
        warnings.simplefilter("ignore")
        from segment_anything_hq.modeling import MaskDecoderHQ
    decoder = MaskDecoderHQ(transformer_dim=embed_dim, transformer=transformer(embed_dim), vit_dim=early_dim)
    randomise(decoder, seed=3)
    return decoder


def hq_part(decoder: nn.Module, embed_dim: int = EMBED_DIM) -> StateDict:
    """What the authors' decoder has and SAM's has not."""
    plain = MaskDecoder(transformer_dim=embed_dim, transformer=transformer(embed_dim)).state_dict()
    return {name: value for name, value in decoder.state_dict().items() if name not in plain}


def whole_model(sam: FrozenSam, decoder: nn.Module) -> StateDict:
    """As in ``sam_hq_vit_b.pth``."""
    hq = {f"mask_decoder.{name}": value for name, value in hq_part(decoder).items()}
    return {**sam.sam.state_dict(), **hq}


def decoder_alone(sam: FrozenSam, decoder: nn.Module) -> StateDict:
    """As in the ``epoch_11.pth`` of the authors' training."""
    return dict(decoder.state_dict())


def official_head(sam: Any, path: str, **options: Any) -> HQHead:
    head = HQHead(sam, **options)
    content = read_state_dict(Path(path))
    put_official(head, content, Path(path), sam if isinstance(sam, FrozenSam) else None)
    return head


def save(state_dict: StateDict, path: Path) -> Path:
    torch.save(state_dict, path)
    return path


@pytest.mark.parametrize(("embed_dim", "early_dim"), [(EMBED_DIM, EARLY_DIM), (256, 160), (256, 768)])
def test_names_and_shapes_are_the_authors(embed_dim: int, early_dim: int) -> None:
    ours = to_official(HQHead(sizes(embed_dim, early_dim)).state_dict())
    theirs = hq_part(official_decoder(embed_dim, early_dim), embed_dim)
    expected = {f"mask_decoder.{name}": value.shape for name, value in theirs.items()}
    assert {name: value.shape for name, value in ours.items()} == expected


def test_round_trip() -> None:
    state_dict = HQHead(sizes(EMBED_DIM, EARLY_DIM)).state_dict()
    back = from_official(to_official(state_dict))
    assert list(back) == list(state_dict)
    assert all(torch.equal(back[name], value) for name, value in state_dict.items())


@pytest.mark.parametrize("content", [whole_model, decoder_alone])
def test_official_file_loads(
    tiny_sam: FrozenSam, tmp_path: Path, content: Callable[[FrozenSam, nn.Module], StateDict]
) -> None:
    decoder = official_decoder()
    path = save(content(tiny_sam, decoder), tmp_path / "sam_hq.pth")
    head = official_head(sizes(EMBED_DIM, EARLY_DIM), str(path))
    pairs = [
        (head.token, decoder.hf_token),
        (head.mlp, decoder.hf_mlp),
        (head.fusion.final, decoder.embedding_encoder),
        (head.fusion.early, decoder.compress_vit_feat),
        (head.fusion.decoder, decoder.embedding_maskfeature),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)
    assert sum(len(ours.state_dict()) for ours, _ in pairs) == len(head.state_dict())
    assert all(value.requires_grad for value in head.parameters())


def test_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    decoder = official_decoder()
    save(hq_part(decoder), tmp_path / "hq.pth")
    head = official_head(sizes(EMBED_DIM, EARLY_DIM), "~/hq.pth")
    assert torch.equal(head.token.weight, decoder.hf_token.weight)


@pytest.mark.parametrize(
    ("dims", "tensor"), [((EMBED_DIM, 24), "fusion.early.0.weight"), ((64, EARLY_DIM), "fusion.decoder.0.bias")]
)
def test_file_of_another_sam_is_refused(tmp_path: Path, dims: tuple[int, int], tensor: str) -> None:
    path = save(hq_part(official_decoder()), tmp_path / "sam_hq_vit_l.pth")
    message = rf"^{re.escape(str(path))}: .*another shape \(first: {re.escape(tensor)}\); use the official file"
    with pytest.raises(WeightsError, match=message):
        official_head(sizes(*dims), str(path))


def test_file_without_hq_parameters_is_refused(tiny_sam: FrozenSam, tmp_path: Path) -> None:
    path = save(tiny_sam.sam.state_dict(), tmp_path / "sam_vit_b.pth")
    count = len(hq_part(official_decoder()))
    message = rf"^{re.escape(str(path))}: expected the {count} HQ tensors of this head; {count} are missing"
    with pytest.raises(WeightsError, match=message):
        official_head(sizes(EMBED_DIM, EARLY_DIM), str(path))


def test_file_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    content = hq_part(official_decoder())
    del content["hf_mlp.layers.1.bias"]
    path = save(content, tmp_path / "hq.pth")
    with pytest.raises(WeightsError, match=rf"^{re.escape(str(path))}: .*; 1 are missing.*first: mlp\.layers\.1\.bias"):
        official_head(sizes(EMBED_DIM, EARLY_DIM), str(path))


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = save(hq_part(official_decoder()), tmp_path / "hq.pth")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match=rf"^{re.escape(str(path))}: .*damaged"):
        official_head(sizes(EMBED_DIM, EARLY_DIM), str(path))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.pth"
    with pytest.raises(WeightsError, match=rf"^{re.escape(str(path))}: expected a weights file, found none"):
        official_head(sizes(EMBED_DIM, EARLY_DIM), str(path))


@pytest.mark.parametrize(
    ("variant", "tensor"),
    [
        ({"features": ["decoder"], "fusion": "none"}, "fusion.decoder.0.bias"),
        ({"features": ["decoder", "final"]}, "fusion.early.0.bias"),
        ({"features": ["final", "early"]}, "fusion.decoder.0.bias"),
        ({"fusion": "fpn"}, "fusion.decoder.0.bias"),
    ],
    ids=["raw", "without early", "without decoder", "fpn"],
)
def test_another_variant_refuses_the_file(tmp_path: Path, variant: dict[str, Any], tensor: str) -> None:
    path = save(hq_part(official_decoder()), tmp_path / "hq.pth")
    message = rf"^{re.escape(str(path))}: .*not ours.*first: {re.escape(tensor)}.*with the full HQ head$"
    with pytest.raises(WeightsError, match=message):
        official_head(sizes(EMBED_DIM, EARLY_DIM), str(path), **variant)


def test_feature_pyramid_has_no_official_names() -> None:
    with pytest.raises(WeightsError, match=r"^fusion\.\w+\.\w+: expected a parameter of the full HQ head"):
        to_official(HQHead(sizes(EMBED_DIM, EARLY_DIM), fusion="fpn").state_dict())


@pytest.mark.parametrize(
    ("variant", "missing"),
    [
        ({"features": ["decoder"]}, "fusion.final.0.weight, "),
        ({"features": ["final", "early"]}, "fusion.decoder.0.weight, "),
        ({"features": ["early"]}, "fusion.decoder.0.weight, "),
        ({"features": ["decoder", "final"]}, "fusion.early.0.weight, "),
        ({"features": ["decoder"], "fusion": "none"}, "fusion.decoder.0.weight, "),
    ],
)
def test_a_partial_head_is_not_converted(variant: dict[str, Any], missing: str) -> None:
    head = HQHead(sizes(EMBED_DIM, EARLY_DIM), **variant)
    count = len(hq_part(official_decoder()))
    message = (
        rf"^to_official: expected the {count} tensors of a full HQ head \(.*\), got one without {re.escape(missing)}"
    )
    with pytest.raises(WeightsError, match=message):
        to_official(head.state_dict())


@pytest.mark.parametrize("width", [0.5, 2.0, 0.25])
def test_a_head_of_another_width_is_not_converted(width: float) -> None:
    head = HQHead(sizes(EMBED_DIM, EARLY_DIM), fusion_width=width)
    with pytest.raises(WeightsError, match=r"^to_official: fusion\.final\.1\.weight: expected the authors' 8 channels"):
        to_official(head.state_dict())


@pytest.mark.parametrize(
    "tensor",
    ["mask_decoder.iou_token.weight", "prompt_encoder.no_mask_embed.weight", "image_encoder.patch_embed.proj.bias"],
)
def test_a_file_of_another_sam_is_refused(tiny_sam: FrozenSam, tmp_path: Path, tensor: str) -> None:
    content = whole_model(tiny_sam, official_decoder())
    path = save(content, tmp_path / "sam_hq.pth")
    official_head(tiny_sam, str(path))
    changed = content[tensor].clone()
    changed.view(-1)[-1] += 1e-6
    save({**content, tensor: changed}, path)
    message = (
        rf"sam_hq\.pth: expected .* with the SAM in use, tiny_random; 1 of the \d+ .*\(first: {re.escape(tensor)}\)"
    )
    with pytest.raises(WeightsError, match=message):
        official_head(tiny_sam, str(path))


def test_a_decoder_of_another_sam_is_refused(tiny_sam: FrozenSam, tmp_path: Path) -> None:
    decoder = official_decoder()
    path = save(decoder_alone(tiny_sam, decoder), tmp_path / "epoch_11.pth")
    with pytest.raises(WeightsError, match=r"epoch_11\.pth: expected .*first: mask_decoder\.iou_prediction_head"):
        official_head(tiny_sam, str(path))
    own = {**decoder.state_dict(), **tiny_sam.mask_decoder.state_dict()}
    official_head(tiny_sam, str(save(own, path)))


def test_hq_tensors_alone_hold_no_sam(tiny_sam: FrozenSam, tmp_path: Path) -> None:
    official_head(tiny_sam, str(save(hq_part(official_decoder()), tmp_path / "hq.pth")))
