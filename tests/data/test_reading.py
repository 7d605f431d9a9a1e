"""Every encoding of one shape reads the same, photos are turned upright, and damaged files name themselves."""

import io
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from hqsam_lightning.data.datasets import PhotoPairs
from hqsam_lightning.data.image_files import MAX_PIXELS
from hqsam_lightning.data.mask_deciding import decide
from hqsam_lightning.data.mask_values import MaskValues
from hqsam_lightning.data.reading import read_header, read_image
from hqsam_lightning.errors import DataError
from hqsam_lightning.types import OBJECT_THRESHOLD
from one_mask import read_mask

HEIGHT, WIDTH = 7, 10


@pytest.fixture
def shape() -> np.ndarray:
    """A lopsided shape, so that no turn or flip leaves it as it is."""
    shape = np.zeros((HEIGHT, WIDTH), bool)
    shape[1:6, 2] = True
    shape[5, 2:7] = True
    return shape


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def read_alone(path: Path) -> np.ndarray:
    """Reads a mask as the only one of its source."""
    values, problems = decide("alone", MaskValues("auto"), [path])
    assert problems == []
    return read_mask(path, values)


def _palette(shape: np.ndarray, colours: list[tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(shape.astype(np.uint8))
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def _with_alpha(grey: np.ndarray, alpha: np.ndarray, mode: str) -> Image.Image:
    image = Image.fromarray(grey.astype(np.uint8)).convert(mode)
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return image


ENCODINGS = {
    "8 bit 0/1": lambda s: Image.fromarray(s.astype(np.uint8)),
    "8 bit 0/100": lambda s: Image.fromarray(s.astype(np.uint8) * 100),
    "8 bit 0/255": lambda s: Image.fromarray(s.astype(np.uint8) * 255),
    "16 bit 0/1": lambda s: Image.fromarray(s.astype(np.uint16)),
    "16 bit 0/255": lambda s: Image.fromarray(s.astype(np.uint16) * 255),
    "16 bit 0/65535": lambda s: Image.fromarray(s.astype(np.uint16) * 65535),
    "bilevel": lambda s: Image.fromarray(s.astype(np.uint8) * 255).convert("1"),
    "palette, DAVIS colours": lambda s: _palette(s, [(0, 0, 0), (128, 0, 0)]),
    "palette, grey": lambda s: _palette(s, [(0, 0, 0), (255, 255, 255)]),
    "palette, dark grey": lambda s: _palette(s, [(0, 0, 0), (1, 1, 1)]),
    "RGB grey": lambda s: Image.fromarray(s.astype(np.uint8) * 255).convert("RGB"),
    "RGB colour": lambda s: Image.fromarray(np.stack([s * 0, s * 70, s * 0], -1).astype(np.uint8)),
    "RGBA opaque": lambda s: _with_alpha(s * 255, np.full(s.shape, 255), "RGB"),
    "RGBA transparent all over": lambda s: _with_alpha(s * 255, np.full(s.shape, 0), "RGB"),
    "RGBA, shape in alpha": lambda s: _with_alpha(np.full(s.shape, 30), s * 255, "RGB"),
    "LA opaque": lambda s: _with_alpha(s * 255, np.full(s.shape, 255), "L"),
    "LA, shape in alpha": lambda s: _with_alpha(np.zeros(s.shape), s * 255, "L"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_a_shape_reads_equal(tmp_path: Path, shape: np.ndarray, encoding: str) -> None:
    path = tmp_path / "mask.png"
    ENCODINGS[encoding](shape).save(path)
    mask = read_alone(path)
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, shape.astype(np.float32))


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
def test_palette_transparency_is_a_mask(tmp_path: Path, shape: np.ndarray, transparency: int | bytes) -> None:
    path = tmp_path / "mask.png"
    _palette(shape, [(9, 9, 9), (9, 9, 9)]).save(path, transparency=transparency)
    np.testing.assert_array_equal(read_alone(path), shape.astype(np.float32))


def test_davis_palette_of_several_objects_is_one_mask(tmp_path: Path) -> None:
    index = np.array([[0, 1, 2], [0, 2, 2]])
    _palette(index, [(0, 0, 0), (128, 0, 0), (0, 128, 0)]).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png", MaskValues("nonzero"))
    np.testing.assert_array_equal(mask, (index > 0).astype(np.float32))


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_of_one_value_is_all_object(tmp_path: Path, value: int) -> None:
    Image.new("L", (4, 3), value).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_alone(tmp_path / "mask.png"), np.ones((3, 4), np.float32))


def test_grey_edges_are_kept_alike_in_8_and_16_bit_and_in_colour(tmp_path: Path) -> None:
    edge = np.array([[0, 60, 128, 129, 255]], np.uint8)
    images = {
        "8": Image.fromarray(edge),
        "16": Image.fromarray(edge.astype(np.uint16) * 257),
        "16_low": Image.fromarray(edge.astype(np.uint16)),
        "rgb": Image.fromarray(edge).convert("RGB"),
        "alpha": _with_alpha(edge * 0, edge, "L"),
    }
    for name, image in images.items():
        image.save(tmp_path / f"{name}.png")
        mask = read_alone(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(mask, edge.astype(np.float32) / np.float32(255), err_msg=name)
        assert (mask > OBJECT_THRESHOLD).tolist() == [[False, False, False, True, True]]


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


UPRIGHT = {  # what numpy does to the stored rows and columns, by the definition of the EXIF tag
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(tmp_path: Path, photo: np.ndarray, orientation: int, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(photo).save(path, exif=_exif(orientation))
    image = read_image(path)
    with Image.open(path) as stored:
        np.testing.assert_array_equal(image, np.asarray(ImageOps.exif_transpose(stored)))
    if suffix != "jpg":  # without loss
        np.testing.assert_array_equal(image, UPRIGHT[orientation](photo))
    assert read_header(path).size() == image.shape[:2]
    assert image.shape[:2] == ((WIDTH, HEIGHT) if orientation >= 5 else (HEIGHT, WIDTH))
    assert image.flags.c_contiguous


def test_a_masks_own_orientation_is_applied(tmp_path: Path, shape: np.ndarray) -> None:
    Image.fromarray(shape.astype(np.uint8) * 255).save(tmp_path / "mask.png", exif=_exif(6))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png") > 0, np.rot90(shape, -1))


NO_EXIF = b"Exif\x00\x00nonsense"
CUT_EXIF = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [NO_EXIF, CUT_EXIF])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_damaged_exif_counts_as_none(tmp_path: Path, photo: np.ndarray, exif: bytes, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(photo).save(path, exif=exif)
    assert read_header(path).size() == (HEIGHT, WIDTH)
    assert read_image(path).shape == photo.shape


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_damaged_exif_is_an_error_where_warnings_are(tmp_path: Path, photo: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(photo).save(path, exif=CUT_EXIF)
    with pytest.raises(DataError, match=rf"cannot read .*photo\.{suffix}: UserWarning: Corrupt EXIF"):
        read_image(path)


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_unknown_orientation_counts_as_none(tmp_path: Path, photo: np.ndarray, orientation: int) -> None:
    Image.fromarray(photo).save(tmp_path / "photo.png", exif=_exif(orientation))
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), photo)


@pytest.mark.parametrize(("mode", "suffix"), [("L", "png"), ("1", "png"), ("P", "png"), ("CMYK", "jpg")])
def test_photos_of_other_modes_become_rgb(tmp_path: Path, photo: np.ndarray, mode: str, suffix: str) -> None:
    image = Image.fromarray(photo).convert(mode)
    image.save(tmp_path / f"photo.{suffix}", quality=95)
    read = read_image(tmp_path / f"photo.{suffix}")
    assert read.dtype == np.uint8
    if suffix == "png":
        np.testing.assert_array_equal(read, np.asarray(image.convert("RGB")))
    assert read.shape == photo.shape


def test_a_photos_transparency_is_dropped(tmp_path: Path, photo: np.ndarray) -> None:
    rgba = Image.fromarray(photo)
    rgba.putalpha(Image.fromarray(photo[..., 0]))
    rgba.save(tmp_path / "rgba.png")
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), photo)
    palette = Image.fromarray(photo).quantize(8)
    palette.save(tmp_path / "palette.png", transparency=b"\x00\x80\xff")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize(("dtype", "suffix", "mode"), [(np.uint16, "png", "I;16"), (np.float32, "tif", "F")])
def test_photos_without_8_bit_colours_are_refused(tmp_path: Path, dtype: type, suffix: str, mode: str) -> None:
    Image.fromarray(np.ones((3, 4), dtype)).save(tmp_path / f"deep.{suffix}")
    with pytest.raises(DataError, match=rf"got '{mode}' in .*deep.{suffix}; convert the photo to 8-bit RGB"):
        read_image(tmp_path / f"deep.{suffix}")


def test_masks_of_another_mode_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((3, 4), np.float32)).save(tmp_path / "deep.tif")
    with pytest.raises(DataError, match=r"got 'F' in .*deep\.tif; save the mask as 8-bit grey"):
        read_mask(tmp_path / "deep.tif")


@pytest.mark.parametrize("value", [-1, 65536])
def test_mask_values_beyond_16_bit_are_refused(tmp_path: Path, value: int) -> None:
    Image.fromarray(np.array([[0, value]], np.int32)).save(tmp_path / "mask.tif")
    with pytest.raises(DataError, match=rf"expected mask values of 0 to 65535, got .*{value}.* in .*mask\.tif"):
        read_mask(tmp_path / "mask.tif")


@pytest.mark.parametrize("values", [[0, 0], [0, 1, 2], [3, 128]])
def test_masks_without_an_object_pixel_are_refused(tmp_path: Path, values: list[int]) -> None:
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / "black.png")
    message = rf"empty mask: .* got values {values[0]} to {values[-1]} in .*black\.png; mark the object"
    with pytest.raises(DataError, match=message):
        read_mask(tmp_path / "black.png")


