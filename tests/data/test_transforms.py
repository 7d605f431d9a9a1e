"""Jitter, flip, fit and stretch against a second implementation with torch's interpolation."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hqsam_lightning.data.transforms import (
    Augmentation,
    Framed,
    LargeScaleJitter,
    clear_ignored,
    fit_size,
    has_object,
    place,
    resize,
    resize_mask,
)
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.types import Sample

TARGET = 64
OBJECT = 128 / 255
TOLERANCE = 3e-5  # float32 positions of a resize of white noise, 200 pixels in


def fit(image: np.ndarray, masks: np.ndarray, side: int, ignore: np.ndarray | None = None) -> Framed:
    return place(image, masks, fit_size(image.shape[:2], side), side, ignore)


def stretch(image: np.ndarray, masks: np.ndarray, side: int, ignore: np.ndarray | None = None) -> Framed:
    return place(image, masks, (side, side), side, ignore)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def soft_masks(height: int, width: int, count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, height, width), dtype=np.float32)


def interpolate(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(C, H, W) to (C, h, w), by torch in float64."""
    tensor = torch.from_numpy(array.astype(np.float64))[None]
    return F.interpolate(tensor, size, mode="bilinear", align_corners=False, antialias=False)[0].numpy()


def reference(
    image: np.ndarray, masks: np.ndarray, scaled: tuple[int, int], corner: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Resize, crop at the corner, pad right and bottom; the image is not truncated yet."""
    rows, columns = (slice(first, first + TARGET) for first in corner)
    pixels = interpolate(image.transpose(2, 0, 1), scaled)[:, rows, columns].transpose(1, 2, 0)
    cut = interpolate(masks, scaled)[:, rows, columns]
    out_image = np.full((TARGET, TARGET, 3), 128.0)
    out_image[: pixels.shape[0], : pixels.shape[1]] = pixels
    out_masks = np.zeros((len(masks), TARGET, TARGET))
    out_masks[:, : cut.shape[1], : cut.shape[2]] = cut
    return out_image, out_masks


def assert_truncated(actual: np.ndarray, exact: np.ndarray) -> None:
    """A float32 rounding error may move a value over a whole number, and only then the grey level may differ."""
    assert actual.dtype == np.uint8
    assert actual.shape == exact.shape
    assert (actual >= np.floor(exact - 1e-3)).all()
    assert (actual <= np.floor(exact + 1e-3)).all()


def draw(jitter: LargeScaleJitter, shape: tuple[int, int], seed: int) -> tuple[tuple[int, int], tuple[int, int]]:
    jitter.set_random_seed(seed)
    params = jitter.get_params_dependent_on_data({"shape": (*shape, 3)}, {})
    return params["scaled"], params["corner"]


# --- large-scale jitter ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(97, 61), (61, 97), (40, 40), (33, 150), (201, 77)])
@pytest.mark.parametrize("scales", [(0.2, 0.9), (1.0, 1.0), (1.1, 2.0)], ids=["shrunk", "fitted", "enlarged"])
def test_jitter_equals_torch_interpolation_crop_and_padding(shape, scales):
    jitter = LargeScaleJitter(TARGET, *scales)
    image, masks = photo(*shape), soft_masks(*shape)
    for seed in range(5):
        scaled, corner = draw(jitter, shape, seed)
        jitter.set_random_seed(seed)
        made = jitter(image=image, masks=masks)
        expected_image, expected_masks = reference(image, masks, scaled, corner)
        assert_truncated(made["image"], expected_image)
        assert made["masks"].dtype == np.float32
        np.testing.assert_allclose(made["masks"], expected_masks, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(90, 60), (61, 97), (128, 128), (64, 33)])
def test_training_sees_the_pixels_of_validation(shape):
    """Fitted without flip, jitter gives the pixels of `fit`, and of `stretch` for a square."""
    image, masks = photo(*shape), soft_masks(*shape)
    drawn = Augmentation(TARGET, flip_prob=0, min_scale=1, max_scale=1)(image, masks, seed=0)
    np.testing.assert_array_equal(drawn.image, fit(image, masks, TARGET).image)
    if shape[0] == shape[1]:
        np.testing.assert_array_equal(drawn.image, stretch(image, masks, TARGET).image)


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_an_even_photo_stays_as_it_is(level, scale):
    """At scales whose weights float32 holds exactly; the extremes neither wrap around nor leave their range."""
    image = np.full((TARGET, TARGET, 3), level, np.uint8)
    drawn = LargeScaleJitter(TARGET, scale, scale)(image=image)["image"]
    inside = round(min(scale, 1) * TARGET)
    assert (drawn[:inside, :inside] == level).all()


@pytest.mark.parametrize("shape", [(97, 61), (61, 97), (40, 40), (300, 7)])
def test_longest_side_is_the_scale_times_the_target(shape):
    for scale in (0.1, 0.37, 1.0, 1.99):
        scaled, _ = draw(LargeScaleJitter(TARGET, scale, scale), shape, seed=0)
        longest = round(scale * TARGET)
        assert max(scaled) == longest
        assert (scaled[0] >= scaled[1]) == (shape[0] >= shape[1])
        assert abs(min(scaled) - longest * min(shape) / max(shape)) <= 0.5 or min(scaled) == 1


def test_scale_is_uniform_over_its_range():
    jitter = LargeScaleJitter(1024, 0.1, 2.0)
    scales = np.array([max(draw(jitter, (300, 400), seed)[0]) / 1024 for seed in range(2000)])
    assert 0.0995 <= scales.min() < 0.12
    assert 1.98 < scales.max() <= 2.0005
    shares = np.histogram(scales, bins=5, range=(0.099, 2.001))[0] / len(scales)
    assert np.abs(shares - 0.2).max() < 0.04


def test_corners_reach_both_ends_and_stay_inside():
    jitter = LargeScaleJitter(TARGET, 0.1, 2.0)
    relative: list[list[float]] = [[], []]
    for seed in range(2000):
        scaled, corner = draw(jitter, (90, 100), seed)
        for axis in (0, 1):
            room = max(scaled[axis] - TARGET, 0)
            assert 0 <= corner[axis] <= room
            if room > 10:
                relative[axis].append(corner[axis] / room)
    for values in relative:
        assert min(values) == 0
        assert max(values) == 1
        assert abs(np.mean(values) - 0.5) < 0.04


def test_rows_and_columns_of_the_corner_are_drawn_independently():
    corners = np.array([draw(LargeScaleJitter(TARGET, 2, 2), (90, 90), seed)[1] for seed in range(400)])
    assert abs(np.corrcoef(corners, rowvar=False)[0, 1]) < 0.15


def test_masks_stay_soft():
    hard = np.zeros((1, 90, 70), np.float32)
    hard[0, 20:61, 13:50] = 1
    _, masks, _ = Augmentation(TARGET, min_scale=0.7, max_scale=0.7)(photo(90, 70), hard, seed=1)
    between = (masks > 0.05) & (masks < 0.95)
    assert between.sum() > 20
    assert masks.min() >= 0
    assert masks.max() <= 1


# --- augmentation ----------------------------------------------------------------------------------------------------


def test_image_and_mask_are_flipped_together():
    """The mask is also the photo's red; its blue tells content (0) from padding (128)."""
    mask = np.zeros((1, 50, 70), np.float32)
    mask[0, 10:45, 3:30] = 1
    image = np.zeros((50, 70, 3), np.uint8)
    image[..., 0] = mask[0] * 255
    augmentation = Augmentation(TARGET)
    for seed in range(60):
        made, masks, _ = augmentation(image, mask, seed)
        content = made[..., 2] == 0
        assert np.abs(made[..., 0] - masks[0] * 255)[content].max() <= 1.01
        assert (made[~content] == 128).all()
        assert (masks[0][~content] == 0).all()


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 0), (0.5, 160, 240), (1.0, 400, 400)])
def test_flips_happen_as_often_as_asked(probability, low, high):
    augmentation = Augmentation(TARGET, flip_prob=probability, min_scale=1, max_scale=1)
    image, mask = photo(TARGET, TARGET), np.zeros((1, TARGET, TARGET), np.float32)
    mask[..., :10] = 1
    flips = 0
    for seed in range(400):
        made, masks, _ = augmentation(image, mask, seed)
        flipped = bool(masks[0, 0, -1])
        np.testing.assert_array_equal(masks, mask[..., ::-1] if flipped else mask)
        np.testing.assert_array_equal(made, image[:, ::-1] if flipped else image)
        flips += flipped
    assert low <= flips <= high


