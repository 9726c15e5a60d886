"""Sheets of images to look at: X_S, X_T, M, X_R, X_C, X_G, one pair a column."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from crgan.common.io import atomic_path
from crgan.data.batches import from_gan
from crgan.gan.base import Preview
from crgan.train.history import History

Pixels = NDArray[np.uint8]
Row = tuple[str, Pixels]  # name, uint8 (n, H, W, 3)


class Shows(Protocol):
    """A method in training that has something to show."""

    def preview(self) -> Preview: ...


_GAP = 2  # pixels between images
_MARGIN = 72  # pixels for the rows' names
_TALL = 128  # smaller images are enlarged to about this height


def draw(rows: Sequence[Row]) -> Pixels:
    """Draw named rows of images below each other.

    Args:
        rows: (name, uint8 (n, H, W, 3)), all of one shape.

    Returns:
        uint8 (height, width, 3) RGB on white.
    """
    n, height, width, _ = rows[0][1].shape
    scale = _scale(height)
    tall, wide = layout(height)[0], width * scale + _GAP
    sheet = np.full((len(rows) * tall + _GAP, _MARGIN + n * wide + _GAP, 3), 255, np.uint8)
    for i, (name, row) in enumerate(rows):
        top = _GAP + i * tall
        cv2.putText(
            sheet, name, (4, top + tall // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1,
            cv2.LINE_AA,
        )  # fmt: skip
        for j, image in enumerate(row):
            left = _MARGIN + j * wide
            big = image.repeat(scale, axis=0).repeat(scale, axis=1)
            sheet[top : top + tall - _GAP, left : left + wide - _GAP] = big
    return sheet


def layout(height: int) -> tuple[int, int]:
    """Of a sheet of images of a height: pixels from one row to the next, and above the first."""
    return height * _scale(height) + _GAP, _GAP


def _scale(height: int) -> int:
    return max(1, round(_TALL / height))


class Sheet:
    """The same images rendered again and again while generators learn: a `Watch` of the loop.

    Several trainings may follow one another (PTGAN's of single cameras): each gets a block.

    Args:
        folder: where the last interval and the history so far lie for looking at; None for none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._blocks: list[list[Row]] = []  # inputs, then what became of them in every interval
        self._iteration = 0

    def __call__(self, iteration: int, history: History, learning: Shows) -> None:
        """Render as the generators stand after `iteration`."""
        inputs, outputs = (
            [(name, from_gan(x.expand(-1, 3, -1, -1))) for name, x in part.items()]
            for part in learning.preview()
        )
        if not self._blocks or iteration <= self._iteration:
            self._blocks.append(list(inputs))
        self._iteration = iteration
        self._blocks[-1] += [(f"{name} {iteration}", row) for name, row in outputs]
        if self._folder:
            history.write(self._folder / "history.csv")
            write_png(self._folder / f"samples-{iteration:06d}.png", draw([*inputs, *outputs]))

    def drawn(self) -> Pixels:
        """All blocks below each other."""
        return np.concatenate([draw(rows) for rows in self._blocks])

    def write(self, path: Path) -> None:
        """Write the sheet. What cannot be drawn leaves a blank one, and the training counts."""
        try:
            sheet = self.drawn()
        except Exception as error:
            warnings.warn(f"{path}: no sample sheet: {error}", stacklevel=2)
            sheet = np.full((1, 1, 3), 255, np.uint8)
        write_png(path, sheet)

    def state_dict(self) -> dict[str, Any]:
        """The renderings so far."""
        blocks = [[(name, torch.from_numpy(p)) for name, p in rows] for rows in self._blocks]
        return {"blocks": blocks, "iteration": self._iteration}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        self._blocks = [[(name, p.numpy()) for name, p in rows] for rows in state["blocks"]]
        self._iteration = state["iteration"]


def write_png(path: str | Path, image: Pixels) -> None:
    """Write uint8 (H, W, 3) RGB as PNG, atomically."""
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
            raise OSError(f"{path}: could not be written")
