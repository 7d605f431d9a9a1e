"""The methods of tables 2, 4 and 9: where they begin, what they train, how many parameters that is."""

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from conftest import DEVICES, make_tiny_sam, randomise
from gradients import assert_close_gradients
from head_examples import predict, two_images, weigh
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.heads import (
    AdapterHead,
    ContextTokensHead,
    Head,
    HQHead,
    LoraHead,
    RefinerHead,
    SamHead,
    TokenProductHead,
    TunedDecoderHead,
    TunedSamHead,
    TunedTokenHead,
)
from hqsam_lightning.sam import FrozenSam, TinyViTEncoder, build, build_sam, vit_encoder
from hqsam_lightning.types import MaskLogits, SamFeatures

MIB = 2**20
ROWS = list(range(7))
RAW = {"features": ["decoder"], "fusion": "none"}
BEGIN_AS_SAM: dict[str, Callable[[FrozenSam], Head]] = {
    "tuned_token": TunedTokenHead,
    "tuned_decoder": TunedDecoderHead,
    "tuned_sam": TunedSamHead,
    "refiner": RefinerHead,
    "lora": LoraHead,
    "adapter": AdapterHead,
}
METHODS: dict[str, Callable[[FrozenSam], Head]] = {
    **BEGIN_AS_SAM,
    "token_product": partial(TokenProductHead, **RAW),
    "context_tokens": partial(ContextTokensHead, **RAW),
    "context_tokens_on_features": ContextTokensHead,
}
EVERY_METHOD = pytest.mark.parametrize("name", METHODS)
OWN_ENCODER = pytest.mark.parametrize("name", ["tuned_sam", "lora", "adapter"])