def test_flip_and_scale_are_drawn_independently():
    """On a horizontal ramp the slope's sign shows the flip and its size the scale."""
    image = np.repeat(np.tile(np.linspace(0, 255, 256)[None, :, None], (256, 1, 1)), 3, axis=2).astype(np.uint8)
    mask = np.ones((1, 256, 256), np.float32)
    augmentation = Augmentation(TARGET, min_scale=0.5, max_scale=2.0)
    slopes = []
    for seed in range(400):
        row = augmentation(image, mask, seed)[0][0].astype(float)[:, 0]
        slopes.append((row[28] - row[4]) / 24)
    scales = 255 / np.abs(slopes) / TARGET
    flipped = np.array(slopes) < 0
    assert 160 <= flipped.sum() <= 240
    assert abs(scales[flipped].mean() - scales[~flipped].mean()) < 0.15


def test_no_draw_loses_a_single_pixel_in_a_corner():
    image, mask = photo(300, 450), np.zeros((1, 300, 450), np.float32)
    mask[0, -1, -1] = 1
    augmentation = Augmentation(TARGET)
    for seed in range(300):
        made, masks, _ = augmentation(image, mask, seed)
        assert made.shape == (TARGET, TARGET, 3)
        assert masks.shape == (1, TARGET, TARGET)
        assert (masks > OBJECT).any()


