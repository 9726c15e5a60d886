"""Small raw data sets in the real layouts, for the tests of crgan/data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from crgan.data.standins import draw, write_mat

MARKET = {
    "bounding_box_train": [
        "0002_c1s1_000451_03.jpg",
        "0002_c2s1_000551_01.jpg",
        "0007_c2s3_000776_01.jpg",
    ],
    "query": ["0001_c1s1_001051_00.jpg", "1488_c2s6_023021_00.jpg.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c2s1_000151_01.jpg",
        "0001_c2s1_000376_03.jpg",
        "1488_c1s2_000801_03.jpg",
    ],
}
DUKE = {
    "bounding_box_train": [
        "0001_c2_f0046182.jpg",
        "0001_c3_f0046190.jpg",
        "0008_c8_f0046302.jpg",
    ],
    "query": ["0005_c2_f0046985.jpg"],
    "bounding_box_test": ["0005_c5_f0051781.jpg", "3000_c1_f0044158.jpg"],
}
CUHK03 = ["1_001_1_01.png", "1_001_2_06.png", "1_002_1_03.png", "1_002_2_10.png", "2_001_1_02.png"]


def image(seed: int = 0, height: int = 32, width: int = 16) -> NDArray[np.uint8]:
    """A small image, uint8 (height, width, 3)."""
    return draw(np.random.default_rng(seed), height, width)


def jpeg(seed: int = 0, height: int = 32, width: int = 16) -> bytes:
    """The same as a JPEG file."""
    return simplejpeg.encode_jpeg(image(seed, height, width), quality=90)


def write_tree(root: Path, tree: dict[str, list[str]]) -> Path:
    """Write JPEGs under the names of `tree`; the root."""
    number = 0
    for folder, names in tree.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (root / folder / name).write_bytes(jpeg(number))
            number += 1
    return root


def write_cuhk03(root: Path, names: Iterable[str] = CUHK03) -> Path:
    """Write a small cuhk-03.mat; its path."""
    root.mkdir(parents=True, exist_ok=True)
    write_mat(root / "cuhk-03.mat", ((n, image(i, 30, 20)) for i, n in enumerate(names)))
    return root / "cuhk-03.mat"
