"""With the same random weights, our logits are the authors' (`segment-anything-hq`), at full size and in small."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product

import pytest
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from benchmarks.authors import build_authors_model
from conftest import DEVICES, randomise
from hqsam_lightning.heads import HQHead
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam import FrozenSam, build_sam, vit_encoder
from hqsam_lightning.types import Prompt, SamFeatures
from reference import official_features, official_logits

TOLERANCE = {"cpu": 1e-5, "cuda": 1e-4}
SIZES = {
    "tiny": {
        "image_size": 64,
        "embed_dim": 32,
        "mlp_dim": 64,
        "encoder": {"embed_dim": 16, "depth": 4, "num_heads": 2, "window_size": 3, "global_attn_indexes": [1, 3]},
    },
    "vit_b": {
        "image_size": 1024,
        "embed_dim": 256,
        "mlp_dim": 2048,
        "encoder": {
            "embed_dim": 768,
            "depth": 12,
            "num_heads": 12,
            "window_size": 14,
            "global_attn_indexes": [2, 5, 8, 11],
        },
    },
}

FEWER_BLOCKS = {"depth": 4, "global_attn_indexes": [1, 3]}
"""Of ViT-B on a CPU, where its twelve, which are all alike, take long."""


@dataclass
class Setup:
    sam: FrozenSam
    head: HQHead
    official: nn.Module
    features: SamFeatures
    official_features: tuple[Tensor, Tensor]
    counts: tuple[int, ...]

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.sam.device.type]

    def ours(self, prompts: list[Prompt], image_index: list[int], multimask_output: bool, output: str) -> Tensor:
        self.head.multimask_output = multimask_output
        shown = move_data_to_device((group_prompts(prompts), torch.tensor(image_index)), self.sam.device)
        with torch.no_grad():
            encoded = self.sam.encode_prompts(*shown)
            return self.head(self.sam, self.features, encoded).select(output)

    def theirs(self, prompts: list[Prompt], image: int, multimask_output: bool, output: str) -> Tensor:
        final, early = (feature[image : image + 1] for feature in self.official_features)
        prompts = move_data_to_device(prompts, self.sam.device)
        return official_logits(self.official, final, early, prompts, multimask_output, output == "hq")[0]


@pytest.fixture(scope="module", params=list(product(SIZES, DEVICES)), ids="-".join)
def setup(request: pytest.FixtureRequest) -> Setup:
    name, device = request.param
    size = SIZES[name]
    blocks = FEWER_BLOCKS if (name, device) == ("vit_b", "cpu") else {}
    encoder = partial(vit_encoder, **{**size["encoder"], **blocks})
    sam = build_sam(**{**size, "encoder": encoder}, name="parity", patch_size=16, weights="random", cache_dir="unused")
    head = HQHead(sam)
    randomise(sam, seed=1)
    randomise(head, seed=2)
    sam, head = sam.to(device), head.to(device)
    official = build_authors_model(sam, head)
    generator = torch.Generator().manual_seed(3)
    # two images at small size; at full size one, whose features also serve, mirrored, as the second's
    count = 1 if name == "vit_b" else 2
    images = torch.randint(0, 256, (count, 3, sam.image_size, sam.image_size), generator=generator, dtype=torch.uint8)
    images = images.to(device)
    features = sam.encode(images)
    reference = official_features(official, images)
    assert relative(features.image_embeddings, reference[0]) <= TOLERANCE[device]
    assert relative(features.early, reference[1]) <= TOLERANCE[device]
    if count == 1:
        features = SamFeatures(mirrored(features.image_embeddings), mirrored(features.early), features.dense_pe)
        reference = (mirrored(reference[0]), mirrored(reference[1]))
    # several prompts are dear at full size, where a mixed batch has them
    return Setup(sam, head, official, features, reference, counts=(1,) if name == "vit_b" else (1, 3))


def mirrored(feature: Tensor) -> Tensor:
    return torch.cat([feature, feature.flip(-1)])


def relative(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    return float((ours - theirs).abs().max() / theirs.abs().max())


def make_prompts(kind: str, count: int, image_size: int, mask_input_size: int) -> list[Prompt]:
    generator = torch.Generator().manual_seed(len(kind) + count)

    def points(number: int) -> dict[str, Tensor]:
        coords = torch.rand(number, 2, generator=generator) * image_size
        return {"point_coords": coords, "point_labels": (torch.rand(number, generator=generator) > 0.3).long()}

    def box() -> Tensor:
        corners = torch.rand(2, 2, generator=generator) * image_size
        return torch.cat([corners.amin(0), corners.amax(0)])

    def mask() -> Tensor:
        blob = torch.rand(1, 1, 4, 4, generator=generator)
        return (nn.functional.interpolate(blob, mask_input_size) > 0.5)[0].float() * 255

    makers = {
        "box": lambda: Prompt(box=box()),
        "1 point": lambda: Prompt(**points(1)),
        "10 points": lambda: Prompt(**points(10)),
        "mask": lambda: Prompt(mask=mask()),
        "box + points": lambda: Prompt(box=box(), **points(3)),
        "box + mask": lambda: Prompt(box=box(), mask=mask()),
    }
    return [makers[kind]() for _ in range(count)]


@pytest.mark.parametrize("output", ["hq", "sum"])
@pytest.mark.parametrize("multimask_output", [False, True])
@pytest.mark.parametrize("kind", ["box", "1 point", "10 points", "mask", "box + points", "box + mask"])
def test_logits_are_the_authors(setup: Setup, kind: str, multimask_output: bool, output: str) -> None:
    for count in setup.counts:
        prompts = make_prompts(kind, count, setup.sam.image_size, setup.sam.mask_input_size)
        ours = setup.ours(prompts, [1] * count, multimask_output, output)
        assert relative(ours, setup.theirs(prompts, 1, multimask_output, output)) <= setup.tolerance


@pytest.mark.parametrize("multimask_output", [False, True])
def test_mixed_batch_is_the_per_image_loop(setup: Setup, multimask_output: bool) -> None:
    kinds = ["mask", "box", "10 points", "box", "1 point", "box + points", "mask"]
    size = (setup.sam.image_size, setup.sam.mask_input_size)
    prompts = [make_prompts(kind, 1 + row, *size)[0] for row, kind in enumerate(kinds)]
    image_index = [0, 0, 0, 1, 1, 1, 1]
    ours = setup.ours(prompts, image_index, multimask_output, "sum")
    loop = [setup.theirs([p], image, multimask_output, "sum") for p, image in zip(prompts, image_index, strict=True)]
    assert relative(ours, torch.cat(loop)) <= setup.tolerance
    assert all(not torch.allclose(a, b) for a, b in pairwise(loop)), "rows that do not differ would prove nothing"


def test_sam_alone_is_segment_anything(setup: Setup) -> None:
    """Without the HQ token beside its own, our baseline is SAM as Meta released it."""
    from hqsam_lightning.heads import SamHead

    prompts = make_prompts("box + points", 2, setup.sam.image_size, setup.sam.mask_input_size)
    shown = move_data_to_device((group_prompts(prompts), torch.tensor([1, 1])), setup.sam.device)
    encoded = setup.sam.encode_prompts(*shown)
    with torch.no_grad():
        ours = SamHead()(setup.sam, setup.features, encoded)
        theirs, iou = setup.sam.mask_decoder(
            image_embeddings=setup.features.image_embeddings[1:],
            image_pe=setup.features.dense_pe,
            sparse_prompt_embeddings=encoded[0].sparse,
            dense_prompt_embeddings=encoded[0].dense,
            multimask_output=False,
        )
    assert relative(ours.sam, theirs) <= setup.tolerance
    assert relative(ours.iou, iou[:, 0]) <= setup.tolerance
