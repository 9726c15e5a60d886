"""The demo benchmark's own masks, which its generator knows exactly and writes beside its images.

For measuring the other backends; a run on it would have what no real data set offers. Only the file
is read here: the renderer's code is none of a mask's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.hdf5 import dataset, open_hdf5
from crgan.masks.backend import Batch, MaskBackend, Resources, options_from

MASKS_NAME = "true_masks.h5"  # as crgan/synth/masks.py writes it


class Truth:
    """The backend `truth`."""

    name = "truth"
    weights_sha256: str | None = None

    def __init__(self, root: Path) -> None:
        """`root`: the demo data set's raw folder."""
        self.settings: dict[str, Any] = {}
        self._root = root

    def masks(self, batch: Batch) -> NDArray[np.bool_]:
        """See `MaskBackend.masks`; the images' own sizes vary, the store has one."""
        height, width = batch.images.shape[1:3]
        found = true_masks(self._root, batch.paths)
        return np.stack([_fitted(mask, height, width) for mask in found])


def true_masks(root: str | Path, paths: Sequence[str]) -> Iterator[NDArray[np.bool_]]:
    """Yield the true person mask (H, W) of each image, at the image's own size, in order.

    Args:
        root: folder of a generated data set.
        paths: as in the manifest (relative to `root`).

    Raises:
        UserError: `root` is not a demo data set, or an image is not in it.
    """
    source = Path(root) / MASKS_NAME
    try:
        with open_hdf5(source, "the demo's masks", "generate the demo again") as file:
            rows = {name.decode(): row for row, name in enumerate(dataset(file, "path")[:])}
            shapes, starts, bits = (dataset(file, name)[:] for name in ("shape", "start", "bits"))
    except FileNotFoundError:
        raise UserError(
            f"{source}: no such file; true masks exist only for demo data sets"
        ) from None
    for path in paths:
        if path not in rows:
            raise UserError(f"{source}: holds no mask of {path!r}; generate the demo again")
        row = rows[path]
        height, width = shapes[row]
        flat = np.unpackbits(bits[starts[row] : starts[row + 1]], count=height * width)
        yield flat.reshape(height, width).astype(bool)


def _fitted(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Resized as the store resizes the image; True where the person's share is above one half."""
    smaller = height <= mask.shape[0] and width <= mask.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=method)
    return np.asarray(share > 0.5)


@dataclass(frozen=True)
class Options:
    """There are none."""


def make(settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    """See `crgan.masks.backend`."""
    options_from(Options, "truth", settings)
    if resources.raw_root is None:
        raise UserError("masks.backend truth needs the demo's raw folder; give --raw")
    return Truth(resources.raw_root)