def test_of_many_masks_those_with_object_pixels_are_kept():
    """Each mask is also a channel of the photo, padded with 128, so the photo tells which masks are in the frame."""
    masks = np.zeros((3, 120, 100), np.float32)
    masks[0, :20, :15] = 1
    masks[1, 30:90, 20:80] = 1
    masks[2, -9:, -9:] = 1
    image = (masks * 255).astype(np.uint8).transpose(1, 2, 0).copy()
    augmentation = Augmentation(TARGET)
    counts = set()
    for seed in range(150):
        made, kept, _ = augmentation(image, masks, seed)
        visible = [channel for channel in range(3) if made[..., channel].max() > 128]
        assert len(kept) == len(visible) > 0
        assert (kept > OBJECT).any(axis=(1, 2)).all()
        for mask, channel in zip(kept, visible, strict=True):
            assert (made[..., channel] >= 153)[mask > 0.61].all()
            assert not (made[..., channel] >= 153)[mask < 0.59].any()
        counts.add(len(kept))
    assert counts == {1, 2, 3}


def test_when_every_draw_loses_the_object_the_sample_is_fitted():
    image, mask = photo(90, 120), np.zeros((1, 90, 120), np.float32)
    mask[0, 40, 100] = 1
    augmentation = Augmentation(TARGET, flip_prob=1.0, min_scale=0.03, max_scale=0.05, redraws=0)
    expected, _ = reference(image, mask, (48, 64), (0, 0))
    for seed in range(20):
        made, masks, _ = augmentation(image, mask, seed)
        assert_truncated(made, expected)
        ys, xs = np.nonzero(masks[0] > OBJECT)
        assert np.abs(ys - 40 * 48 / 90).max() <= 1
        assert np.abs(xs - 100 * 64 / 120).max() <= 1