@pytest.fixture(scope="module")
def tiny_vit_sam() -> FrozenSam:
    sizes = {"embed_dims": (8, 16, 16, 32), "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 2)}
    encoder = partial(TinyViTEncoder, **sizes, window_sizes=(4, 4, 4, 4))
    sam = build_sam("tiny_vit_random", 64, 16, encoder, 32, 64, weights="random", cache_dir="unused")
    randomise(sam, seed=0)
    return sam


def run(head: Head, sam: FrozenSam) -> MaskLogits:
    """The head's masks, with its own encoder where it has one, as a training step predicts them."""
    images = two_images(sam)
    features = sam.encode(images) if head.own_encoder is None else sam.encode_with(head.own_encoder, images)
    return predict(head, sam, features, ROWS)


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float(((ours - theirs).abs().max() / theirs.abs().max()).detach())


def move(head: Head) -> None:
    """Changes every learned weight, also those that begin at zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in head.learned.values():
            value.add_(torch.randn(value.shape, generator=generator).to(value.device) * 0.05)


@pytest.mark.parametrize("sam_name", ["tiny_sam", "tiny_vit_sam"])
@pytest.mark.parametrize("name", BEGIN_AS_SAM)
def test_begins_as_sam_and_leaves_it(name: str, sam_name: str, request: pytest.FixtureRequest) -> None:
    sam = request.getfixturevalue(sam_name)
    head = METHODS[name](sam)
    with torch.no_grad():
        plain = run(SamHead(), sam).sam
        assert torch.equal(run(head, sam).hq, plain)
    # PyTorch's attention has another kernel where gradients are wanted
    assert relative(run(head, sam).hq, plain) < 1e-5
    move(head)
    assert relative(run(head, sam).hq, plain) > 1e-3


@EVERY_METHOD
def test_every_learned_parameter_learns_and_sam_does_not(tiny_sam: FrozenSam, name: str) -> None:
    before = copy.deepcopy(tiny_sam.state_dict())
    head = METHODS[name](tiny_sam)
    move(head)
    logits = run(head, tiny_sam).hq
    assert logits.shape == (7, 1, 16, 16)
    weigh(logits).backward()
    idle = [key for key, value in head.learned.items() if value.grad is None or not value.grad.any()]
    assert idle == []
    with torch.no_grad():
        for value in head.learned.values():
            value.sub_(value.grad)
    torch.testing.assert_close(tiny_sam.state_dict(), before, rtol=0, atol=0)


@EVERY_METHOD
def test_a_step_lowers_the_loss(tiny_sam: FrozenSam, name: str) -> None:
    head = METHODS[name](tiny_sam)
    target = (torch.rand(7, 1, 16, 16, generator=torch.Generator().manual_seed(4)) > 0.5).float()
    optimizer = torch.optim.Adam(head.learned.values(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = nn.functional.binary_cross_entropy_with_logits(run(head, tiny_sam).hq, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@OWN_ENCODER
@pytest.mark.parametrize("attention", ["fused", "eager"])
@pytest.mark.parametrize("device", DEVICES)
def test_own_encoders_train_through_either_attention(name: str, attention: str, device: str) -> None:
    """The gradients of fused attention are those of segment-anything's own."""
    gradients = []
    for kind in ("eager", attention):
        encoder = partial(vit_encoder, embed_dim=16, depth=2, num_heads=2, window_size=2, global_attn_indexes=[1])
        sam = build_sam("tiny", 64, 16, encoder, 32, 64, weights="random", cache_dir="unused", attention=kind)
        randomise(sam, seed=0)
        head = METHODS[name](sam.to(device)).to(device)
        move(head)
        weigh(run(head, sam).hq).backward()
        gradients.append({key: value.grad for key, value in head.learned.items()})
    eager, other = gradients
    assert_close_gradients(other, eager)


@pytest.mark.parametrize("name", ["lora", "adapter"])
@pytest.mark.parametrize("device", DEVICES)
def test_added_parameters_are_the_only_new_memory(name: str, device: str) -> None:
    sam = make_tiny_sam()
    head = METHODS[name](sam)
    nn.ModuleList([sam, head]).to(device)
    frozen = {value.data_ptr() for value in sam.sam.image_encoder.parameters()}
    own = {value.data_ptr() for value in head.parameters()}
    assert own - frozen == {value.data_ptr() for value in head.learned.values()}


@pytest.fixture(scope="module")
def vit_l() -> FrozenSam:
    """Without memory for its weights."""
    encoder = partial(
        vit_encoder, embed_dim=1024, depth=24, num_heads=16, window_size=14, global_attn_indexes=[5, 11, 17, 23]
    )
    with torch.device("meta"):
        return FrozenSam(build._assemble(1024, 16, encoder, 256, 2048), "vit_l", "no weights")


@pytest.mark.parametrize(("method", "mib"), [(LoraHead, 1.5), (AdapterHead, 12.0), (HQHead, 5.1)])
def test_trains_the_papers_mib_on_vit_l(vit_l: FrozenSam, method: type[Head], mib: float) -> None:
    with torch.device("meta"):
        head = method(vit_l)
    trained = sum(value.numel() for value in head.learned.values()) * 4 / MIB
    assert round(trained, 1) == mib


def test_context_tokens_alone_are_three_tokens(tiny_sam: FrozenSam) -> None:
    assert sum(value.numel() for value in METHODS["context_tokens"](tiny_sam).learned.values()) == 3 * 32


def test_the_scaled_dot_product_by_hand(tiny_sam: FrozenSam, features: SamFeatures) -> None:
    """softmax([h.o, h.h] / sqrt(C)) weighs output token o and HQ token h."""
    seen: list[Tensor] = []

    class Watched(TokenProductHead):
        def mask_token(self, state):
            mixed = super().mask_token(state)
            hq, output = state.extra_tokens[:, 0], state.mask_tokens[:, 0]
            logits = torch.stack([(hq * output).sum(1), (hq * hq).sum(1)], dim=1) / hq.shape[1] ** 0.5
            weights = logits.exp() / logits.exp().sum(1, keepdim=True)
            seen.append(mixed - (weights[:, :1] * output + weights[:, 1:] * hq))
            return mixed

    predict(Watched(tiny_sam, **RAW), tiny_sam, features, ROWS)
    assert seen
    assert all(difference.abs().max() < 1e-5 for difference in seen)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(LoraHead, rank=0), r"\.rank: expected an integer >= 1; got 0"),
        (partial(AdapterHead, width=0), r"\.width: expected an integer >= 1; got 0"),
        (partial(ContextTokensHead, num_tokens=0), r"\.num_tokens: expected an integer >= 1; got 0"),
    ],
)
def test_bad_sizes(tiny_sam: FrozenSam, make: Callable[[FrozenSam], Head], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(tiny_sam)
