"""One meaning of the values for all masks of a source: decided from the files, or refused with the choices."""

import logging
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hqsam_lightning.data.mask_deciding import SAMPLE, decide
from hqsam_lightning.data.mask_values import MaskValues
from hqsam_lightning.data.problems import spread
from hqsam_lightning.errors import DataError
from hqsam_lightning.types import OBJECT_THRESHOLD
from mask_pictures import DAVIS, VOC, antialiased, classes, disc, palette, rgba, save
from one_mask import read_mask

AUTO = MaskValues("auto")
GREY = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
PHOTO = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
WHITE = disc() * np.uint8(255)


def decided(folder: Path, *pictures: np.ndarray | Image.Image, suffix: str = ".png") -> str:
    return str(decide("birds", AUTO, save(folder, *pictures, suffix=suffix))[0])


DECIDED = {
    "hard, 8 bit": ([WHITE, disc(9) * np.uint8(255)], "soft"),
    "hard, bilevel": ([Image.fromarray(disc())], "soft"),
    "hard, white on black palette": ([palette(disc(), [(0, 0, 0), (255, 255, 255)])], "soft"),
    "0 and 1": ([disc() * np.uint8(1), disc(9) * np.uint8(1)], "binary, above 0.5"),
    "0 and 1 in 16 bit": ([disc() * np.uint16(1)], "binary, above 0.5"),
    "0 and 77": ([disc() * np.uint8(77)], "binary, above 38.5"),
    "0 and 128 red": ([palette(disc(), DAVIS), palette(disc(9), DAVIS)], "binary, above 64"),
    "antialiased": ([antialiased(), antialiased(2, radius=9)], "soft"),
    "antialiased, two levels of supersampling": ([antialiased(2)], "soft"),
    "antialiased beside hard": ([antialiased(), WHITE], "soft"),
    "antialiased red": ([np.stack([antialiased(), *[np.zeros((64, 64), np.uint8)] * 2], -1)], "soft"),
    "antialiased grey palette": ([palette(antialiased(), [(v, v, v) for v in range(256)])], "soft"),
    "antialiased, 16 bit": ([antialiased().astype(np.uint16) * 257], "soft"),
    "antialiased, 8 bit in 16": ([antialiased().astype(np.uint16)], "soft, of 255"),
    "enlarged without smoothing": ([np.kron(antialiased(), np.ones((4, 4), np.uint8))], "soft"),
    "enlarged smoothly": ([cv2.resize(WHITE, (200, 200), interpolation=cv2.INTER_CUBIC)], "soft"),
    "noise of compression": ([np.where(GREY < 40, WHITE ^ 1, WHITE)], "soft"),
    "blurred": ([cv2.GaussianBlur(WHITE, (0, 0), 3)], "soft"),
    "empty beside hard": ([WHITE * 0, WHITE], "soft"),
    "full beside hard": ([WHITE * 0 + 255, WHITE], "soft"),
    "full 0/1": ([np.ones((64, 64), np.uint8), disc() * np.uint8(1)], "binary, above 0.5"),
    "nothing but empty": ([WHITE * 0], "soft"),
    "cut-out photo": ([rgba(PHOTO, WHITE), rgba(PHOTO, disc(9) * 255)], "alpha"),
    "cut-out photo, black outside": ([rgba(PHOTO * disc()[..., None], WHITE)], "alpha"),
    "cut-out, antialiased": ([rgba(PHOTO, antialiased())], "alpha"),
    "white on transparent": ([rgba(WHITE * 0 + 255, WHITE)], "alpha"),
    "opaque": ([rgba(WHITE, WHITE * 0 + 255)], "soft"),
    "almost opaque": ([rgba(WHITE, np.where(GREY > 4, 255, 250))], "soft"),
    "white and opaque on black and transparent": ([rgba(WHITE, WHITE)], "soft"),
}


@pytest.mark.parametrize("case", DECIDED)
def test_sound_sources_are_decided(tmp_path: Path, case: str) -> None:
    pictures, expected = DECIDED[case]
    assert decided(tmp_path, *pictures) == expected


def test_ringing_of_grey_jpegs_is_a_soft_edge(tmp_path: Path) -> None:
    for quality in (30, 60, 90, 100):
        for name, picture in {"grey": WHITE, "rgb": np.stack([WHITE] * 3, -1)}.items():
            paths = save(tmp_path / f"{name}{quality}", picture, suffix=".jpg", quality=quality)
            values, _ = decide("birds", AUTO, paths)
            assert str(values) == "soft"
            assert (read_mask(paths[0], values) > OBJECT_THRESHOLD).sum() == pytest.approx(disc().sum(), rel=0.03)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_antialiased_masks_do_not_grow(tmp_path: Path, scale: int) -> None:
    for name, picture in {
        "grey": antialiased(scale),
        "red": np.stack([antialiased(scale), *[np.zeros((64, 64), np.uint8)] * 2], -1),
    }.items():
        paths = save(tmp_path / name, picture)
        mask = read_mask(paths[0], decide("birds", AUTO, paths)[0])
        assert (mask > OBJECT_THRESHOLD).sum() == pytest.approx(disc().sum(), rel=0.02)
        np.testing.assert_array_equal(mask, antialiased(scale).astype(np.float32) / np.float32(255))