def test_lost_objects_are_drawn_again():
    image, mask = photo(TARGET, TARGET), np.zeros((1, TARGET, TARGET), np.float32)
    mask[..., :8] = 1

    def fitted(redraws: int) -> int:
        augmentation = Augmentation(TARGET, min_scale=2, max_scale=2, redraws=redraws)
        return sum(np.array_equal(augmentation(image, mask, seed)[0], image) for seed in range(100))

    assert fitted(0) > 50
    assert fitted(3) < fitted(0)
    assert fitted(10) < 15


@pytest.mark.parametrize("ignored", [False, True])
def test_a_zoomed_view_is_the_cut_stretched_to_the_frame(ignored: bool) -> None:
    image, masks = photo(300, 400), np.zeros((3, 300, 400), np.float32)
    masks[0, 100:180, 150:250] = 1
    masks[1, 170:190, 240:390] = 1  # reaches into the cut
    masks[2, :20, :20] = 1
    ignore = np.zeros((300, 400), bool)
    ignore[140:150] = ignored
    masks[:, ignore] = 0
    # 99 and 79 pixels between the corners, 20 and 15 of margin; 149 and 19, and 64 pixels at least
    places = [np.s_[84:195, 130:269], np.s_[148:212, 210:400]]
    expected = [stretch(image[place], masks[:2, place[0], place[1]], 64, ignore[place]) for place in places]
    expected.append(stretch(image[:64, :64], masks[2:, :64, :64], 64, ignore[:64, :64]))
    seen = set()
    for seed in range(20):
        zoom = Augmentation(64, flip_prob=0, zoom_prob=1, zoom_margins=[0.2, 0.2])
        found = zoom(image, masks, seed, ignore if ignored else None)
        (which,) = [place for place, by_hand in enumerate(expected) if np.array_equal(by_hand.image, found.image)]
        np.testing.assert_array_equal(found.masks, expected[which].masks)
        assert (found.ignore is None) == (expected[which].ignore is None)
        assert found.ignore is None or (found.ignore == expected[which].ignore).all()
        seen.add(which)
    assert seen == {0, 1, 2}
    assert (expected[0].ignore is not None) == ignored


def test_views_that_are_not_zoomed_are_as_without_zoom() -> None:
    image, masks = photo(90, 120), soft_masks(90, 120, 1)
    plain, zoomed = Augmentation(TARGET), Augmentation(TARGET, zoom_prob=0.3)
    same = [np.array_equal(plain(image, masks, seed).image, zoomed(image, masks, seed).image) for seed in range(100)]
    assert 55 <= sum(same) <= 85


def test_the_seed_alone_decides():
    image, masks = photo(90, 120), soft_masks(90, 120)
    one, other = Augmentation(TARGET), Augmentation(TARGET)
    first = [one(image, masks, seed) for seed in range(8)]
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    for seed in (5, 0, 7, 5):
        other(photo(33, 44), soft_masks(33, 44, count=1), seed + 100)
        for made, expected in zip(other(image, masks, seed), first[seed], strict=True):
            np.testing.assert_array_equal(made, expected)
    assert len({made.tobytes() for made, *_ in first}) > 5  # two draws may shrink a photo to the same size


def test_seeds_of_64_bits_are_told_apart():
    image, masks = photo(90, 120), soft_masks(90, 120)
    augmentation = Augmentation(TARGET, min_scale=1.5)
    made = [augmentation(image, masks, seed)[0].tobytes() for seed in (3, 3 + 2**32, 3 + 2**62)]
    assert len(set(made)) == 3


def test_global_random_state_is_left_alone():
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    Augmentation(TARGET)(photo(90, 120), soft_masks(90, 120), seed=3)
    after = random.random(), np.random.random(), torch.rand(1).item()
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    assert after == (random.random(), np.random.random(), torch.rand(1).item())