READERS = [read_image, read_mask, read_header]


@pytest.mark.parametrize("read", READERS)
def test_zero_byte_files_are_named(tmp_path: Path, read) -> None:
    (tmp_path / "hollow.png").touch()
    with pytest.raises(DataError, match=r"got an empty file \(0 bytes\) in .*hollow\.png; copy or download"):
        read(tmp_path / "hollow.png")


@pytest.mark.parametrize("read", READERS)
def test_files_that_are_no_image_are_named(tmp_path: Path, read) -> None:
    (tmp_path / "text.png").write_text("not an image\n" * 20)
    with pytest.raises(DataError, match=r"got text \('not an image.*\) in .*text\.png; replace it"):
        read(tmp_path / "text.png")


@pytest.mark.parametrize("read", READERS)
def test_missing_files_are_named(tmp_path: Path, read) -> None:
    with pytest.raises(DataError, match=r"nowhere\.png: expected a file, cannot find it .*; put an image file there"):
        read(tmp_path / "nowhere.png")


@pytest.mark.parametrize("read", READERS)
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path, read) -> None:
    with pytest.raises(DataError, match=r"expected a regular file, got a folder"):
        read(tmp_path)


@pytest.mark.parametrize(("suffix", "read"), [("jpg", read_image), ("png", read_image), ("png", read_mask)])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, read) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG" if suffix == "jpg" else "PNG")
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(DataError, match=rf"cannot read .*cut\.{suffix}: .*truncated.*; copy or download it again"):
        read(path)
    assert read_header(path).size() == (64, 64)


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_damaged_bytes_are_refused(tmp_path: Path, position: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    path = tmp_path / "bent.png"
    Image.fromarray(noise).save(path)
    data = bytearray(path.read_bytes())
    data[int(len(data) * position)] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"cannot read .*bent\.png"):
        read_mask(path)


