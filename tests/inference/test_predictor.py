"""The predictor gives the masks of segment-anything's, and with a head those of the authors' package."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import segment_anything
import torch

from benchmarks.authors import build_authors_model
from conftest import randomise
from hqsam_lightning.errors import ConfigError, PromptError
from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.sam import FrozenSam

SIZES = [(48, 48), (40, 96), (100, 30)]


def photo(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Smooth, so that resizing it one way or another gives nearly the same."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 4, 4)))
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear", align_corners=False)
    return smooth[0].permute(1, 2, 0).round().numpy().astype(np.uint8)


def prompts_of(size: tuple[int, int]) -> dict[str, dict[str, np.ndarray]]:
    height, width = size
    box = np.array([width * 0.1, height * 0.2, width * 0.7, height * 0.9])
    points = np.array([[width * 0.5, height * 0.5], [width * 0.1, height * 0.9]])
    labels = np.array([1, 0])
    mask = np.random.default_rng(1).normal(size=(1, 16, 16)).astype(np.float32)
    return {
        "box": {"box": box},
        "points": {"point_coords": points, "point_labels": labels},
        "box and points": {"box": box, "point_coords": points, "point_labels": labels},
        "box and mask": {"box": box, "mask_input": mask},
    }


@pytest.fixture(scope="module")
def heads(tiny_sam: FrozenSam) -> SimpleNamespace:
    head = HQHead(tiny_sam)
    randomise(head, seed=3)
    authors = build_authors_model(tiny_sam, head)
    # after the model: importing the package warns, and its builder expects that
    from segment_anything_hq import SamPredictor as AuthorsPredictor

    return SimpleNamespace(ours=SamPredictor(HQSam(tiny_sam, head)), authors=AuthorsPredictor(authors))


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-5 * max(1, np.abs(theirs).max())


@pytest.mark.parametrize("kind", ["box", "points", "box and points", "box and mask"])
@pytest.mark.parametrize("size", SIZES)
def test_plain_sam_is_segment_anything(tiny_sam: FrozenSam, size: tuple[int, int], kind: str) -> None:
    published = segment_anything.SamPredictor(tiny_sam.sam)
    ours = SamPredictor(HQSam(tiny_sam))
    for predictor in (published, ours):
        predictor.set_image(photo(size)[..., ::-1], "BGR")
    assert ours.input_size == published.input_size
    for multimask in (False, True):
        for logits in (False, True):
            mine, theirs = (
                predictor.predict(**prompts_of(size)[kind], multimask_output=multimask, return_logits=logits)
                for predictor in (ours, published)
            )
            assert mine[0].dtype == theirs[0].dtype
            for one, other in zip(mine, theirs, strict=True):
                close(one.astype(np.float64), other.astype(np.float64))


@pytest.mark.parametrize("kind", ["box", "points", "box and mask"])
def test_a_head_gives_the_masks_of_the_authors_predictor(heads: SimpleNamespace, kind: str) -> None:
    size = (40, 96)
    for predictor in (heads.ours, heads.authors):
        predictor.set_image(photo(size))
    prompt = prompts_of(size)[kind]
    for hq_only in (False, True):
        mine = heads.ours.predict(**prompt, multimask_output=False, return_logits=True, hq_only=hq_only)
        theirs = heads.authors.predict(**prompt, multimask_output=False, return_logits=True, hq_token_only=hq_only)
        for one, other in zip(mine, theirs, strict=True):
            close(one, other)
    # they keep the mask that SAM scores highest
    mine = heads.ours.predict(**prompt, multimask_output=True, return_logits=True)
    theirs = heads.authors.predict(**prompt, multimask_output=True, return_logits=True)
    assert mine[0].shape == (3, *size)
    best = mine[1].argmax()
    for one, other in zip(mine, theirs, strict=True):
        close(one[best : best + 1], other)
    assert heads.ours.predict(**prompt, multimask_output=True, hq_only=True)[0].shape == (1, *size)


def test_a_tensor_that_is_not_square_is_the_image_of_the_same_array(tiny_sam: FrozenSam) -> None:
    """The published transform takes channels and height for its size."""
    image = photo((40, 80))
    predictor = SamPredictor(HQSam(tiny_sam))
    predictor.set_image(image)
    expected = predictor.features
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = predictor.transform.apply_image_torch(tensor)
    assert resized.shape == (1, 3, 32, 64)
    predictor.set_torch_image(resized, image.shape[:2])
    assert predictor.original_size == (40, 80)
    assert predictor.features.equal(expected)


def test_several_images_are_those_one_by_one(heads: SimpleNamespace) -> None:
    images = [photo(size, seed) for seed, size in enumerate(SIZES)]
    boxes = [prompts_of(size)["box"]["box"] for size in SIZES]
    two = np.stack([boxes[1], boxes[1] / 2])
    ours = heads.ours
    ours.set_images(images)
    found = ours.predict_batch(box_batch=[boxes[0], two, boxes[2]], return_logits=True)
    assert [masks.shape for masks in found[0]] == [(3, 48, 48), (2, 3, 40, 96), (3, 100, 30)]
    for number, prompts in enumerate([[boxes[0]], two, [boxes[2]]]):
        ours.set_image(images[number])
        for row, box in enumerate(prompts):
            alone = ours.predict(box=box, return_logits=True)
            for batched, single in zip(found, alone, strict=True):
                close(batched[number][row] if number == 1 else batched[number], single)


def test_stored_features_are_taken_back(heads: SimpleNamespace) -> None:
    ours, size = heads.ours, (40, 96)
    ours.set_image(photo(size))
    expected = ours.predict(**prompts_of(size)["box"])
    stored = ours.encoded()
    ours.reset_image()
    assert not ours.is_image_set
    assert ours.features is None
    ours.set_features(stored, [size])
    for one, other in zip(ours.predict(**prompts_of(size)["box"]), expected, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda p: p.set_image(np.zeros((4, 4), np.uint8)),
            r"expected a uint8 array \(H, W, 3\); got uint8 \(4, 4\)",
        ),
        (lambda p: p.set_image(np.zeros((4, 4, 3))), "got float64"),
        (lambda p: p.set_image(np.zeros((0, 4, 3), np.uint8)), "at least one pixel"),
        (lambda p: p.set_image(photo((4, 4)), "RGBA"), "image_format: expected one of RGB, BGR; got 'RGBA'"),
        (lambda p: p.predict(), "prompts: expected points, boxes or masks"),
        (lambda p: p.predict(point_coords=np.zeros((1, 2))), "point_labels: expected one for each point; got None"),
        (lambda p: p.predict(point_coords=np.zeros((2, 2)), point_labels=np.ones(1)), "point_labels: expected one for"),
        (lambda p: p.predict(box=np.array([0, 0, np.nan, 1])), "boxes: expected finite numbers"),
        (lambda p: p.predict(mask_input=np.zeros((1, 8, 8))), r"mask_input: expected the shape \(N, 1, 16, 16\)"),
        (lambda p: p.set_torch_image(torch.zeros(1, 3, 32, 32), (32, 32)), "longest side of 64"),
        (lambda p: p.set_features(p.encoded(), []), "original_sizes: expected one for each of the 1 images; got 0"),
    ],
)
def test_what_cannot_be_predicted_is_refused(
    tiny_sam: FrozenSam, call: Callable[[SamPredictor], object], message: str
) -> None:
    predictor = SamPredictor(HQSam(tiny_sam))
    predictor.set_image(photo((48, 48)))
    with pytest.raises(PromptError, match=message):
        call(predictor)


def test_an_image_comes_first(tiny_sam: FrozenSam) -> None:
    with pytest.raises(PromptError, match="call set_image"):
        SamPredictor(HQSam(tiny_sam)).predict(box=np.array([0, 0, 1, 1]))


def test_an_unknown_output_is_refused(tiny_sam: FrozenSam) -> None:
    with pytest.raises(ConfigError, match="output: expected one of sam; got 'hq'"):
        HQSam(tiny_sam, output="hq")
