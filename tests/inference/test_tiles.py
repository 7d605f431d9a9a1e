"""Large photos in tiles: windows cover the photo, small objects are those of a centred window, pieces are joined."""

import itertools

import numpy as np
import pytest

from hqsam_lightning.errors import ConfigError, PromptError
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.inference.objects import ObjectPrompt
from hqsam_lightning.inference.tiled_automatic import TiledMaskGenerator
from hqsam_lightning.inference.tiles import TiledPredictor
from hqsam_lightning.inference.windows import grid
from hqsam_lightning.sam import FrozenSam

SIZE = (150, 230)


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(150, 230), (64, 65), (40, 50), (64, 200)])
def test_windows_cover_the_photo_and_overlap(size: tuple[int, int]) -> None:
    windows = grid(size, 64, 16)
    seen = np.zeros(size, int)
    for window in windows:
        assert window.size == (min(64, size[0]), min(64, size[1]))
        seen[window.top : window.bottom, window.left : window.right] += 1
    assert seen.min() >= 1
    lefts = sorted({window.left for window in windows})
    assert all(after - before <= 64 - 16 for before, after in itertools.pairwise(lefts))


def test_a_photo_of_one_tile_gives_the_predictors_mask(tiny_sam: FrozenSam) -> None:
    model, image, box = HQSam(tiny_sam), photo()[:60, :50], (5.0, 6.0, 30.0, 40.0)
    (found,) = TiledPredictor(model, 64, 16).predict(image, [ObjectPrompt(box)])
    predictor = SamPredictor(model)
    predictor.set_image(image)
    assert np.array_equal(found.whole((60, 50)), predictor.predict(box=np.array(box), multimask_output=False)[0][0])


def test_every_prompt_gets_a_mask_inside_the_photo(tiny_sam: FrozenSam) -> None:
    prompts = [ObjectPrompt((10, 10, 200, 140)), ObjectPrompt(points=((100, 70, 1), (20, 20, 0)))]
    for found in TiledPredictor(HQSam(tiny_sam), 64, 16, prompts_per_call=1).predict(photo(), prompts):
        height, width = found.mask.shape
        assert found.left + width <= SIZE[1]
        assert found.top + height <= SIZE[0]
        assert found.whole(SIZE).shape == found.alpha(SIZE).shape == SIZE
    with pytest.raises(PromptError, match="point: expected"):
        TiledPredictor(HQSam(tiny_sam), 64, 16).predict(photo(), [ObjectPrompt(points=((500, 1, 1),))])
    with pytest.raises(ConfigError, match="overlap: expected at most half of the tile, 32"):
        TiledPredictor(HQSam(tiny_sam), 64, 33)


def test_pieces_of_one_object_are_joined(tiny_sam: FrozenSam, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a generator that finds two bright regions exactly: a bar through four tiles, and a square in one."""
    truth = np.zeros((2, *SIZE), bool)
    truth[0, 30:40, 10:220] = truth[1, 100:110, 100:110] = True
    image = np.zeros((*SIZE, 3), np.uint8)
    image[truth[0]], image[truth[1]] = 100, 200

    def generate(part: np.ndarray) -> list[dict]:
        masks = [part[..., 0] == value for value in (100, 200)]
        return [{"segmentation": mask, "predicted_iou": 0.9} for mask in masks if mask.any()]

    tiled = TiledMaskGenerator(HQSam(tiny_sam), 64, 16)
    monkeypatch.setattr(tiled._generator, "generate", generate)
    found = [segment.whole(SIZE) for segment in tiled.generate(image)]
    assert len(found) == 2
    assert all(any(np.array_equal(mask, each) for mask in found) for each in truth)
