"""Mini-batches of pairs (X_S, X_T): unpaired images of the two domains, with labels and masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from crgan.common import shares
from crgan.data.batches import to_gan
from crgan.data.samplers import EpochSampler
from crgan.data.store import Split
from crgan.gan.base import Masks, Task


@dataclass(frozen=True)
class Pairs:
    """A mini-batch; symbols as in the paper.

    Attributes:
        x_s, x_t: source and target images (B, 3, H, W) in [-1, 1].
        m_f, m_t: person masks of X_S and of X_T, float (B, 1, H, W) of 0 and 1.
        y_j: label of X_S, int64 (B,): its identity, as a class of D_id; for M2M-GAN its camera.
        y_c: camera of X_T, as a class of D_cam, int64 (B,).
    """

    x_s: Tensor
    x_t: Tensor
    m_f: Tensor
    m_t: Tensor
    y_j: Tensor
    y_c: Tensor


class PairBatches:
    """Endless batches of random pairs, resumable bit for bit.

    Each domain goes through its own shuffled epochs, so that every image is seen equally often
    and a source image meets another target each time.

    Args:
        task: the two domains.
        y_j: class of each source image, int64 (n,); y_c: of each target image, int64 (m,).
        batch: pairs in a batch. Of several processes (`crgan.common.shares`) each gets a share.
        seed: order, mirroring and cropping follow from it.
        device: of the tensors.
        flip: mirror each image, with its mask, half of the time.
        enlarge: an image and its mask are enlarged by this much, 1 or more, and a random part of
            the old size is taken.
    """

    def __init__(
        self,
        task: Task,
        y_j: NDArray[np.int64],
        y_c: NDArray[np.int64],
        batch: int,
        seed: int,
        device: str,
        *,
        flip: bool,
        enlarge: float = 1.0,
    ) -> None:
        self._task = task
        self.batch = batch
        self._y_j, self._y_c = torch.from_numpy(y_j), torch.from_numpy(y_c)
        self._flip, self._enlarge = flip, enlarge
        self.device = device
        source, target, flips = np.random.SeedSequence(seed).spawn(3)
        self._source = EpochSampler(len(task.source), batch, source)
        self._target = EpochSampler(len(task.target), batch, target)
        self._rng = np.random.default_rng(flips)
        self._own = shares.share(batch)
        self._draws = shares.draws(self._rng, batch, self._own)

    def __next__(self) -> Pairs:
        s, t = next(self._source)[self._own], next(self._target)[self._own]
        x_s, m_f = self._varied(self._task.source, self._task.source_masks, s)
        x_t, m_t = self._varied(self._task.target, self._task.target_masks, t)
        tensors = (x_s, x_t, m_f, m_t, self._y_j[s], self._y_c[t])
        return Pairs(*(tensor.to(self.device) for tensor in tensors))

    def _varied(self, split: Split, masks: Masks, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        flips = self._draws.random(len(rows)) < 0.5 if self._flip else None
        x, m = masked_images(split, masks, rows, flips)
        return (x, m) if self._enlarge == 1 else enlarged_crop(x, m, self._enlarge, self._draws)

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which `load_state_dict` goes on exactly here."""
        return {
            "source": self._source.state_dict(),
            "target": self._target.state_dict(),
            "random": self._rng.bit_generator.state,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved batches stood."""
        self._source.load_state_dict(state["source"])
        self._target.load_state_dict(state["target"])
        self._rng.bit_generator.state = state["random"]


def masked_images(
    split: Split,
    masks: Masks,
    rows: NDArray[np.int64],
    flips: NDArray[np.bool_] | None = None,
) -> tuple[Tensor, Tensor]:
    """Images of a split (B, 3, H, W) in [-1, 1] and their masks, float (B, 1, H, W).

    Args:
        rows: places in the split, int64 (B,).
        flips: which of them are mirrored, bool (B,).
    """
    images, mask = split.images[rows], masks[rows]
    if flips is not None:
        images[flips] = images[flips, :, ::-1]
        mask[flips] = mask[flips, :, ::-1]
    return to_gan(images), torch.from_numpy(mask.astype(np.float32)[:, None])


def enlarged_crop(
    x: Tensor, m: Tensor, factor: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) and masks (B, 1, H, W) enlarged by `factor`, and of each pair one
    random part of the old size: the same part of both.
    """
    n, _, height, width = x.shape
    size = (round(height * factor), round(width * factor))
    tops = rng.integers(size[0] - height, size=n, endpoint=True).tolist()
    lefts = rng.integers(size[1] - width, size=n, endpoint=True).tolist()
    large = F.interpolate(x, size, mode="bilinear", align_corners=False)
    large_m = F.interpolate(m, size, mode="nearest-exact")
    parts = [(slice(t, t + height), slice(s, s + width)) for t, s in zip(tops, lefts, strict=True)]
    cut = [torch.stack([b[i][:, r, c] for i, (r, c) in enumerate(parts)]) for b in (large, large_m)]
    return cut[0], cut[1]


def sample_rows(n: int, count: int = 8) -> NDArray[np.int64]:
    """Places taken evenly from a split of n images, int64 (count,)."""
    return np.linspace(0, n - 1, count).astype(np.int64)


def sample_pairs(task: Task, device: str, count: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """X_S, X_T, M_S and M_T of `count` pairs, taken evenly from both domains, so that people and
    cameras differ."""
    (x_s, m_s), (x_t, m_t) = (
        masked_images(split, masks, sample_rows(len(split), count))
        for split, masks in ((task.source, task.source_masks), (task.target, task.target_masks))
    )
    return x_s.to(device), x_t.to(device), m_s.to(device), m_t.to(device)
