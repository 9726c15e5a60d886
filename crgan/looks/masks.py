"""An image sheet for looking at masks: image, mask and overlay of rows spread over a mask file.

python -m crgan.looks.masks --manifest MANIFEST --masks MASKS.h5 --out sheet.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.data.store import open_dataset
from crgan.masks.store import open_masks

Images = NDArray[np.uint8]

_TINT = np.array([255, 0, 0], dtype=np.float32)
_TINT_SHARE = 0.55  # strong enough on red clothes, weak enough to see them
_GAP = 4  # pixels between the triples of rows


def overlay(images: Images, masks: NDArray[np.bool_]) -> Images:
    """Images, uint8 (..., H, W, 3) RGB, with what their masks (..., H, W) cover tinted red."""
    tinted = images * (1 - _TINT_SHARE) + _TINT * _TINT_SHARE
    return np.where(masks[..., None], tinted, images).round().astype(np.uint8)


def mask_sheet(images: Images, masks: NDArray[np.bool_], columns: int = 16) -> Images:
    """Image above mask above overlay, `columns` images a line; uint8 (height, width, 3) RGB.

    Args:
        images: uint8 (n, H, W, 3) RGB.
        masks: bool (n, H, W).
    """
    grey = np.repeat((masks * np.uint8(255))[..., None], 3, axis=3)
    n, height, width = masks.shape
    lines = -(-n // columns)
    sheet = np.full((lines * (3 * height + _GAP), columns * width, 3), 255, dtype=np.uint8)
    for kind, crops in enumerate((images, grey, overlay(images, masks))):
        for i, image in enumerate(crops):
            line, column = divmod(i, columns)
            top = line * (3 * height + _GAP) + kind * height
            sheet[top : top + height, column * width : (column + 1) * width] = image
    return sheet


def write_sheet(
    manifest_path: Path, masks_path: Path, out: Path, count: int = 64, columns: int = 16
) -> None:
    """Write a PNG of `count` masks, evenly spread over the file's rows.

    Raises:
        UserError: files that are missing or do not belong together.
    """
    if out.suffix != ".png":
        raise UserError(f"{out}: the sheet is a PNG; use a name that ends in .png")
    masks = open_masks(masks_path, manifest_path)
    dataset = open_dataset(manifest_path)
    rows = masks.spread(count)
    sheet = mask_sheet(dataset.store[rows], masks.read(rows), columns)
    with atomic_path(out) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def main(argv: list[str] | None = None) -> None:
    """Write the sheet that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m crgan.looks.masks", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=64, help="how many images")
    parser.add_argument("--columns", type=int, default=16, help="images a line")
    args = parser.parse_args(argv)
    try:
        write_sheet(args.manifest, args.masks, args.out, args.count, args.columns)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
