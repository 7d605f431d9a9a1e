from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torch import Tensor

from hqsam_lightning.prompts.kinds import box_of, jitter_box, noise_mask, object_pixels, sample_points
from hqsam_lightning.prompts.mix import PromptMix
from hqsam_lightning.seeding import derive_rng

FRAME = (48, 64)
SIZE = 64
FAR = 10  # a pixel of the coarse mask draws on small pixels at most 9 rows or columns away


class StubGenerator:
    """Gives known draws, whatever shape they are asked in."""

    def __init__(self, draws: list[float] | np.ndarray) -> None:
        self.draws = np.asarray(draws)

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        assert (low, high) == (-1, 1)
        return self.draws.reshape(size)

    def standard_normal(self, size: tuple[int, ...], dtype: type = np.float64) -> np.ndarray:
        return self.draws.reshape(size).astype(dtype)


def random_mask(seed: int, density: float = 0.01) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(FRAME) < density, rng.uniform(0.6, 1.0, FRAME), rng.uniform(0.0, 0.4, FRAME))


def as_mask(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values[None].astype(np.float32))


def disc(side: int = 256, blur: float = 0.0) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    values = ((rows - 0.45 * side) ** 2 + (columns - 0.55 * side) ** 2 < (0.35 * side) ** 2).astype(float)
    return ndimage.gaussian_filter(values, blur) if blur else values


@pytest.mark.parametrize("seed", range(5))
def test_box_is_tight(seed: int) -> None:
    values = random_mask(seed)
    rows, columns = np.nonzero(values > 0.5)
    box = box_of(as_mask(values))
    assert box.dtype == torch.float32
    assert box.tolist() == [columns.min(), rows.min(), columns.max(), rows.max()]


@pytest.mark.parametrize(("row", "column"), [(0, 0), (47, 63), (5, 40)])
def test_box_of_a_pixel_has_equal_corners(row: int, column: int) -> None:
    values = np.zeros(FRAME)
    values[row, column] = 1
    assert box_of(as_mask(values)).tolist() == [column, row, column, row]


def test_value_at_the_threshold_is_no_object() -> None:
    mask = torch.zeros(1, 4, 4)
    mask[0, 1, 2] = 128 / 255
    assert len(object_pixels(mask)) == 0
    with pytest.raises(ValueError, match="expected a mask with an object pixel"):
        box_of(mask)
    mask[0, 3, 0] = 129 / 255
    assert object_pixels(mask).tolist() == [[0, 3]]
    assert box_of(mask).tolist() == [0, 3, 0, 3]