def test_a_pair_gives_photo_and_mask(tmp_path: Path, photo: np.ndarray, shape: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / "a.png", exif=_exif(8))
    Image.fromarray(np.rot90(shape).astype(np.uint8)).save(tmp_path / "m.png")
    sample = PhotoPairs("birds", [(tmp_path / "a.png", tmp_path / "m.png")], MaskValues("nonzero"))[0]
    np.testing.assert_array_equal(sample.image, np.rot90(photo))
    np.testing.assert_array_equal(sample.masks, np.rot90(shape)[None])
    assert sample.ignore is None


def test_a_pair_of_two_sizes_names_both(tmp_path: Path, photo: np.ndarray, shape: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / "a.jpg", exif=_exif(6))
    Image.fromarray(shape.astype(np.uint8) * 255).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"7x10 in .*a\.jpg and 10x7 in .*a\.png \(EXIF .*\); make the mask anew"):
        PhotoPairs("birds", [(tmp_path / "a.jpg", tmp_path / "a.png")])[0]


def _png_header(path: Path, width: int, height: int) -> None:
    """A PNG that claims a size and holds no pixels."""
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        PngImagePlugin.putchunk(file, b"IHDR", size, b"\x08\x02\x00\x00\x00")
        PngImagePlugin.putchunk(file, b"IDAT", b"")


def test_photos_of_200_megapixels_open_without_a_warning(tmp_path: Path) -> None:
    _png_header(tmp_path / "large.png", 16000, 12500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_header(tmp_path / "large.png").size() == (12500, 16000)


@pytest.mark.parametrize("action", ["ignore", "error"])
@pytest.mark.parametrize("side", [20000, 40000])  # where Pillow warns, and where it refuses
def test_bombs_are_refused(tmp_path: Path, side: int, action: Literal["ignore", "error"]) -> None:
    _png_header(tmp_path / "bomb.png", side, side)
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(DataError, match=r"bomb\.png"):
            read_image(tmp_path / "bomb.png")


def test_a_limit_that_the_user_took_away_is_kept_in_sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    _png_header(tmp_path / "bomb.png", 20000, 20000)
    with pytest.raises(DataError, match=rf"at most {MAX_PIXELS} pixels, got 20000x20000 .*; scale the photo"):
        read_header(tmp_path / "bomb.png")
