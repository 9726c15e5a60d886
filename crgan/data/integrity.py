"""Decoding that does not forgive: every image is looked at once, before anything is trained.

JPEG decoders fill the rest of a truncated or damaged image with grey and go on. Here each such
file is a fault with a name, and all faults of a data set are told in one report.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from crgan.common.errors import UserError
from crgan.data.entries import BadImage

OnOdd = Literal["refuse", "convert"]
ODD = ("greyscale", "CMYK", "16-bit", "transparency", "palette", "colour space")
_MENDS = {
    "empty": "copy or download the file again",
    "truncated": "copy or download the file again",
    "corrupt": "copy or download the file again",
    "unreadable": "give read permission, or restore the file",
    "not an image": "remove it, or replace it by a JPEG, PNG, BMP or WebP image",
    "huge": "cut the person out; images here are crops of one person",
    "no file": "remove it; only files are read, and links to them",
    "too dark": "its values fill a part of the 16 bits (a camera of 10, 12 or 14): scale them so "
    "that the largest becomes 255, and save it as 8-bit RGB",
    "odd": "save it as 8-bit RGB, or set on_odd: convert to have it converted",
}
_ORIENTATION = 0x0112  # EXIF tag
# What brings an image of that orientation upright, as (mirrored first, quarter turns to the left).
_UPRIGHT = {2: (True, 0), 3: (False, 2), 4: (True, 2), 5: (True, 1), 6: (False, 3), 7: (True, 3),
            8: (False, 1)}  # fmt: skip
_DEEP = 64  # an image of 16 bits whose 8-bit values stay below this used 14 bits of them at most
_HEAD = 1 << 16  # an EXIF block is the first or second of a JPEG, of 64 KB at most
_FORMATS = ("PNG", "BMP", "WEBP", "JPEG")
_ODD_MODES = {
    "1": "greyscale", "L": "greyscale", "LA": "greyscale", "I": "16-bit", "F": "16-bit",
    "I;16": "16-bit", "I;16B": "16-bit", "CMYK": "CMYK", "RGBA": "transparency",
    "PA": "transparency", "P": "palette", "YCbCr": "colour space", "LAB": "colour space",
}  # fmt: skip


@dataclass(frozen=True)
class Checks:
    """What is refused.

    Attributes:
        on_odd: greyscale, CMYK, 16-bit, palette and transparent images are refused, or converted.
        max_pixels: more pixels than this are refused before they are decoded.
        max_bytes: larger files are refused before they are read whole.
    """

    on_odd: OnOdd = "refuse"
    max_pixels: int = 1 << 24
    max_bytes: int = 1 << 26

    def __post_init__(self) -> None:
        if self.on_odd not in ("refuse", "convert"):
            raise UserError(f"on_odd is {self.on_odd!r}; use refuse or convert")


@dataclass(frozen=True)
class Fault:
    """A `BadImage` and the path it was found at."""

    path: str
    kind: str
    detail: str


def decode(raw: bytes | NDArray[np.generic], checks: Checks) -> NDArray[np.uint8]:
    """Decode an image to uint8 (H, W, 3) RGB.

    An EXIF orientation is applied, so that what is stored is what viewers show.

    Raises:
        BadImage: anything that is not a whole, ordinary image.
    """
    if isinstance(raw, np.ndarray):
        return _check_array(raw, checks)
    if not raw:
        raise BadImage("empty", "0 bytes")
    if len(raw) > checks.max_bytes:
        raise BadImage("huge", f"more than {checks.max_bytes:,} bytes")
    if raw[:3] == b"\xff\xd8\xff":
        return _decode_jpeg(raw, checks)
    return _decode_other(raw, checks)


def _decode_jpeg(raw: bytes, checks: Checks) -> NDArray[np.uint8]:
    """libjpeg-turbo with its warnings as errors: truncation and damage are only warnings to it."""
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(raw)
    except ValueError as error:
        raise BadImage("corrupt", _one_line(error)) from None
    _check_pixels(height, width, checks)
    odd = {"Gray": "greyscale", "CMYK": "CMYK", "YCCK": "CMYK"}.get(colour)
    if odd and checks.on_odd == "refuse":
        raise BadImage(odd, f"{colour} JPEG")
    try:
        if odd == "CMYK":
            simplejpeg.decode_jpeg(raw, colorspace="CMYK")  # for its verdict; PIL knows the inks
            return _decode_other(raw, checks)
        image = simplejpeg.decode_jpeg(raw, colorspace="RGB")
        return _upright(image, _orientation(raw)) if b"Exif" in raw[:_HEAD] else image
    except ValueError as error:
        message = _one_line(error)
        # a file that ends early lacks its end marker; anything else was damaged inside
        whole = raw.rstrip(b"\0").endswith(b"\xff\xd9")
        raise BadImage("corrupt" if whole else "truncated", message) from None


def _decode_other(raw: bytes, checks: Checks) -> NDArray[np.uint8]:
    """PNG, BMP, WebP (and CMYK JPEG) through Pillow, which checks lengths and PNG checksums."""
    try:
        image = Image.open(io.BytesIO(raw), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise BadImage("huge", _one_line(error)) from None
    except Exception:  # a header that is no image's makes Pillow raise nearly anything
        if raw[:4] == b"\x89PNG" or raw[8:12] == b"WEBP":
            raise BadImage("corrupt", "damaged in its header or cut short") from None
        raise BadImage("not an image", f"begins with {raw[:8]!r}") from None
    _check_pixels(image.height, image.width, checks)
    odd = _oddity(raw, image)
    if odd and checks.on_odd == "refuse":
        raise BadImage(odd, f"{image.format} of mode {image.mode}")
    try:
        image.load()
        result = _upright(_to_rgb(image), image.getexif().get(_ORIENTATION))
    except Exception as error:  # truncated data raise OSError, SyntaxError, struct.error, ...
        text = _one_line(error)
        short = any(word in text.lower() for word in ("truncated", "incomplete", "unexpected end"))
        raise BadImage("truncated" if short else "corrupt", text) from None
    if odd == "16-bit":
        _check_depth(result)
    return result


def _orientation(raw: bytes) -> object:
    try:
        return Image.open(io.BytesIO(raw), formats=("JPEG",)).getexif().get(_ORIENTATION)
    except Exception:  # a damaged EXIF block is nobody's loss: viewers ignore it, too
        return None


def _upright(image: NDArray[np.uint8], orientation: object) -> NDArray[np.uint8]:
    """(H, W, 3) as it is to be seen; anything but 2 to 8 leaves it as it is."""
    if not isinstance(orientation, int) or orientation not in _UPRIGHT:
        return image
    mirrored, turns = _UPRIGHT[orientation]
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if mirrored else image, turns))


def _check_depth(image: NDArray[np.uint8]) -> None:
    """Refuse a 16-bit image that used few of its bits: its high bytes would be nearly black."""
    if image.max() < _DEEP:
        largest = int(image.max()) * 256 + 255
        raise BadImage("too dark", f"no value of its 16 bits above {largest:,}")


def _oddity(raw: bytes, image: Image.Image) -> str | None:
    # Pillow opens 16-bit colour PNGs as "RGB", dropping the low bytes; the header tells (IHDR).
    if image.format == "PNG" and len(raw) > 24 and raw[24] == 16:
        return "16-bit"
    if image.mode == "RGB":
        return "transparency" if "transparency" in image.info else None
    return _ODD_MODES.get(image.mode, "colour space")


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """8-bit RGB: deep grey loses its low byte, transparency is laid on mid-grey."""
    if image.mode.startswith("I;16") or image.mode == "I":
        grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, (128, 128, 128, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return np.ascontiguousarray(np.asarray(image.convert("RGB"), dtype=np.uint8))


def _check_array(array: NDArray[np.generic], checks: Checks) -> NDArray[np.uint8]:
    """An image that a data set stores as numbers (CUHK03's .mat)."""
    if array.ndim == 2 and array.dtype == np.uint8 and array.size:
        if checks.on_odd == "refuse":
            raise BadImage("greyscale", f"array of shape {array.shape}")
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise BadImage("not an image", f"array of shape {array.shape}, expected (H, W, 3)")
    _check_pixels(array.shape[0], array.shape[1], checks)
    if array.dtype == np.uint16:
        if checks.on_odd == "refuse":
            raise BadImage("16-bit", f"array of {array.dtype}")
        array = (array >> np.uint16(8)).astype(np.uint8)  # type: ignore[operator]
        _check_depth(array.astype(np.uint8))
    if array.dtype != np.uint8:
        raise BadImage("not an image", f"array of {array.dtype}, expected uint8")
    return np.ascontiguousarray(array, dtype=np.uint8)


def _check_pixels(height: int, width: int, checks: Checks) -> None:
    if height * width > checks.max_pixels:
        raise BadImage("huge", f"{width} x {height} pixels, limit {checks.max_pixels:,}")


def _one_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize (h, w, 3) to (height, width, 3): area average, bilinear when a side grows."""
    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image
    method = cv2.INTER_AREA if h >= height and w >= width else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)


def fault_report(dataset: str, root: str, faults: list[Fault], total: int) -> UserError:
    """One message that names every bad file with its fault, then what to do for each kind."""
    counts = Counter(fault.kind for fault in faults)
    summary = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    lines = [f"{dataset}: {len(faults):,} of {total:,} images in {root} cannot be used ({summary})"]
    lines += [f"  {f.path}: {f.kind} ({f.detail})" for f in sorted(faults, key=lambda f: f.path)]
    lines.append("What to do:")
    kinds = {"odd" if kind in ODD else kind: kind for kind in sorted(counts)}
    for key in kinds:
        named = [k for k in sorted(counts) if k == key or (key == "odd" and k in ODD)]
        lines.append(f"  {', '.join(named)}: {_MENDS[key]}")
    lines.append("Nothing was written.")
    return UserError("\n".join(lines))