def test_inputs_are_left_alone():
    image, masks = photo(90, 120), soft_masks(90, 120)
    Augmentation(TARGET, flip_prob=1)(image, masks, seed=3)
    np.testing.assert_array_equal(image, photo(90, 120))
    np.testing.assert_array_equal(masks, soft_masks(90, 120))


# --- masks and geometry ----------------------------------------------------------------------------------------------


def test_an_object_pixel_is_one_above_128_of_255():
    masks = np.zeros((3, 4, 4), np.float32)
    masks[1, 2, 2] = np.float32(128 / 255)
    masks[2, 2, 2] = np.float32(129 / 255)
    assert has_object(masks).tolist() == [False, False, True]


@pytest.mark.parametrize("position", [(0, 0), (399, 599), (0, 599), (123, 457), (201, 39)])
def test_a_single_pixel_survives_shrinking_at_its_place(position):
    mask = np.zeros((400, 600), np.float32)
    mask[position] = 1
    assert not (resize(mask, (10, 15)) > OBJECT).any()
    shrunk = resize_mask(mask, (10, 15))
    assert shrunk.shape == (10, 15)
    assert np.argwhere(shrunk > OBJECT).tolist() == [[position[0] // 40, position[1] // 40]]


def test_a_thin_line_that_is_lost_comes_back_whole():
    mask = np.zeros((400, 600), np.float32)
    mask[5] = 1
    shrunk = resize_mask(mask, (10, 15))
    assert (shrunk[0] > OBJECT).all()
    assert not (shrunk[1:] > 0).any()


def test_masks_that_survive_are_resized_plainly():
    (mask,) = soft_masks(90, 70, count=1)
    np.testing.assert_allclose(
        resize_mask(mask, (40, 50)), interpolate(mask[None], (40, 50))[0], rtol=0, atol=TOLERANCE
    )


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((200, 100), 50, (50, 25)),
        ((100, 200), 50, (25, 50)),
        ((30, 31), 64, (62, 64)),
        ((1000, 3), 100, (100, 1)),
        ((7, 7), 1, (1, 1)),
    ],
)
def test_fit_size_keeps_the_aspect(size, longest, expected):
    assert fit_size(size, longest) == expected


