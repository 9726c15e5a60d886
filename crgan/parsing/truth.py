"""The demo benchmark's own masks, which its generator knows exactly.

For measuring the other backends; a run on it would have what no real data set offers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crgan.data.demo import true_masks
from crgan.parsing.backend import Batch
from crgan.parsing.store import shrink


class Truth:
    """The backend `truth`."""

    name = "truth"
    weights_sha256: str | None = None

    def __init__(self, root: Path) -> None:
        """`root`: the demo data set's raw folder."""
        self.settings: dict[str, Any] = {}
        self._root = root

    def masks(self, batch: Batch) -> NDArray[np.bool_]:
        """See `MaskBackend.masks`."""
        found = true_masks(self._root, batch.paths)
        height, width = batch.images.shape[1:3]
        return found if found.shape[1:] == (height, width) else shrink(found, height, width)