def protocol_jitter(box: list[float], scale: float, draws: list[float]) -> list[float]:
    """Straight from the protocol: centre += U * s * (w, h) / 2; size += U * s * (w, h); clamped to the frame."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    x = (left + right) / 2 + draws[0] * scale * width / 2
    y = (top + bottom) / 2 + draws[1] * scale * height / 2
    new_width, new_height = width + draws[2] * scale * width, height + draws[3] * scale * height
    corners = [x - new_width / 2, y - new_height / 2, x + new_width / 2, y + new_height / 2]
    limits = [FRAME[1], FRAME[0]] * 2
    return [min(max(value, 0), limit) for value, limit in zip(corners, limits, strict=True)]


@pytest.mark.parametrize("scale", [0.2, 0.4, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_jitter_is_the_protocols(scale: float, seed: int) -> None:
    draws = np.random.default_rng(seed).uniform(-1, 1, 4).tolist()
    box = [20.0, 10.0, 44.0, 26.0]
    jittered = jitter_box(torch.tensor(box), scale, FRAME, StubGenerator(draws))
    assert jittered.tolist() == pytest.approx(protocol_jitter(box, scale, draws), abs=1e-4)


@pytest.mark.parametrize(
    ("draws", "expected"),
    [
        ([0.5, 0, 0, 0], [22, 10, 42, 30]),
        ([0, -1, 0, 0], [20, 6, 40, 26]),
        ([0, 0, 1, 0], [16, 10, 44, 30]),
        ([0, 0, 0, -0.5], [20, 12, 40, 28]),
    ],
)
def test_each_draw_moves_one_thing(draws: list[float], expected: list[float]) -> None:
    jittered = jitter_box(torch.tensor([20.0, 10.0, 40.0, 30.0]), 0.4, FRAME, StubGenerator(draws))
    assert jittered.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("draws", "expected"),
    [([-1, -1, 0, 0], [0, 0, 31.5, 23.5]), ([1, 1, 0, 0], [31.5, 23.5, 64, 48]), ([0, 0, 1, 1], [0, 0, 64, 48])],
)
def test_jitter_stays_in_the_frame(draws: list[float], expected: list[float]) -> None:
    jittered = jitter_box(torch.tensor([0.0, 0.0, 63.0, 47.0]), 1.0, FRAME, StubGenerator(draws))
    assert jittered.tolist() == expected


def test_jitter_of_scale_0_changes_nothing() -> None:
    box = torch.tensor([3.0, 5.0, 63.0, 47.0])
    assert jitter_box(box, 0.0, FRAME, StubGenerator([1, -1, 1, -1])).tolist() == box.tolist()


def test_points_are_different_object_pixels() -> None:
    values = random_mask(7, density=0.02)
    inside = {(x, y) for y, x in np.argwhere(values > 0.5).tolist()}
    for seed in range(20):
        points = sample_points(as_mask(values), 10, np.random.default_rng(seed))
        assert points.shape == (10, 2)
        assert points.dtype == torch.float32
        drawn = {(int(x), int(y)) for x, y in points.tolist()}
        assert len(drawn) == 10
        assert drawn <= inside


def test_as_many_points_as_pixels_takes_all() -> None:
    mask = torch.zeros(1, 8, 8)
    mask[0, 2:4, 1:6] = 1
    points = sample_points(mask, 10, np.random.default_rng(0))
    assert {tuple(point) for point in points.tolist()} == {(x, y) for x in range(1, 6) for y in (2, 3)}
    assert sample_points(mask, 11, np.random.default_rng(0)) is None
    assert sample_points(torch.zeros(1, 8, 8), 1, np.random.default_rng(0)) is None


@pytest.mark.parametrize("position", [0, 3])
def test_points_are_uniform(position: int) -> None:
    mask = torch.zeros(1, 6, 6)
    mask[0, 1:4, 2:6] = 1
    rng = np.random.default_rng(0)
    points = torch.stack([sample_points(mask, 4, rng)[position] for _ in range(2400)]).long()
    counts = torch.bincount(points[:, 1] * 6 + points[:, 0], minlength=36).reshape(6, 6)[1:4, 2:6].flatten()
    assert counts.sum() == 2400
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def resize(values: np.ndarray, side: int) -> np.ndarray:
    """Bilinear, pixel centres at a half, without antialiasing; in float64."""
    for axis in (0, 1):
        length = values.shape[axis]
        position = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, length - 1)
        weight = np.expand_dims(position - low, 1 - axis)
        values = np.take(values, low, axis) * (1 - weight) + np.take(values, high, axis) * weight
    return values


def protocol_noise_mask(values: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The protocol's mask, and where its two comparisons are too close to call in float32."""
    small = resize(values, SIZE)
    residue = np.abs(small - resize(resize(small, SIZE // 8), SIZE))
    noisy = np.where(residue >= 0.01, small + noise, small)
    is_close = (np.abs(residue - 0.01) < 1e-5) | (np.abs(noisy - 0.5) < 1e-5)
    return np.where(noisy > 0.5, 255.0, 0.0), is_close


@pytest.mark.parametrize(("side", "blur"), [(256, 0.0), (256, 3.0), (200, 2.0), (64, 1.0)])
def test_noise_mask_is_the_protocols(side: int, blur: float) -> None:
    values = disc(side, blur).astype(np.float32).astype(float)
    noise = np.random.default_rng(side).standard_normal((SIZE, SIZE)).astype(np.float32)
    expected, is_close = protocol_noise_mask(values, noise.astype(float))
    degraded = noise_mask(as_mask(values), SIZE, StubGenerator(noise))
    assert degraded.shape == (1, SIZE, SIZE)
    assert degraded.dtype == torch.float32
    assert is_close.mean() < 0.02
    assert (degraded[0].numpy() == expected)[~is_close].all()
    clean, _ = protocol_noise_mask(values, np.zeros_like(noise))
    assert 20 < (expected != clean).sum() < expected.size / 2, "noise that changes nothing would prove nothing"


@pytest.mark.parametrize("sign", [-1, 1])
def test_noise_stays_at_the_boundary(sign: int) -> None:
    """Overwhelming noise takes the whole boundary region and leaves what lies far from it."""
    values = disc(256)
    clean = resize(values, SIZE) > 0.5
    degraded = noise_mask(as_mask(values), SIZE, StubGenerator(np.full((SIZE, SIZE), sign * 100.0)))[0].numpy()
    assert set(np.unique(degraded)) == {0.0, 255.0}
    inside = ndimage.distance_transform_cdt(np.pad(clean, FAR, mode="edge"), "chessboard")[FAR:-FAR, FAR:-FAR]
    outside = ndimage.distance_transform_cdt(np.pad(~clean, FAR, mode="edge"), "chessboard")[FAR:-FAR, FAR:-FAR]
    for distance, value in ((inside, 255.0), (outside, 0.0)):
        assert (distance > FAR).sum() > 50
        assert (degraded[distance > FAR] == value).all()
    edge = (inside == 1) | (outside == 1)
    assert (degraded[edge] == (255.0 if sign > 0 else 0.0)).mean() > 0.95


DRAWS = {
    "jitter_box": lambda rng: jitter_box(torch.tensor([5.0, 5.0, 30.0, 20.0]), 0.4, FRAME, rng),
    "sample_points": lambda rng: sample_points(as_mask(disc(64)), 10, rng),
    "noise_mask": lambda rng: noise_mask(as_mask(disc(64)), 32, rng),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_draws_depend_on_the_generator_alone(draw: Callable[[np.random.Generator], Tensor]) -> None:
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = draw(np.random.default_rng(3))
    assert torch.equal(first, draw(np.random.default_rng(3)))
    assert not torch.equal(first, draw(np.random.default_rng(4)))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


def test_the_deepest_point_is_a_kind() -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, 2:9, 4:11] = 1
    prompt = PromptMix({"deepest_point": 1}).draw(mask, 4, derive_rng("deepest"))
    assert prompt.point_coords is not None
    assert prompt.point_coords.tolist() == [[7.0, 5.0]]
    assert prompt.point_labels is not None
    assert prompt.point_labels.tolist() == [1]
    assert prompt.box is None