@pytest.mark.parametrize(("shape", "scaled"), [((90, 61), (64, 43)), ((30, 40), (48, 64)), ((64, 64), (64, 64))])
def test_fit_puts_the_whole_photo_top_left(shape, scaled):
    image, masks = photo(*shape), soft_masks(*shape)
    made, fitted, _ = fit(image, masks, TARGET)
    expected_image, expected_masks = reference(image, masks, scaled, (0, 0))
    assert_truncated(made, expected_image)
    np.testing.assert_allclose(fitted, expected_masks, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("shape", [(90, 61), (30, 140), (64, 64)])
def test_stretch_fills_the_frame_whatever_the_aspect(shape):
    image, masks = photo(*shape), soft_masks(*shape)
    made, stretched, _ = stretch(image, masks, TARGET)
    expected_image, expected_masks = reference(image, masks, (TARGET, TARGET), (0, 0))
    assert_truncated(made, expected_image)
    assert stretched.dtype == np.float32
    np.testing.assert_allclose(stretched, expected_masks, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("transform", [fit, stretch])
def test_fit_and_stretch_keep_tiny_objects(transform: Callable):
    masks = np.zeros((2, 640, 320), np.float32)
    masks[0, 11, 317] = masks[1, 639, 0] = 1
    made = transform(photo(640, 320), masks, TARGET).masks
    assert (made > OBJECT).any(axis=(1, 2)).all()


# --- ignored pixels --------------------------------------------------------------------------------------------------


def ignored(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A ring, a block at a corner, and single pixels."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot(y - height / 2, x - width / 2) / min(height, width)
    single = np.random.default_rng(seed).random((height, width)) < 0.01
    return ((away > 0.25) & (away < 0.35)) | ((y > 0.8 * height) & (x < 0.2 * width)) | single


def assert_ignored(actual: np.ndarray | None, share: np.ndarray) -> None:
    """Compares with the share of ignored pixels by the reference; shares near the threshold may fall either way."""
    assert actual is not None
    assert actual.dtype == np.bool_
    assert actual[share > 1.5e-3].all()
    assert not actual[share < 0.5e-3].any()


@pytest.mark.parametrize("shape", [(97, 61), (61, 97), (40, 40), (33, 150)])
@pytest.mark.parametrize("scale", [0.37, 1.0, 1.7])
def test_jitter_ignores_what_ignored_pixels_contribute_to(shape, scale):
    augmentation = Augmentation(TARGET, flip_prob=0, min_scale=scale, max_scale=scale)
    image, ignore = photo(*shape), ignored(*shape)
    masks = np.where(ignore, np.float32(0), soft_masks(*shape))
    for seed in range(4):
        framed = augmentation(image, masks, seed, ignore)
        scaled = fit_size(shape, round(scale * TARGET))
        plain = augmentation(image, masks, seed)
        corners = [(y, x) for y in range(max(scaled[0] - TARGET, 0) + 1) for x in range(max(scaled[1] - TARGET, 0) + 1)]
        exact = interpolate(masks, scaled)
        (corner,) = [at for at in corners if np.abs(cut(exact, at) - plain.masks).max() < 1e-3]
        share = cut(interpolate(ignore[None].astype(float), scaled), corner)[0]
        assert_ignored(framed.ignore, share)
        expected = np.where(framed.ignore, 0, plain.masks)
        np.testing.assert_array_equal(framed.masks, expected)
        np.testing.assert_array_equal(framed.image, plain.image)


def cut(planes: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
    """(C, h, w) cropped at the corner and padded with 0 to the target."""
    inside = planes[:, corner[0] : corner[0] + TARGET, corner[1] : corner[1] + TARGET]
    frame = np.zeros((len(planes), TARGET, TARGET))
    frame[:, : inside.shape[1], : inside.shape[2]] = inside
    return frame


@pytest.mark.parametrize("shape", [(97, 61), (50, 160), (64, 64), (201, 77)])
@pytest.mark.parametrize("transform", [fit, stretch], ids=["fit", "stretch"])
def test_fit_and_stretch_ignore_what_ignored_pixels_contribute_to(transform: Callable, shape):
    image, ignore = photo(*shape), ignored(*shape)
    masks = np.where(ignore, np.float32(0), soft_masks(*shape))
    framed, plain = transform(image, masks, TARGET, ignore), transform(image, masks, TARGET)
    size = (TARGET, TARGET) if transform is stretch else fit_size(shape, TARGET)
    assert_ignored(framed.ignore, cut(interpolate(ignore[None].astype(float), size), (0, 0))[0])
    np.testing.assert_array_equal(framed.masks, np.where(framed.ignore, 0, plain.masks))
    np.testing.assert_array_equal(framed.image, plain.image)


def test_a_flip_moves_the_ignored_pixels_along():
    ignore = np.zeros((TARGET, TARGET), bool)
    ignore[:, :10] = True
    masks = np.where(ignore, np.float32(0), soft_masks(TARGET, TARGET))
    flipped = Augmentation(TARGET, flip_prob=1, min_scale=1, max_scale=1)(photo(TARGET, TARGET), masks, 0, ignore)
    np.testing.assert_array_equal(flipped.ignore, ignore[:, ::-1])


@pytest.mark.parametrize("transform", [fit, stretch], ids=["fit", "stretch"])
def test_an_object_between_ignored_pixels_keeps_its_own(transform: Callable):
    """A single object pixel in an ignored field: at a tenth of the size, every pixel around it is touched."""
    ignore = np.zeros((640, 640), bool)
    ignore[200:400, 200:400] = True
    masks = np.zeros((1, 640, 640), np.float32)
    ignore[305, 318], masks[0, 305, 318] = False, 1
    framed = transform(photo(640, 640), masks, TARGET, ignore)
    assert (framed.masks[0] > OBJECT).sum() == 1
    assert framed.masks[0, 30, 31] == 1
    assert not framed.ignore[30, 31]
    assert framed.ignore[20:40, 20:40].sum() == 399


def test_a_mask_whose_object_a_draw_leaves_to_ignored_pixels_is_left_out():
    ignore = np.zeros((640, 640), bool)
    ignore[::2] = True
    masks = np.zeros((2, 640, 640), np.float32)
    masks[0, 301, 300], masks[1, 500:600, 500:600] = 1, 1
    ignore[480:620, 480:620] = False
    masks = np.where(ignore, np.float32(0), masks)
    framed = Augmentation(TARGET, flip_prob=0, min_scale=1, max_scale=1)(photo(640, 640), masks, 0, ignore)
    assert len(framed.masks) == 1
    assert (framed.masks[0] > OBJECT)[50:60, 50:60].all()


def test_nothing_is_ignored_where_the_crop_has_no_ignored_pixel():
    ignore = np.zeros((TARGET, 2 * TARGET), bool)
    ignore[:, 0] = True
    masks = np.where(ignore, np.float32(0), np.ones((1, *ignore.shape), np.float32))
    made = [Augmentation(TARGET, 0, 2, 2)(photo(*ignore.shape), masks, seed, ignore).ignore for seed in range(12)]
    assert any(each is None for each in made)
    assert Augmentation(TARGET)(photo(50, 50), soft_masks(50, 50), 0, np.zeros((50, 50), bool)).ignore is None


@pytest.mark.parametrize("seed", range(3))
def test_masks_lose_their_ignored_pixels(seed):
    ignore, masks = ignored(40, 60, seed), soft_masks(40, 60, seed=seed)
    cleared = clear_ignored(Sample(photo(40, 60), masks, "set/a", "set", ignore))
    np.testing.assert_array_equal(cleared.masks, masks * ~ignore)
    np.testing.assert_array_equal(cleared.ignore, ignore)
    whole = Sample(photo(40, 60), masks, "set/a", "set")
    assert clear_ignored(whole) is whole


def test_a_mask_of_ignored_pixels_alone_is_refused():
    masks = np.zeros((2, 20, 20), np.float32)
    masks[0, 3, 4], masks[1, 9:12, 9:12] = 1, 1
    ignore = np.zeros((20, 20), bool)
    ignore[8:13, 8:13] = True
    with pytest.raises(DataError, match=r"set/a: expected every mask with an object pixel that is not ignored; mask 1"):
        clear_ignored(Sample(photo(20, 20), masks, "set/a", "set", ignore))


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip_prob", [-0.1, 1.1, float("nan")])
def test_a_flip_probability_out_of_range_is_named(flip_prob):
    with pytest.raises(ConfigError, match=rf"^augmentation\.flip_prob: expected .* got {flip_prob}$"):
        Augmentation(TARGET, flip_prob=flip_prob)


def test_negative_redraws_are_named():
    with pytest.raises(ConfigError, match=r"^augmentation\.redraws: expected .* got -1$"):
        Augmentation(TARGET, redraws=-1)


@pytest.mark.parametrize("scales", [(0, 1), (-1, 1), (1.5, 1.0), (float("nan"), 1.0), (1.0, float("nan"))])
@pytest.mark.parametrize("make", [LargeScaleJitter, Augmentation])
def test_scales_that_cannot_work_are_named(make, scales):
    with pytest.raises(ConfigError, match=r"^augmentation\.(min|max)_scale.*: expected .* got (0|-1|1\.5, 1\.0|nan)$"):
        make(TARGET, min_scale=scales[0], max_scale=scales[1])
