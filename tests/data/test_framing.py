"""How photos are fitted into the model's frame, and back; padding is what SAM's own predictor does."""

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from hqsam_lightning.data.framing import FRAMES, Pad, Stretch
from hqsam_lightning.heads import SamHead
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import Prompt


@pytest.mark.parametrize(("height", "width"), [(37, 90), (120, 51), (64, 64), (70, 69)])
def test_padding_is_that_of_sams_predictor(tiny_sam: FrozenSam, height: int, width: int) -> None:
    rng = np.random.default_rng(height)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((1, height, width), np.float32)
    mask[:, 10:30, 20:40] = 1
    frame = Pad(tiny_sam.image_size)
    framed = frame.place(image, mask)
    box = torch.tensor([12.0, 9.0, 40.0, 31.0])

    predictor = SamPredictor(tiny_sam.sam)
    predictor.set_image(image)
    theirs, _, low = predictor.predict_torch(None, None, box[None], multimask_output=False)

    pixels = torch.from_numpy(framed.image).permute(2, 0, 1)[None]
    with torch.no_grad():
        encoded = tiny_sam.encode_prompts(group_prompts([Prompt(box=box)]), torch.tensor([0]))
        logits = SamHead()(tiny_sam, tiny_sam.encode(pixels), encoded).sam
    torch.testing.assert_close(logits, low, rtol=1e-4, atol=1e-4)
    assert torch.equal(frame.restore(low[0], (height, width)), theirs[0])


@pytest.mark.parametrize("name", FRAMES)
def test_a_mask_comes_back_as_it_was(name: str) -> None:
    """Up to its boundary: logits have a quarter of the frame's side."""
    frame = FRAMES[name](256)
    mask = np.zeros((1, 90, 200), np.float32)
    mask[:, 20:70, 50:150] = 1
    framed = frame.place(np.zeros((90, 200, 3), np.uint8), mask)
    logits = torch.nn.functional.interpolate(torch.from_numpy(framed.masks)[None] - 0.5, (64, 64), mode="area")[0]
    back = frame.restore(logits, (90, 200)).numpy()
    assert back.shape == (1, 90, 200)
    union, both = (back | (mask > 0)).sum(), (back & (mask > 0)).sum()
    assert both / union > 0.93


def test_ignored_pixels_move_with_the_image() -> None:
    mask, ignore = np.zeros((1, 40, 80), np.float32), np.zeros((40, 80), bool)
    mask[:, 5:30, 5:30], ignore[:, 60:] = 1, True
    padded, stretched = (frame(64).place(np.zeros((40, 80, 3), np.uint8), mask, ignore) for frame in (Pad, Stretch))
    assert padded.ignore is not None
    assert stretched.ignore is not None
    assert padded.ignore[:32, 49:].all()
    assert not padded.ignore[32:].any()
    assert stretched.ignore[:, 49:].all()


def test_no_two_frames_share_a_name() -> None:
    margins = (None, 0.1, 0.25)
    assert len({frame(64, margin).suffix for frame in FRAMES.values() for margin in margins}) == 3 * len(FRAMES)


def test_pixels_of_the_photo_per_pixel_of_the_frame() -> None:
    assert Stretch(64).scale((32, 128)) == (2, 0.5)
    assert Pad(64).scale((32, 128)) == (2, 2)
