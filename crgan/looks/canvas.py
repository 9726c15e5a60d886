"""Drawing: a white sheet of images and text, pixel for pixel repeatable.

Pillow draws, with the DejaVu fonts that matplotlib carries, so that no font of the machine matters.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from crgan.common.io import atomic_path

Pixels = NDArray[np.uint8]
"""uint8 (H, W, 3) RGB."""
Colour = tuple[int, int, int]

BLACK: Colour = (20, 20, 20)
GREY: Colour = (110, 110, 110)
WHITE: Colour = (255, 255, 255)

TEXT = 13  # points at 72 dots an inch, that is pixels
_DASH = 6
_SHOWN_HEIGHT = 128  # smaller images are enlarged: people do not see 32 pixels


def shown_size(height: int, width: int) -> tuple[int, int]:
    """(H, W) at which images of a size are drawn: a whole multiple, of at least 128 rows."""
    factor = max(1, -(-_SHOWN_HEIGHT // height))
    return height * factor, width * factor


def enlarged(image: Pixels, size: tuple[int, int]) -> Pixels:
    """The image at (H, W): cubic upwards, area means downwards."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    how = cv2.INTER_CUBIC if height >= image.shape[0] else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def text_width(text: str, size: int = TEXT, *, bold: bool = False) -> int:
    """Pixels that a line of text is wide, rounded up."""
    return int(np.ceil(_font(_face(bold), size).getlength(text)))


class Canvas:
    """A white sheet of `width` x `height` pixels; positions are (x, y) from its top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self._image = Image.new("RGB", (width, height), WHITE)
        self._draw = ImageDraw.Draw(self._image)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._image.size

    def image(self, image: Pixels, x: int, y: int) -> None:
        """Paste an image with its top left corner at (x, y)."""
        self._image.paste(Image.fromarray(image), (x, y))

    def text(
        self,
        text: str,
        x: int,
        y: int,
        *,
        anchor: str = "la",
        size: int = TEXT,
        bold: bool = False,
        colour: Colour = BLACK,
    ) -> None:
        """Write text; `anchor` as Pillow's: l/m/r and a (ascender), m (middle), d (descender)."""
        font = _font(_face(bold), size)
        self._draw.text((x, y), text, font=font, fill=colour, anchor=anchor)

    def symbol(self, symbol: str, x: int, y: int) -> None:
        """Write a symbol of the paper, `X_S`, centred at x with its base line at y."""
        base, _, index = symbol.partition("_")
        big, small = _font("DejaVuSans-Oblique", TEXT + 2), _font("DejaVuSans", TEXT - 3)
        width = big.getlength(base) + small.getlength(index)
        left = x - width / 2
        self._draw.text((left, y), base, font=big, fill=BLACK, anchor="ls")
        self._draw.text(
            (left + big.getlength(base), y + 3), index, font=small, fill=BLACK, anchor="ls"
        )

    def frame(
        self,
        x: int,
        y: int,
        size: tuple[int, int],
        colour: Colour,
        *,
        dashed: bool = False,
        thick: int = 4,
    ) -> None:
        """Draw a frame around an image of size (H, W) whose top left corner is at (x, y)."""
        height, width = size
        left, top, right, bottom = x - thick, y - thick, x + width + thick, y + height + thick
        step = 2 * _DASH if dashed else max(right - left, bottom - top)
        length = _DASH if dashed else step
        for start in range(left, right, step):
            stop = min(start + length, right) - 1
            self._draw.rectangle((start, top, stop, y - 1), fill=colour)
            self._draw.rectangle((start, y + height, stop, bottom - 1), fill=colour)
        for start in range(top, bottom, step):
            stop = min(start + length, bottom) - 1
            self._draw.rectangle((left, start, x - 1, stop), fill=colour)
            self._draw.rectangle((x + width, start, right - 1, stop), fill=colour)

    def array(self) -> Pixels:
        """The sheet as uint8 (height, width, 3)."""
        return np.array(self._image, dtype=np.uint8)

    def save(self, path: str | Path) -> None:
        """Write a PNG, atomically and without a time stamp."""
        with atomic_path(path) as temporary:
            self._image.save(temporary, format="PNG")


def _face(bold: bool) -> str:
    return "DejaVuSans-Bold" if bold else "DejaVuSans"


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    # The basic layout engine is always there; another would shift letters by machine.
    return ImageFont.truetype(
        str(folder / f"{name}.ttf"), size, layout_engine=ImageFont.Layout.BASIC
    )
