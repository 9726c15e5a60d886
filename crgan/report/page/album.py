"""Images inside the file: WebP as data URIs, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crgan.common.errors import UserError

Pixels = NDArray[np.uint8]

_QUALITY = 78
_WIDEST = 1600  # pixels; wider sheets are shrunk: a screen shows no more


@dataclass(frozen=True)
class Encoded:
    """An image for a page.

    Attributes:
        uri: data:image/webp;base64,...; empty where the budget was used up before it.
        width, height: pixels.
        alt: what it shows, for those who do not see it.
    """

    uri: str
    width: int
    height: int
    alt: str


class Album:
    """Encodes images until a budget is used up; those that come later are left out, by name.

    Args:
        budget: bytes that all data URIs together may take.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.used = 0
        self.left_out: list[str] = []

    def add(self, pixels: Pixels, alt: str, *, widest: int = _WIDEST) -> Encoded:
        """An image, uint8 (H, W, 3), made smaller where it is wider than `widest`."""
        image = Image.fromarray(pixels)
        if image.width > widest:
            height = max(1, round(image.height * widest / image.width))
            image = image.resize((widest, height), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "WEBP", quality=_QUALITY, method=4)
        uri = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
        if self.used + len(uri) > self.budget:
            self.left_out.append(alt)
            return Encoded("", image.width, image.height, alt)
        self.used += len(uri)
        return Encoded(uri, image.width, image.height, alt)

    def file(self, path: Path, alt: str, *, widest: int = _WIDEST) -> Encoded:
        """An image file.

        Raises:
            UserError: it is none.
        """
        return self.add(read_pixels(path), alt, widest=widest)


def read_pixels(path: Path) -> Pixels:
    """An image file as uint8 (H, W, 3).

    Raises:
        UserError: it is none.
    """
    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a readable image ({error}); make it again") from None


def tiles(images: Pixels, columns: int) -> Pixels:
    """Images (n, H, W, 3) in lines of `columns`, white where the last line ends early."""
    n, height, width, _ = images.shape
    lines = -(-n // columns)
    sheet = np.full((lines * columns, height, width, 3), 255, dtype=np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(lines, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(sheet.reshape(lines * height, columns * width, 3))
