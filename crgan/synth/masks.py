"""The demo's true masks: one HDF5 file beside the pictures, packed bits, any picture size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from crgan.common.errors import UserError

MASKS_NAME = "true_masks.h5"


def write_masks(path: Path, masks: dict[str, npt.NDArray[np.bool_]]) -> None:
    """Store masks by picture path, in sorted order."""
    names = sorted(masks)
    packed = [np.packbits(masks[name]) for name in names]
    starts = np.cumsum([0, *(len(bits) for bits in packed)])
    with h5py.File(path, "w") as file:
        file["path"] = np.array([name.encode() for name in names])
        file["shape"] = np.array([masks[name].shape for name in names], np.int32)
        file["start"] = starts.astype(np.int64)
        file["bits"] = np.concatenate(packed)


def true_masks(root: str | Path, paths: Sequence[str]) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield the true person mask (H, W) of each picture, at the picture's own size, in order.

    Args:
        root: Folder of a generated data set.
        paths: Picture paths as in the manifest (relative to `root`).

    Raises:
        UserError: `root` is not a demo data set, or a picture is not in it.
    """
    source = Path(root) / MASKS_NAME
    if not source.is_file():
        raise UserError(f"{source}: no such file; true masks exist only for demo data sets")
    with h5py.File(source) as file:
        rows = {name.decode(): row for row, name in enumerate(file["path"][:])}
        shapes, starts, bits = file["shape"][:], file["start"][:], file["bits"][:]
    for path in paths:
        if path not in rows:
            raise UserError(f"{source}: holds no mask of {path!r}; generate the demo again")
        row = rows[path]
        height, width = shapes[row]
        flat = np.unpackbits(bits[starts[row] : starts[row + 1]], count=height * width)
        yield flat.reshape(height, width).astype(bool)
