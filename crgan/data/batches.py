"""Batches for the networks: uint8 from the store, augmented as bytes, made float once per batch.

Every network takes float32 (B, 3, H, W) in [-1, 1] and normalises inside if it must.

Flip, shift and erasing move bytes, which is cheap; only the last step makes floats, four times
their size. That is what makes this several times faster than transforms on single float images
(`benchmarks/loader.py` measures it beside them).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crgan.common import shares
from crgan.data.samplers import EpochSampler

_MEAN_COLOUR = np.array([124, 116, 104], dtype=np.uint8)  # ImageNet's mean RGB
_ERASE_ATTEMPTS = 10


@dataclass(frozen=True)
class Augmentation:
    """The usual re-id augmentation.

    Attributes:
        flip: probability of a horizontal mirror.
        pad: pixels of black padding before the random crop back to size (a shift by up to `pad`).
        erase: probability of random erasing (Zhong et al. 2020).
        erase_area: least and largest share of the image that is erased.
        erase_aspect: least height / width of the erased box; the largest is its inverse.
    """

    flip: float = 0.5
    pad: int = 0
    erase: float = 0.0
    erase_area: tuple[float, float] = (0.02, 0.4)
    erase_aspect: float = 0.3


def augment(
    images: NDArray[np.uint8],
    picks: NDArray[np.int64],
    how: Augmentation,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Pick images and augment them: uint8 (N, H, W, 3), int (B,) -> uint8 (B, H, W, 3), a copy.

    Erased boxes get the mean colour, which is (nearly) zero after normalisation. The same
    generator state gives the same bytes.
    """
    n = len(picks)
    height, width = images.shape[1:3]
    if not 0 <= how.pad < min(height, width):
        raise ValueError(f"padding of {how.pad} pixels does not fit images of {height}x{width}")
    flips = rng.random(n) < how.flip
    shifts = rng.integers(-how.pad, how.pad, size=(n, 2), endpoint=True)
    batch = np.zeros((n, height, width, 3), dtype=np.uint8)
    for k, pick in enumerate(picks):
        source = cv2.flip(images[pick], 1) if flips[k] else images[pick]
        _place(source, batch[k], *shifts[k])
    if how.erase > 0:
        for k, (top, left, h, w) in _boxes(n, height, width, how, rng):
            batch[k, top : top + h, left : left + w] = _MEAN_COLOUR
    return batch


def _place(source: NDArray[Any], target: NDArray[np.uint8], down: int, right: int) -> None:
    """Copy `source` into `target` of the same size, shifted; what falls outside is lost."""
    height, width = target.shape[:2]
    target[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = source[
        max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]


def _boxes(
    n: int, height: int, width: int, how: Augmentation, rng: np.random.Generator
) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
    """(image, (top, left, height, width)) of the boxes to erase, at most one per image."""
    size = (n, _ERASE_ATTEMPTS)
    chosen = rng.random(n) < how.erase
    area = rng.uniform(*how.erase_area, size) * height * width
    log_aspect = abs(np.log(how.erase_aspect))
    aspect = np.exp(rng.uniform(-log_aspect, log_aspect, size))
    h = np.rint(np.sqrt(area * aspect)).astype(np.int64)
    w = np.rint(np.sqrt(area / aspect)).astype(np.int64)
    fits = (h < height) & (w < width) & (h > 0) & (w > 0)
    place = rng.random((n, 2))
    for k in np.flatnonzero(chosen & fits.any(axis=1)):
        i = int(fits[k].argmax())  # the first attempt that fits
        box_h, box_w = int(h[k, i]), int(w[k, i])
        top = int(place[k, 0] * (height - box_h + 1))
        left = int(place[k, 1] * (width - box_w + 1))
        yield int(k), (top, left, box_h, box_w)


def to_gan(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in [-1, 1]: 0 -> -1, 255 -> 1."""
    return _planes(images).mul_(2 / 255).sub_(1)


def from_gan(images: Tensor) -> NDArray[np.uint8]:
    """float (B, 3, H, W) in [-1, 1] -> uint8 (B, H, W, 3), rounded; the inverse of `to_gan`."""
    scaled = images.detach().float().add(1).mul_(127.5).round_().clamp_(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _planes(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (B, H, W, 3) -> float32 (B, 3, H, W), contiguous, values 0..255."""
    if not images.flags.writeable:  # a slice of the memory map; torch wants memory it may write
        images = images.copy()
    nchw = torch.from_numpy(images).permute(0, 3, 1, 2)
    return nchw.to(torch.float32, memory_format=torch.contiguous_format)


def class_labels(pid: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """pids -> class labels 0..K-1 in ascending order of pid, and K."""
    classes, labels = np.unique(pid, return_inverse=True)
    return labels.reshape(-1).astype(np.int64), len(classes)


class TrainBatches:
    """Endless shuffled, augmented batches of (images, labels), resumable bit for bit.

    Args:
        images: uint8 (N, H, W, 3), for example `Split.images`.
        labels: int64 (N,), classes from 0.
        batch: images per batch. Of several processes (`crgan.common.shares`) each gets a share.
        how: the augmentation.
        seed: order and augmentation follow from it.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        batch: int,
        how: Augmentation,
        seed: int | np.random.SeedSequence,
    ) -> None:
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images but {len(labels)} labels")
        root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        order, looks = root.spawn(2)
        self.images = images
        self.labels = torch.from_numpy(np.array(labels, dtype=np.int64))
        self.how = how
        self.sampler = EpochSampler(len(images), batch, order)
        self._rng = np.random.default_rng(looks)
        self._own = shares.share(batch)
        self._draws = shares.draws(self._rng, batch, self._own)

    def __iter__(self) -> TrainBatches:
        return self

    def __next__(self) -> tuple[Tensor, Tensor]:
        """float32 (batch, 3, H, W) in [-1, 1], which every network takes, and int64 (batch,)."""
        picks = next(self.sampler)[self._own]
        batch = augment(self.images, picks, self.how, self._draws)
        return to_gan(batch), self.labels[torch.from_numpy(picks)]

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which `load_state_dict` goes on exactly here."""
        return {"sampler": self.sampler.state_dict(), "looks": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved batches stood."""
        self.sampler.load_state_dict(state["sampler"])
        self._rng.bit_generator.state = state["looks"]


def in_order(images: NDArray[np.uint8], batch: int) -> Iterator[Tensor]:
    """All images once, in order, without augmentation: float32 (<= batch, 3, H, W) in [-1, 1]."""
    for start in range(0, len(images), batch):
        yield to_gan(images[start : start + batch])
