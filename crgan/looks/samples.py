"""Sheets of pictures to look at: X_S, X_T, M, X_R, X_C, X_G, one pair a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.io import atomic_path
from crgan.data.batches import from_gan
from crgan.gan.base import Task
from crgan.gan.pairs import pictures
from crgan.nets.generator import Generator, Parts

Picture = NDArray[np.uint8]
Row = tuple[str, Picture]  # name, uint8 (n, H, W, 3)

_GAP = 2  # pixels between pictures
_MARGIN = 72  # pixels for the rows' names
_TALL = 128  # smaller pictures are enlarged to about this height


@torch.no_grad()
def parts(gan: Generator, x_s: Tensor, x_t: Tensor, m_t: Tensor) -> Parts:
    """X_R, X_C and X_G of pairs, without gradients; arguments as for `Generator.parts`."""
    return gan.parts(x_s, x_t, m_t)


def input_rows(x_s: Tensor, x_t: Tensor, m_t: Tensor) -> list[Row]:
    """Named rows of a sheet: X_S, X_T and M. Arguments as for `Generator.parts`."""
    return [("X_S", from_gan(x_s)), ("X_T", from_gan(x_t)), ("M", _grey(m_t))]


def output_rows(made: Parts) -> list[Row]:
    """Named rows of a sheet: X_R, X_C and X_G."""
    return [
        ("X_R", from_gan(made.x_r)),
        ("X_C", _grey(made.x_c)),
        ("X_G", from_gan(made.x_g)),
    ]


def draw(rows: Sequence[Row]) -> Picture:
    """Draw named rows of pictures below each other.

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
        for j, picture in enumerate(row):
            left = _MARGIN + j * wide
            big = picture.repeat(scale, axis=0).repeat(scale, axis=1)
            sheet[top : top + tall - _GAP, left : left + wide - _GAP] = big
    return sheet


def layout(height: int) -> tuple[int, int]:
    """Of a sheet of pictures of a height: pixels from one row to the next, and above the first."""
    return height * _scale(height) + _GAP, _GAP


def _scale(height: int) -> int:
    return max(1, round(_TALL / height))


def sample_rows(n: int, count: int = 8) -> NDArray[np.int64]:
    """Places taken evenly from a split of n pictures, int64 (count,)."""
    return np.linspace(0, n - 1, count).astype(np.int64)


def sample_pairs(task: Task, device: str, count: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """X_S, X_T, M_S and M_T of `count` pairs, taken evenly from both domains, so that people and
    cameras differ."""
    (x_s, m_s), (x_t, m_t) = (
        pictures(split, masks, sample_rows(len(split), count))
        for split, masks in ((task.source, task.source_masks), (task.target, task.target_masks))
    )
    return x_s.to(device), x_t.to(device), m_s.to(device), m_t.to(device)


class Samples:
    """The same pictures rendered again and again while a generator learns.

    Args:
        inputs: named rows that stay the same.
        render: named rows as the generator makes them now.
    """

    def __init__(self, inputs: list[Row], render: Callable[[], list[Row]]) -> None:
        self._inputs = inputs
        self._render = render
        self._taken: list[list[Row]] = []

    def add(self, iteration: int) -> None:
        """Render as the generator stands after `iteration`."""
        self._taken.append([(f"{name} {iteration}", row) for name, row in self._render()])

    def latest(self) -> Picture:
        """The inputs, and what became of them in the last interval."""
        return draw([*self._inputs, *self._taken[-1]])

    def sheet(self) -> Picture:
        """The inputs, then what became of them in every interval."""
        return draw([*self._inputs, *(row for rows in self._taken for row in rows)])

    def state_dict(self) -> dict[str, Any]:
        """The renderings so far."""
        return {
            "taken": [[(name, torch.from_numpy(p)) for name, p in rows] for rows in self._taken]
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        self._taken = [[(name, p.numpy()) for name, p in rows] for rows in state["taken"]]


def write_png(path: str | Path, picture: Picture) -> None:
    """Write uint8 (H, W, 3) RGB as PNG, atomically."""
    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
            raise OSError(f"{path}: could not be written")


def _grey(values: Tensor) -> Picture:
    """Values in [0, 1] (B, 1 or 3, H, W) as pictures."""
    return from_gan((values * 2 - 1).expand(-1, 3, -1, -1))
