"""Sheets of images: Figure 5 (data sets), Figures 6 and 7 (renderings), the generator's parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crgan.looks.canvas import GREY, TEXT, Canvas, enlarged, shown_size, text_width

Images = NDArray[np.uint8]
"""uint8 (n, H, W, 3) RGB."""
Integers = NDArray[np.int64]

_MARGIN = 12
_GAP = 4
_WIDE_GAP = 16
_LINE = TEXT + 6  # height of a line of text
_SMALL = TEXT - 2
_PER_PERSON = 2  # images of each person in Figure 5


@dataclass(frozen=True)
class Examples:
    """Some people of one data set.

    Attributes:
        name: the data set's name as people write it.
        images: uint8 (p, 2, H, W, 3), two of each of p people.
        camids: int64 (p, 2).
    """

    name: str
    images: Images
    camids: Integers


@dataclass(frozen=True)
class Renderings:
    """Source people in the contexts of target instances.

    Attributes:
        sources: X_S, uint8 (s, H, W, 3).
        targets: X_T, uint8 (t, H, W, 3).
        baseline: X_G without the dual condition, uint8 (s, H, W, 3): one each, no X_T enters it.
        rendered: X_G of CR-GAN, uint8 (s, t, H, W, 3).
    """

    sources: Images
    targets: Images
    baseline: Images
    rendered: Images


def draw_datasets(sets: Sequence[Examples], note: str) -> Canvas:
    """Figure 5: a band for each data set, a column for each person, two cameras above each other.

    Args:
        sets: the data sets in the order of drawing; images may differ in size between them.
        note: a line under the sheet that says where the images come from.
    """
    height, width = shown_size(*sets[0].images.shape[2:4])
    columns = max(len(examples.images) for examples in sets)
    band = _LINE + _PER_PERSON * (height + _LINE)
    sheet = Canvas(
        2 * _MARGIN + max(columns * (width + _GAP) - _GAP, text_width(note, _SMALL)),
        2 * _MARGIN + len(sets) * (band + _WIDE_GAP) + _LINE,
    )
    y = _MARGIN
    for examples in sets:
        sheet.text(examples.name, _MARGIN, y, bold=True)
        for column, (images, camids) in enumerate(
            zip(examples.images, examples.camids, strict=True)
        ):
            x = _MARGIN + column * (width + _GAP)
            for line, (image, camid) in enumerate(zip(images, camids, strict=True)):
                top = y + _LINE + line * (height + _LINE)
                sheet.image(enlarged(image, (height, width)), x, top)
                sheet.text(f"camera {camid}", x + width // 2, top + height + 1, anchor="ma",
                           size=TEXT - 3, colour=GREY)  # fmt: skip
        y += band + _WIDE_GAP
    sheet.text(note, _MARGIN, y, size=_SMALL, colour=GREY)
    return sheet


def draw_renderings(figure: Renderings, note: str) -> Canvas:
    """Figure 6: a row for each X_S: (a) the baseline's image of it, (b) CR-GAN's under each X_T.

    The baseline gives one image whatever X_T is, so it has one column; the uniform context shows
    down the column. X_T stand above the columns they guide.
    """
    height, width = size = shown_size(*figure.sources.shape[1:3])
    count, contexts = figure.rendered.shape[:2]
    first, second = _MARGIN + width + _WIDE_GAP, _MARGIN + 2 * (width + _WIDE_GAP)
    right = second + contexts * (width + _GAP) - _GAP
    top = _MARGIN + _LINE
    below = top + height + _WIDE_GAP
    wide = max(right, _MARGIN + text_width(note, _SMALL))
    sheet = Canvas(wide + _MARGIN, below + count * (height + _GAP) + _LINE + _MARGIN)

    sheet.text("(b) CR-GAN", (second + right) // 2, _MARGIN, anchor="ma", bold=True)
    sheet.symbol("X_T", second - _WIDE_GAP, top + TEXT)
    for column, target in enumerate(figure.targets):
        sheet.image(enlarged(target, size), second + column * (width + _GAP), top)
    for column, label in ((_MARGIN, "X_S"), (first, "X_G")):
        sheet.symbol(label, column + width // 2, below - _GAP)
    sheet.text("(a) w/o", first + width // 2, below - 3 * _LINE, anchor="ma", bold=True)
    sheet.text("dual cond", first + width // 2, below - 2 * _LINE, anchor="ma", bold=True)

    for row in range(count):
        y = below + row * (height + _GAP)
        sheet.image(enlarged(figure.sources[row], size), _MARGIN, y)
        sheet.image(enlarged(figure.baseline[row], size), first, y)
        for column, image in enumerate(figure.rendered[row]):
            sheet.image(enlarged(image, size), second + column * (width + _GAP), y)
    sheet.text(note, _MARGIN, sheet.size[1] - _MARGIN, anchor="ld", size=_SMALL, colour=GREY)
    return sheet


def draw_methods(sources: Images, methods: Sequence[tuple[str, Images]], note: str) -> Canvas:
    """Figure 7: a row for each X_S, then under each method's name its renderings of it.

    Args:
        sources: X_S, uint8 (n, H, W, 3).
        methods: (name, images uint8 (n, k, H, W, 3)), k renderings of each.
        note: a line under the sheet.
    """
    height, width = size = shown_size(*sources.shape[1:3])
    step = width + _GAP
    top = _MARGIN + _LINE + _GAP
    widths = [
        max(images.shape[1] * step - _GAP, text_width(name, TEXT)) for name, images in methods
    ]
    right = _MARGIN + width + sum(_WIDE_GAP + wide for wide in widths)
    sheet = Canvas(
        max(right, _MARGIN + text_width(note, _SMALL)) + _MARGIN,
        top + len(sources) * (height + _GAP) + _LINE + _MARGIN,
    )
    sheet.symbol("X_S", _MARGIN + width // 2, _MARGIN + TEXT)
    left = _MARGIN + width + _WIDE_GAP
    for (name, images), wide in zip(methods, widths, strict=True):
        sheet.text(name, left + wide // 2, _MARGIN, anchor="ma", bold=True)
        first = left + (wide - (images.shape[1] * step - _GAP)) // 2
        for row, several in enumerate(images):
            for column, image in enumerate(several):
                x = first + column * step
                sheet.image(enlarged(image, size), x, top + row * (height + _GAP))
        left += wide + _WIDE_GAP
    for row, image in enumerate(sources):
        sheet.image(enlarged(image, size), _MARGIN, top + row * (height + _GAP))
    sheet.text(note, _MARGIN, sheet.size[1] - _MARGIN, anchor="ld", size=_SMALL, colour=GREY)
    return sheet


def draw_columns(columns: Sequence[tuple[str, Images]], note: str) -> Canvas:
    """A sheet with one labelled column for each kind of image, one row for each example.

    Args:
        columns: (symbol of the paper or words, images uint8 (n, H, W, 3)); all of one shape.
        note: a line under the sheet.
    """
    count = len(columns[0][1])
    height, width = size = shown_size(*columns[0][1].shape[1:3])
    top = _MARGIN + _LINE + _GAP
    sheet = Canvas(
        2 * _MARGIN + max(len(columns) * (width + _GAP) - _GAP, text_width(note, _SMALL)),
        top + count * (height + _GAP) + _LINE + _MARGIN,
    )
    for column, (label, images) in enumerate(columns):
        x = _MARGIN + column * (width + _GAP)
        sheet.symbol(label, x + width // 2, _MARGIN + TEXT)
        for row, image in enumerate(images):
            sheet.image(enlarged(image, size), x, top + row * (height + _GAP))
    sheet.text(note, _MARGIN, sheet.size[1] - _MARGIN, anchor="ld", size=_SMALL, colour=GREY)
    return sheet