REFUSED = {
    "0, 1 and 255": ([classes(1, 1, 1, ring=2)], "not grey edges.*values 0, 1, 255"),
    "0, 1 and a thin 255": ([classes(1, 1, ring=1)], "not grey edges.*values 0, 1, 255"),
    "hard beside a value to ignore": ([np.maximum(WHITE, disc(20) * np.uint8(254))], "not grey edges.*0, 254, 255"),
    "cells of 9 pixels": ([np.where(np.kron(GREY[:7, :7] > 99, np.ones((9, 9))), 100, 255).astype(np.uint8)], "edges"),
    "trimap": ([np.where(disc(10), 255, disc(22) * 128).astype(np.uint8)], "several values that are not grey edges"),
    "trimap of a band of 4": (
        [np.where(WHITE, WHITE, disc(22) * np.uint8(128))],
        "not grey edges.*values 0, 128, 255",
    ),
    "trimap of a band of 3": ([np.where(WHITE, WHITE, disc(21) * np.uint8(127))], "not grey edges.*values 0, 127, 255"),
    "square trimap": (
        [np.pad(np.pad(np.full((20, 20), 255, np.uint8), 3, constant_values=99), 9)],
        "not grey edges.*values 0, 99, 255",
    ),
    "classes": ([classes(1, 2, 3)], "not grey edges.*values 0, 1, 2, 3"),
    "classes without background": ([classes(1, 2, 3) + np.uint8(1)], "several values that are not grey edges"),
    "spread classes": ([classes(85, 170, 255)], "several values that are not grey edges"),
    "ids": ([classes(*range(1, 10))], "not grey edges.*10 values from 0 to 9"),
    "ids to 200": ([classes(190, 195, 200)], "several values that are not grey edges"),
    "ids and ignore": ([classes(*range(1, 9), ring=2)], "several values that are not grey edges"),
    "16-bit ids": ([classes(1, 2).astype(np.uint16) * 300], "not grey edges.*values 0, 300, 600"),
    "one id a file": ([disc() * np.uint8(3), disc() * np.uint8(7)], "another greatest value than the rest"),
    "a faint one among hard ones": ([WHITE, WHITE, disc() * np.uint8(3)], "1 of 3 .* another greatest value"),
    "0/1 and 0/255": ([WHITE, WHITE, disc() * np.uint8(1)], "1 of 3 masks .*2.png \\(values 0, 1\\)"),
    "classes among hard ones": ([WHITE, classes(1, 2)], "1 of 2 masks .* several values that are not grey edges"),
    "VOC with its border": ([palette(classes(1, 2, ring=1), VOC)], "several colours.*palette indices 0, 1, 2, 255"),
    "DAVIS, two objects": ([palette(classes(1, 2), DAVIS)], "several colours"),
    "inverted palette": ([palette(disc(), [(255, 255, 255), (0, 0, 0)])], "white background"),
    "red on white": (
        [np.where(disc()[..., None], [255, 0, 0], 255).astype(np.uint8)],
        "several colours.*brightest channels 255",
    ),
    "white background": ([255 - WHITE, 255 - antialiased()], "2 of 2 .* white background"),
    "white background, 0/1": ([(~disc()).astype(np.uint8)], "white background"),
    "white backgrounds among black ones": ([WHITE] * 3 + [255 - WHITE] * 2, "2 of 5 masks .* white background"),
    "two different planes": ([rgba(WHITE, disc(9, 50, 50) * 255)], "varying alpha channel beside colours"),
    "a mask with transparent sides": ([rgba(WHITE, np.pad(np.full((60, 60), 255), (0, 4)))], "varying alpha"),
    "a photo that is almost opaque": ([rgba(PHOTO, np.where(GREY > 4, 255, 250))], "varying alpha channel"),
    "cut-outs and masks": ([rgba(PHOTO, WHITE), WHITE], "1 of 2 masks .*alpha channel alone, others do not"),
    "dim antialiased": ([antialiased() // 2], "several values that are not grey edges"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_ambiguous_sources_are_refused_with_the_choices(tmp_path: Path, case: str) -> None:
    pictures, finding = REFUSED[case]
    with pytest.raises(DataError, match=rf"^birds: data\.catalogue\.birds\.mask_values=auto .*{finding}") as caught:
        decided(tmp_path, *pictures)
    for choice in ("binary (", "soft (", "nonzero (", "alpha (", "ids (", "{object: [1], ignore: [255]}", ".exclude"):
        assert choice in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_coloured_jpegs_are_refused_and_read_by_half_the_range(tmp_path: Path) -> None:
    red = np.stack([WHITE, WHITE * 0, WHITE * 0], -1)
    paths = save(tmp_path, red, suffix=".jpg", quality=75)
    with pytest.raises(DataError, match="several colours, which may be objects, borders to ignore or compression"):
        decide("birds", AUTO, paths)
    binary, _ = decide("birds", MaskValues("binary"), paths)
    grown = (read_mask(paths[0], MaskValues("nonzero")) > 0).sum()
    assert grown > 1.15 * disc().sum()
    assert read_mask(paths[0], binary).sum() == pytest.approx(disc().sum(), rel=0.06)


@pytest.mark.parametrize(
    ("levels", "threshold"), [((0, 1), 0.5), ((0, 255), 127.5), ((50, 200), 125.0), ((1, 2), 1.5), ((0, 40000), 20000)]
)
def test_binary_takes_the_middle_of_the_sources_levels(
    tmp_path: Path, levels: tuple[int, int], threshold: float
) -> None:
    low, high = levels
    dtype = np.uint16 if high > 255 else np.uint8
    pictures = [np.where(disc(radius), high, low).astype(dtype) for radius in (9, 18)]
    values, _ = decide("birds", MaskValues("binary"), [*save(tmp_path, *pictures)])
    assert values.threshold == threshold
    np.testing.assert_array_equal(read_mask(tmp_path / "1.png", values), disc(18).astype(np.float32))


def test_what_is_set_is_taken_without_a_look(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for kind in ("soft", "nonzero", "alpha", "ids"):
        with caplog.at_level(logging.INFO):
            assert decide("birds", MaskValues(kind), [tmp_path / "nowhere.png"]) == (MaskValues(kind), [])
        assert caplog.messages[-1] == f"birds: mask_values={kind}, as set"


def test_the_log_says_what_was_decided_from_how_many(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        decided(tmp_path, antialiased(), WHITE, WHITE)
    (line,) = caplog.messages
    assert line == ("birds: mask_values=auto -> soft (0 and one other value: 2, grey edges: 1) from 3 of 3 files")


def test_the_log_counts_alpha_channels_that_are_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    almost_opaque = np.where(GREY > 4, 255, 250)
    with caplog.at_level(logging.INFO):
        decided(tmp_path, WHITE, rgba(WHITE, almost_opaque), rgba(antialiased(), almost_opaque))
    assert "alpha channels that vary and are not used: 2) from 3 of 3 files" in caplog.messages[-1]


def test_damaged_masks_are_named_and_do_not_decide(tmp_path: Path) -> None:
    paths = save(tmp_path, disc() * np.uint8(1), WHITE)
    paths[1].write_bytes(paths[1].read_bytes()[:-30])
    values, (problem,) = decide("birds", AUTO, paths)
    assert str(values) == "binary, above 0.5"
    assert str(paths[1]) in problem


def test_a_few_odd_files_among_many_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = save(tmp_path, *[WHITE] * 99, classes(1, 2))
    with caplog.at_level(logging.WARNING):
        assert str(decide("birds", AUTO, paths)[0]) == "soft"
    assert "1 mask(s) unlike the rest of the source" in caplog.text
    assert "99.png (values 0, 1, 2)" in caplog.text
    with pytest.raises(DataError, match="3 of 100 masks"):
        decide("birds", AUTO, save(tmp_path, *[WHITE] * 97, *[classes(1, 2)] * 3))


def test_an_object_that_fills_its_photo_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It looks like a white background, of which one among others is no evidence."""
    with caplog.at_level(logging.WARNING):
        assert decided(tmp_path, *[WHITE] * 3, 255 - WHITE) == "soft"
    assert "1 mask(s) unlike the rest of the source" in caplog.text
    assert "3.png (values 0, 255)" in caplog.text


@pytest.mark.parametrize("count", [1, 7, 200, 201, 399, 5000])
def test_the_sample_is_spread_over_all_files(count: int) -> None:
    paths = [Path(f"{number:05d}") for number in range(count)]
    sample = spread(paths, SAMPLE)
    assert len(sample) == len(set(sample)) == min(count, SAMPLE)
    steps = np.diff([int(path.name) for path in [*sample, Path(str(count))]])
    assert steps.max() - steps.min() <= 1


def test_decisions_do_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [antialiased(radius=5 + number % 9) for number in range(30)] + [WHITE] * 10
    random.Random(0).shuffle(pictures)
    paths = save(tmp_path, *pictures)
    decisions = set()
    for threads in (1, 2, 8):
        monkeypatch.setattr("hqsam_lightning.data.mask_deciding._THREADS", threads)
        decisions.add(str(decide("birds", AUTO, paths)))
    assert len(decisions) == 1


def test_the_900_masks_of_ecssd_are_soft_and_read_as_value_over_255(shared_data: Path) -> None:
    paths = sorted((shared_data / "hqseg44k/cascade_psp/ecssd").glob("*.png"))
    values, problems = decide("ecssd", AUTO, paths)
    assert (str(values), problems, len(paths)) == ("soft", [], 900)
    for path in paths[::30]:
        with Image.open(path) as image:
            np.testing.assert_array_equal(read_mask(path, values), np.asarray(image) / np.float32(255))
