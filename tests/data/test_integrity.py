"""Every fault an image can have: found, named, and all of them told at once."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from crgan.common.errors import UserError
from crgan.data.integrity import BadImage, Checks, Fault, decode, fault_report, resize
from tests.data_trees import image, jpeg

STRICT = Checks()
CONVERT = Checks(on_odd="convert")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(height: int = 48, width: int = 24) -> Image.Image:
    return Image.fromarray(image(3, height, width))


def deep_png(channels: int) -> bytes:
    values = np.linspace(0, 65535, 20 * 10 * channels).astype(np.uint16)
    shape = (20, 10, channels) if channels > 1 else (20, 10)
    return cv2.imencode(".png", values.reshape(shape))[1].tobytes()


def huge_png() -> bytes:
    """A PNG whose header promises 60,000 x 60,000 pixels; its data are a few bytes."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


JPEG = jpeg(1, 96, 48)
PNG = saved(rgb(), "PNG")
MIDDLE = len(JPEG) // 2

FAULTS = {
    "empty": (b"", "empty"),
    "text": (b"<html>log in first</html>", "not an image"),
    "gif": (saved(rgb(), "GIF"), "not an image"),
    "tiff": (saved(rgb(), "TIFF"), "not an image"),
    "jpeg cut": (JPEG[:MIDDLE], "truncated"),
    "jpeg without end marker": (JPEG[:-2], "truncated"),
    "jpeg cut, then zeros": (JPEG[:MIDDLE] + bytes(MIDDLE), "truncated"),
    "jpeg cut, end marker put on": (JPEG[:MIDDLE] + b"\xff\xd9", "corrupt"),
    "jpeg with a hole": (JPEG[:MIDDLE] + bytes(60) + JPEG[MIDDLE + 60 :], "corrupt"),
    "jpeg header only": (JPEG[:20], "corrupt"),
    "progressive jpeg cut": (saved(rgb(), "JPEG", progressive=True)[:-90], "truncated"),
    "png cut": (PNG[: len(PNG) // 2], "truncated"),
    "png with a flipped bit": (PNG[:80] + bytes([PNG[80] ^ 1]) + PNG[81:], "corrupt"),
    "bmp cut": (saved(rgb(), "BMP")[:-200], "truncated"),
    "webp cut": (saved(rgb(), "WEBP")[:-60], "corrupt"),
    "huge png": (huge_png(), "huge"),
    "huge jpeg": (jpeg(1, 4100, 4100), "huge"),
}

ODD = {
    "grey jpeg": (saved(rgb().convert("L"), "JPEG"), "greyscale"),
    "grey png": (saved(rgb().convert("L"), "PNG"), "greyscale"),
    "black and white png": (saved(rgb().convert("1"), "PNG"), "greyscale"),
    "grey with alpha": (saved(rgb().convert("LA"), "PNG"), "greyscale"),
    "cmyk jpeg": (saved(rgb().convert("CMYK"), "JPEG"), "CMYK"),
    "16-bit grey png": (deep_png(1), "16-bit"),
    "16-bit colour png": (deep_png(3), "16-bit"),
    "palette png": (saved(rgb().quantize(16), "PNG"), "palette"),
    "transparent png": (saved(rgb().convert("RGBA"), "PNG"), "transparency"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_refused_whatever_the_setting(case: str) -> None:
    raw, kind = FAULTS[case]
    for checks in (STRICT, CONVERT):
        with pytest.raises(BadImage) as caught:
            decode(raw, checks)
        assert caught.value.kind == kind
        assert caught.value.detail


@pytest.mark.parametrize("case", ODD)
def test_odd_images_are_refused_or_converted(case: str) -> None:
    raw, kind = ODD[case]
    with pytest.raises(BadImage) as caught:
        decode(raw, STRICT)
    assert caught.value.kind == kind
    image = decode(raw, CONVERT)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous
    assert image.max() > image.min()


def test_odd_jpegs_must_be_whole_too() -> None:
    for case in ("grey jpeg", "cmyk jpeg"):
        with pytest.raises(BadImage) as caught:
            decode(ODD[case][0][:-80], CONVERT)
        assert caught.value.kind == "truncated"


def test_conversions_keep_the_image() -> None:
    plain = image(3, 48, 24)
    grey = np.asarray(rgb().convert("L"))
    np.testing.assert_array_equal(decode(ODD["grey png"][0], CONVERT), np.stack([grey] * 3, axis=2))
    np.testing.assert_array_equal(decode(ODD["transparent png"][0], CONVERT), plain)
    assert abs(decode(ODD["cmyk jpeg"][0], CONVERT).astype(int) - plain).mean() < 12
    for channels in (1, 3):
        deep = decode(deep_png(channels), CONVERT)
        assert deep[0, 0].tolist() == [0, 0, 0]
        assert deep[-1, -1].max() == 255  # the high byte, not a clipped value
        assert 120 < deep.mean() < 135
    clear = Image.new("RGBA", (24, 48), (255, 0, 0, 0))
    assert decode(saved(clear, "PNG"), CONVERT)[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_images_decode_exactly(kind: str) -> None:
    np.testing.assert_array_equal(decode(saved(rgb(), kind), STRICT), image(3, 48, 24))


def test_jpegs_decode_as_pillow_decodes_them() -> None:
    for raw in (JPEG, saved(rgb(), "JPEG", progressive=True)):
        expected = np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))
        np.testing.assert_array_equal(decode(raw, STRICT), expected)


def test_limits_are_parameters() -> None:
    with pytest.raises(BadImage, match="48 x 96 pixels, limit 4,607"):
        decode(JPEG, Checks(max_pixels=96 * 48 - 1))
    assert decode(JPEG, Checks(max_pixels=96 * 48)).shape == (96, 48, 3)
    with pytest.raises(BadImage, match="huge: more than 100 bytes"):
        decode(JPEG, Checks(max_bytes=100))
    with pytest.raises(UserError, match="on_odd is 'maybe'"):
        Checks(on_odd="maybe")  # type: ignore[arg-type]


def test_arrays_are_checked_like_files() -> None:
    plain = image(3)
    np.testing.assert_array_equal(decode(plain, STRICT), plain)
    for array, kind in [
        (plain[:, :, 0], "greyscale"),
        (plain.astype(np.uint16), "16-bit"),
        (plain.astype(np.float64), "not an image"),
        (plain[:, :, :2], "not an image"),
        (np.zeros((0, 5, 3), np.uint8), "not an image"),
    ]:
        with pytest.raises(BadImage) as caught:
            decode(array, STRICT)
        assert caught.value.kind == kind
    assert decode(plain[:, :, 0], CONVERT).shape == plain.shape
    np.testing.assert_array_equal(decode(plain.astype(np.uint16) * 257, CONVERT), plain)


def test_resize_averages_down_and_interpolates_up() -> None:
    board = np.indices((8, 8)).sum(axis=0) % 2 * 255
    image = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    assert np.unique(resize(image, 4, 4)).tolist() == [128]  # area: every 2x2 block has mean 127.5
    assert resize(image, 8, 8) is image
    np.testing.assert_array_equal(
        resize(image, 16, 16), cv2.resize(image, (16, 16), interpolation=cv2.INTER_LINEAR)
    )


def test_report_names_each_file_and_each_mend() -> None:
    faults = [
        Fault("b.jpg", "greyscale", "Gray JPEG"),
        Fault("a.jpg", "truncated", "ends early"),
        Fault("c.jpg", "CMYK", "CMYK JPEG"),
    ]
    assert str(fault_report("market1501", "raw/m", faults, 12936)).splitlines() == [
        "market1501: 3 of 12,936 images in raw/m cannot be used (1 CMYK, 1 greyscale, 1 truncated)",
        "  a.jpg: truncated (ends early)",
        "  b.jpg: greyscale (Gray JPEG)",
        "  c.jpg: CMYK (CMYK JPEG)",
        "What to do:",
        "  CMYK, greyscale: save it as 8-bit RGB, or set on_odd: convert to have it converted",
        "  truncated: copy or download the file again",
        "Nothing was written.",
    ]


def test_simplejpeg_still_reports_damage() -> None:
    """The reason for that decoder: others return a half-grey image and no error."""
    damaged = FAULTS["jpeg with a hole"][0]
    assert Image.open(io.BytesIO(damaged)).convert("RGB").size == (48, 96)
    with pytest.raises(ValueError, match="JPEG"):
        simplejpeg.decode_jpeg(damaged)
