"""Colour names: how likely each RGB value is called each of the eleven basic colour terms.

BoW's released table (`w2c.mat`, learned from images found by colour words) is not ours to ship,
so this is a naming of our own. CSS names 140 colours, and its usual listing puts them in families
that are the basic colour terms (cyan goes to blue here, being no basic term). A colour is called by
a term the more, the nearer the term's nearest CSS colour lies in CIELAB:

    p(term | c)  proportional to  exp(-d(c, family)^2 / (2 spread^2))

The columns stand in the released table's order, so that either can be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.data.mat5 import load_mat

LEVELS = 32  # of each channel: the table knows RGB by steps of 8
STEP = 256 // LEVELS

FAMILIES: dict[str, str] = {
    "black": "000000",
    "blue": "191970 000080 00008b 0000cd 0000ff 4169e1 4682b4 1e90ff 00bfff 6495ed 87ceeb 87cefa "
    "b0c4de add8e6 b0e0e6 008080 008b8b 20b2aa 5f9ea0 00ced1 48d1cc 40e0d0 00ffff 7fffd4 afeeee "
    "e0ffff",
    "brown": "800000 a52a2a 8b4513 a0522d d2691e b8860b cd853f bc8f8f daa520 f4a460 d2b48c deb887 "
    "f5deb3 ffdead ffe4c4 ffebcd fff8dc",
    "grey": "2f4f4f 696969 708090 808080 778899 a9a9a9 c0c0c0 d3d3d3 dcdcdc",
    "green": "006400 008000 556b2f 228b22 2e8b57 808000 6b8e23 3cb371 32cd32 00ff00 00ff7f 00fa9a "
    "8fbc8f 66cdaa 9acd32 7cfc00 7fff00 90ee90 adff2f 98fb98",
    "orange": "ff4500 ff6347 ff8c00 ff7f50 ffa500",
    "pink": "c71585 ff1493 db7093 ff69b4 ffb6c1 ffc0cb",
    "purple": "4b0082 800080 8b008b 9400d3 483d8b 8a2be2 9932cc ff00ff 6a5acd 7b68ee ba55d3 9370db "
    "da70d6 ee82ee dda0dd d8bfd8 e6e6fa",
    "red": "8b0000 ff0000 b22222 dc143c cd5c5c f08080 fa8072 e9967a ffa07a",
    "white": "ffe4e1 faebd7 faf0e6 f5f5dc f5f5f5 fff0f5 fdf5e6 f0f8ff fff5ee f8f8ff f0fff0 fffaf0 "
    "f0ffff f5fffa fffafa fffff0 ffffff",
    "yellow": "bdb76b ffd700 f0e68c ffdab9 ffff00 eee8aa ffe4b5 ffefd5 fafad2 fffacd ffffe0",
}
TERMS = tuple(FAMILIES)


def own_table(spread: float) -> NDArray[np.float32]:
    """p(term | RGB) by the rule above, (32,768, 11), each row of sum 1.

    Args:
        spread: in CIELAB units; a just visible difference is about 2.3.
    """
    levels = np.arange(LEVELS) * STEP + STEP / 2
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")  # red runs fastest
    colours = cielab(np.stack((red, green, blue), axis=-1).reshape(-1, 3))
    nearest = []
    for family in FAMILIES.values():
        values = [list(bytes.fromhex(code)) for code in family.split()]
        apart = colours[:, None] - cielab(np.array(values, dtype=np.float64))
        nearest.append(np.square(apart).sum(axis=-1).min(axis=1))
    squares = np.stack(nearest, axis=1)
    squares -= squares.min(axis=1, keepdims=True)
    likely = np.exp(-squares / (2 * spread**2))
    return (likely / likely.sum(axis=1, keepdims=True)).astype(np.float32)


def cielab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB from 0 to 255, (n, 3), to L*, a*, b* (white: D65)."""
    pixels = (rgb / 255).astype(np.float32)[None]
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[0].astype(np.float64)


def table_index(images: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Each pixel's row in the table; images (..., 3) to (...)."""
    r, g, b = np.moveaxis((images // STEP).astype(np.intp), -1, 0)
    return (b * LEVELS + g) * LEVELS + r


def load_table(path: str | Path) -> NDArray[np.float32]:
    """The released table, a MATLAB file with `w2c` (32,768, 11).

    Raises:
        UserError: no such file, or another one.
    """
    table = load_matlab(path, "w2c")
    if table.shape != (LEVELS**3, len(TERMS)):
        raise UserError(f"{path}: w2c is {table.shape}, expected {(LEVELS**3, len(TERMS))}")
    return np.asarray(table, dtype=np.float32)


def load_matlab(path: str | Path, name: str, fields: Sequence[str] = ()) -> Any:
    """One variable of a MATLAB file; with `fields` the dict of these, where it is a structure.

    Raises:
        UserError: no such file, or no such variable in it.
    """
    contents = load_mat(path)
    if name not in contents:
        raise UserError(f"{path}: no variable {name!r} in it")
    value = contents[name]
    lacking = [field for field in fields if field not in (value.dtype.names or ())]
    if lacking:
        raise UserError(f"{path}: {name} has no field {lacking[0]!r}")
    return {field: value[field][0, 0] for field in fields} if fields else value
