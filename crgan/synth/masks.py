"""The demo's true masks: one HDF5 file beside the images, packed bits, any image size.

`crgan.masks.truth` reads it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from crgan.common.hdf5 import writing_hdf5

MASKS_NAME = "true_masks.h5"


def write_masks(path: Path, masks: dict[str, npt.NDArray[np.bool_]]) -> None:
    """Store masks by image path, in sorted order."""
    names = sorted(masks)
    packed = [np.packbits(masks[name]) for name in names]
    starts = np.cumsum([0, *(len(bits) for bits in packed)])
    with writing_hdf5(path) as file:
        file["path"] = np.array([name.encode() for name in names])
        file["shape"] = np.array([masks[name].shape for name in names], np.int32)
        file["start"] = starts.astype(np.int64)
        file["bits"] = np.concatenate(packed)
