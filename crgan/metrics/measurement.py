"""A perceptual value with all it depends on, since two such values compare only if that agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import save_torch

Images: TypeAlias = NDArray[np.uint8]
"""(N, H, W, 3) RGB; may be memory-mapped."""

WeightsFrom: TypeAlias = Path | Literal["random"]
"""A file, or random weights asked for by name: they are never taken in place of a missing file."""


@dataclass(frozen=True)
class Measurement:
    """One LPIPS or FID value and how it was measured."""

    metric: Literal["LPIPS", "FID"]
    definition: str
    value: float
    n: int
    """Pairs (LPIPS) or images of the first set (FID)."""
    n_reference: int | None
    """Images of the second set (FID)."""
    height: int
    width: int
    """Pixels of the images as given."""
    resize: str
    """How the network's input was made from them."""
    network: str
    layer: str
    weights: str
    """SHA-256 of the weight file, or ``random:<seed>``."""

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Plain values for a score file."""
        return asdict(self)


def weights_from(file: Mapping[str, Any], scratch: Path) -> WeightsFrom:
    """The weights of a fetched role as the metrics take them: by name, or in a file of their own.

    Args:
        file: `{"origin": ..., "state": ...}` as the stage fetch_weights writes it.
        scratch: where that file goes.
    """
    if file["origin"] == "random":
        return "random"
    save_torch(scratch, dict(file["state"]))
    return scratch


def checked_images(name: str, images: Images, least: int = 1) -> Images:
    """The images as an array, refused unless uint8 (N, H, W, 3) with at least `least` of them."""
    images = np.asanyarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise UserError(
            f"{name}: {images.dtype} {images.shape}, expected uint8 images (N, height, width, 3)"
        )
    if len(images) < least:
        raise UserError(f"{name}: {len(images)} images, at least {least} are needed")
    return images


def to_float(images: Images, device: torch.device) -> torch.Tensor:
    """(N, 3, H, W) float32 in 0..255, channels last in memory as the uint8 images are."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float()
