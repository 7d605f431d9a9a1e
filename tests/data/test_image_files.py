"""Which formats are opened; other files are named by what they are, and metadata never make a sound file damaged."""

import os
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from hqsam_lightning.data.catalogue import Source
from hqsam_lightning.data.image_files import FORMATS, file_fingerprint, naming_damage, open_image
from hqsam_lightning.data.inspection import inspect_sources
from hqsam_lightning.data.reading import read_header, read_image
from hqsam_lightning.errors import DataError
from mask_pictures import disc
from one_mask import read_mask

WHITE = disc() * np.uint8(255)
READERS = [read_image, read_mask, read_header]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".gif"])
def test_formats_are_known_by_their_content_not_by_their_name(tmp_path: Path, suffix: str) -> None:
    picture = Image.fromarray(WHITE).convert("RGB")
    options = {"lossless": True} if suffix == ".webp" else {}
    picture.save(tmp_path / f"a{suffix}", **options)
    other = (tmp_path / f"a{suffix}").rename(tmp_path / ("b.png" if suffix == ".jpg" else "b.jpg"))
    assert read_header(other).size() == (64, 64)
    assert read_image(other).shape == (64, 64, 3)
    np.testing.assert_array_equal(read_mask(other) > 0.5, disc())


def test_a_photo_of_two_pictures_is_its_first(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    pictures[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=pictures[1:])
    assert (read_image(tmp_path / "a.jpg")[..., 0] > 200).all()


STRANGERS = {
    "HEIC": (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "a HEIC or HEIF image", "convert it"),
    "HEIF": (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heix", "a HEIC or HEIF image", "convert it"),
    "AVIF": (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf", "an AVIF image", "convert it"),
    "video": (b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42", "a video", "convert it"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer", "git lfs pull"),
    "HTML": (b"\n<!DOCTYPE html><html><head></head></html>", "an HTML page", "replace it"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file", "replace it"),
    "JSON": (b'{"message": "rate limit"}', "a JSON file", "replace it"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "an EPS or PostScript file", "convert it"),
    "PDF": (b"%PDF-1.7\n", "a PDF file", "convert it"),
    "PSD": (b"8BPS\x00\x01" + bytes(20), "a Photoshop file", "convert it"),
    "zip": (b"PK\x03\x04" + bytes(26), "a zip archive", "unpack it"),
    "JPEG 2000": (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(20), "a JPEG 2000 file", "convert it"),
    "PPM": (b"P6\n2 2\n255\n" + bytes(12), "something unknown", "replace it"),
    "XBM": (b"#define a_width 8\n#define a_height 1\nstatic char a_bits[] = {0};", "text", "replace it"),
    "zeros": (bytes(4096), "nothing but zero bytes", "copy or download it again"),
    "bytes": (b"\x01\x02\x03\x04\xfe\xff", "something unknown (first bytes 01 02 03 04 fe ff)", "replace it"),
    "head of a PNG": (b"\x89PNG\r\n\x1a\n", "a damaged PNG", "copy or download it again"),
    "head of a JPEG": (b"\xff\xd8\xff\xe0\x00", "a damaged JPEG", "copy or download it again"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", STRANGERS)
def test_other_files_are_named_by_what_they_are(tmp_path: Path, kind: str, reader: Callable) -> None:
    content, name, remedy = STRANGERS[kind]
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(DataError) as caught:
        reader(tmp_path / "x.jpg")
    text = str(caught.value)
    assert str(tmp_path / "x.jpg") in text
    if not kind.startswith("head of"):  # where Pillow gets further, it says what is missing
        assert f"of format {', '.join(FORMATS)}, got {name}" in text
        assert remedy in text


@pytest.mark.parametrize("plugin", ["EPS", "PSD", "PPM", "ICO", "FITS"])
def test_no_other_format_is_tried(tmp_path: Path, plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()
    accept = Image.OPEN[plugin][1]

    def refuse(*_: object) -> None:
        raise AssertionError(f"{plugin} was tried")

    monkeypatch.setitem(Image.OPEN, plugin, (refuse, accept))
    (tmp_path / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with pytest.raises(DataError, match="PostScript"):
        read_header(tmp_path / "x.jpg")


@pytest.mark.parametrize("reader", [*READERS, file_fingerprint])
def test_a_pipe_does_not_hang(tmp_path: Path, reader: Callable) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    caught: list[BaseException] = []

    def read() -> None:
        try:
            reader(tmp_path / "x.jpg")
        except DataError as error:
            caught.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(60)
    assert "x.jpg: expected a regular file, got a pipe" in str(caught[0])


def test_a_pipe_among_the_photos_is_a_problem(tmp_path: Path) -> None:
    Image.fromarray(WHITE).save(tmp_path / "x.png")
    os.mkfifo(tmp_path / "x.jpg")
    for check in ("quick", "full"):
        with pytest.raises(DataError, match=r"x\.jpg: expected a regular file, got a pipe"):
            inspect_sources([Source("birds", ".", image_suffixes=(".jpg",))], tmp_path, False, check)


# --- metadata --------------------------------------------------------------------------------------------------------


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


LARGE_TEXT = {
    "zTXt": [_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(3 * 2**20)))],
    "iTXt": [_chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"x" * 3 * 2**20))],
    "tEXt": [_chunk(b"tEXt", b"k\0" + b"x" * (3 * 2**20))],
    "colour profile": [_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(3 * 2**20)))],
    "many": [_chunk(b"zTXt", b"%d\0\0" % number + zlib.compress(b"y" * 2**20)) for number in range(3)],
}


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("kind", LARGE_TEXT)
def test_large_metadata_do_not_make_a_png_damaged(tmp_path: Path, kind: str, behind: bool) -> None:
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(WHITE[:40]).save(path, exif=exif)
    plain = read_image(path), read_mask(path)
    data = path.read_bytes()
    place = data.index(b"IEND") - 4 if behind else data.index(b"IDAT") - 4
    path.write_bytes(data[:place] + b"".join(LARGE_TEXT[kind]) + data[place:])
    assert read_header(path).size() == (64, 40)
    np.testing.assert_array_equal(read_image(path), plain[0])
    np.testing.assert_array_equal(read_mask(path), plain[1])


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "many"])
def test_metadata_beyond_the_limit_are_not_called_damage(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("MAX_TEXT_CHUNK", "MAX_TEXT_MEMORY"):
        monkeypatch.setattr(PngImagePlugin, limit, 2 * 2**20)
    path = tmp_path / "a.png"
    Image.fromarray(WHITE).save(path)
    data = path.read_bytes()
    place = data.index(b"IDAT") - 4
    path.write_bytes(data[:place] + b"".join(LARGE_TEXT[kind]) + data[place:])
    for reader in READERS:
        with pytest.raises(DataError, match=r"bytes of text in .*a\.png.*; save the image without its metadata"):
            reader(path)


def test_a_png_with_large_metadata_may_be_damaged_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    info = PngImagePlugin.PngInfo()
    info.add_text("k", "x" * 3 * 2**20, zip=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(path, pnginfo=info)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"cannot read .*a\.png: .*truncated.*; copy or download it again"):
        read_mask(path)


# --- what is called damage -------------------------------------------------------------------------------------------


def test_errors_of_the_code_between_are_not_called_damage(tmp_path: Path) -> None:
    Image.fromarray(WHITE).save(tmp_path / "a.png")
    for error in (ValueError("ours"), IndexError("ours"), OSError("ours"), UserWarning("ours")):
        with pytest.raises(type(error), match="ours"), open_image(tmp_path / "a.png"):
            raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory to decode a.png; free some"),
        (
            PermissionError(13, "Permission denied"),
            "PermissionError: .*Permission denied; check the disk and the file's",
        ),
        (OSError(5, "Input/output error"), "OSError: .*Input/output error; check the disk"),
        (OSError("broken data stream"), "OSError: broken data stream; copy or download it again"),
        (Image.DecompressionBombError("too large"), "at most 268435456 pixels, got more in a.png .*; scale the photo"),
        (RuntimeError("could not decode"), "RuntimeError: could not decode; copy or download it again"),
    ],
)
def test_the_remedy_fits_the_cause(error: Exception, message: str) -> None:
    with pytest.raises(DataError, match=message), naming_damage("a.png"):
        raise error
