"""The demo benchmark's own masks, which its generator knows exactly.

For measuring the other backends; a run on it would have what no real data set offers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.masks.backend import Batch, Resources, options_of
from crgan.synth import true_masks


class Truth:
    """The backend `truth`."""

    name = "truth"
    weights_sha256: str | None = None

    def __init__(self, root: Path) -> None:
        """`root`: the demo data set's raw folder."""
        self.settings: dict[str, Any] = {}
        self._root = root

    def masks(self, batch: Batch) -> NDArray[np.bool_]:
        """See `MaskBackend.masks`; the pictures' own sizes vary, the store has one."""
        height, width = batch.images.shape[1:3]
        found = true_masks(self._root, batch.paths)
        return np.stack([_fitted(mask, height, width) for mask in found])


def _fitted(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """Resized as the store resizes the picture; True where the person's share is above one half."""
    smaller = height <= mask.shape[0] and width <= mask.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    share = cv2.resize(mask.astype(np.float32), (width, height), interpolation=method)
    return np.asarray(share > 0.5)


@dataclass(frozen=True)
class _NoOptions:
    pass


def make(settings: Mapping[str, Any], resources: Resources) -> Truth:
    """See `crgan.masks.backend.make_backend`."""
    options_of(_NoOptions, "truth", settings)
    if resources.raw_root is None:
        raise UserError("masks.backend truth needs the demo's raw folder; give --raw")
    return Truth(resources.raw_root)
