import cv2
import numpy as np
import pytest

from hqsam_lightning.data.scenes.strokes import box, circle, contour, curl, curls, ellipse, mesh, profile, smooth, taper


def area_of(polygon: np.ndarray) -> float:
    return float(cv2.contourArea((polygon * 1000).astype(np.float32))) / 1e6


def test_circle_gives_unit_vectors():
    np.testing.assert_allclose(circle(np.array([0, np.pi / 2, np.pi])), [[1, 0], [0, 1], [-1, 0]], atol=1e-12)


def test_contour_is_a_circle_without_roughness_and_stays_in_bounds_with_it():
    np.testing.assert_allclose(np.hypot(*contour(np.random.default_rng(0), 0).T), 1)
    radii = np.hypot(*contour(np.random.default_rng(0), 3.0).T)
    assert radii.min() >= 0.3 - 1e-9
    assert radii.max() <= 2 + 1e-9
    assert np.ptp(radii) > 0.5


def test_curls_leave_their_starts_at_their_angles():
    starts, angles, lengths = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([0.0, np.pi / 2]), np.array([1.0, 4.0])
    curves = curls(np.random.default_rng(0), starts, angles, lengths)
    assert curves.shape == (2, 9, 2)
    np.testing.assert_array_equal(curves[:, 0], starts)
    np.testing.assert_allclose(np.linalg.norm(np.diff(curves, axis=1), axis=2), np.repeat(lengths[:, None] / 8, 8, 1))
    np.testing.assert_allclose(curves[:, 1] - starts, [[1 / 8, 0], [0, 4 / 8]], atol=1e-12)
    one = curl(np.random.default_rng(0), starts[0], 0.0, 1.0)
    np.testing.assert_allclose(one, curves[0])


def test_ellipse_has_its_axes_and_angle():
    turned = ellipse([3, 4], 2, 1, np.pi / 2)
    np.testing.assert_allclose(turned.mean(0), [3, 4])
    np.testing.assert_allclose(np.abs(turned - [3, 4]).max(0), [1, 2])
    assert area_of(turned) == pytest.approx(2 * np.pi, rel=0.02)
    slanted = ellipse([0, 0], 2, 0.1, 0.5)
    np.testing.assert_allclose(slanted[0], 2 * np.array([np.cos(0.5), np.sin(0.5)]))


def test_box_has_its_sides():
    np.testing.assert_array_equal(box(1, 2, 3, 5), [[1, 2], [3, 2], [3, 5], [1, 5]])


def test_smooth_goes_through_its_points():
    points = np.random.default_rng(0).normal(size=(5, 2))
    curve, loop = smooth(points), smooth(points, closed=True)
    assert (len(curve), len(loop)) == (25, 30)
    np.testing.assert_allclose(curve[::6], points)
    np.testing.assert_allclose(loop[::6], points)


def test_smooth_of_a_line_is_the_line_and_has_no_corners_elsewhere():
    np.testing.assert_allclose(smooth([[0, 0], [1, 2], [2, 4]]), np.linspace([0, 0], [2, 4], 13), atol=1e-12)
    square = smooth(box(-1, -1, 1, 1), closed=True)
    ahead = np.roll(square, -1, 0) - square
    turns = np.diff(np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0])))
    assert np.abs(turns).max() < 0.6  # the square's own corners turn by 1.57


def test_taper_has_its_radii_and_round_ends():
    limb = taper([[0, 0], [1, 0], [2, 0]], [0.2, 0.2, 0.2])
    assert area_of(limb) == pytest.approx(2 * 0.4 + np.pi * 0.04, rel=0.01)
    np.testing.assert_allclose(limb.min(0), [-0.2, -0.2], atol=1e-9)
    np.testing.assert_allclose(limb.max(0), [2.2, 0.2], atol=1e-9)
    cone = taper([[0, 0], [0, 2], [0, 4]], [0.5, 0.3, 0.1])
    assert cone[:, 1].min() == pytest.approx(-0.5)
    assert cone[:, 1].max() == pytest.approx(4.1)
    assert np.abs(cone[np.isclose(cone[:, 1], 2), 0]) == pytest.approx([0.3, 0.3])


def test_profile_is_its_own_mirror_image():
    outline = profile([[0.2, -1], [0.6, 0], [0.4, 1]])
    np.testing.assert_allclose(outline, outline[::-1] * [-1, 1])
    assert outline[:, 0].max() == pytest.approx(0.6, abs=0.05)


def test_mesh_draws_every_line_and_a_wider_border():
    grid = np.stack(np.meshgrid([0.0, 1.0, 2.0], [0.0, 1.0]), 2)
    strokes = mesh(grid, 2.0, 5.0)
    assert [stroke.width for stroke in strokes] == [2.0] * 5 + [5.0] * 2
    np.testing.assert_array_equal(strokes[0].points, [[0, 0], [1, 0], [2, 0]])
    np.testing.assert_array_equal(strokes[2].points, [[0, 0], [0, 1]])
    np.testing.assert_array_equal(strokes[-1].points, [[2, 0], [2, 1]])


def test_profile_is_no_narrower_than_its_points():
    """A smooth curve overshoots; at a narrow neck the two sides would cross."""
    points = [[0.2, 1], [0.9, 0.5], [0.05, 0.3], [0.05, -1]]
    assert smooth(points)[:, 0].min() < 0
    assert np.abs(profile(points)[:, 0]).min() == pytest.approx(0.05)
