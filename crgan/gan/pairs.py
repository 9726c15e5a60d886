"""Mini-batches of pairs (X_S, X_T): unpaired pictures of the two domains, with labels and masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crgan.data.batches import to_gan
from crgan.data.samplers import EpochSampler
from crgan.data.store import Split
from crgan.gan.base import Masks, Task
from crgan.run.checkpoint import rng_state, set_rng_state


@dataclass(frozen=True)
class Pairs:
    """A mini-batch; symbols as in the paper.

    Attributes:
        x_s, x_t: source and target pictures (B, 3, H, W) in [-1, 1].
        m_f, m_t: person masks of X_S and of X_T, float (B, 1, H, W) of 0 and 1.
        y_j: identity of X_S, as a class of D_id, int64 (B,).
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

    Each domain goes through its own shuffled epochs, so that every picture is seen equally often
    and a source picture meets another target each time.

    Args:
        task: the two domains.
        y_j: class of each source picture, int64 (n,); y_c: of each target picture, int64 (m,).
        batch: pairs in a batch.
        flip: mirror each picture, with its mask, half of the time.
        seed: order and mirroring follow from it.
        device: of the tensors.
    """

    def __init__(
        self,
        task: Task,
        y_j: NDArray[np.int64],
        y_c: NDArray[np.int64],
        batch: int,
        flip: bool,
        seed: int,
        device: str,
    ) -> None:
        self._task = task
        self._y_j, self._y_c = torch.from_numpy(y_j), torch.from_numpy(y_c)
        self._flip = flip
        self._device = device
        source, target, flips = np.random.SeedSequence(seed).spawn(3)
        self._source = EpochSampler(len(task.source), batch, source)
        self._target = EpochSampler(len(task.target), batch, target)
        self._rng = np.random.default_rng(flips)

    def __next__(self) -> Pairs:
        s, t = next(self._source), next(self._target)
        x_s, m_f = pictures(self._task.source, self._task.source_masks, s, self._flips(len(s)))
        x_t, m_t = pictures(self._task.target, self._task.target_masks, t, self._flips(len(t)))
        tensors = (x_s, x_t, m_f, m_t, self._y_j[s], self._y_c[t])
        return Pairs(*(tensor.to(self._device) for tensor in tensors))

    def _flips(self, n: int) -> NDArray[np.bool_] | None:
        return self._rng.random(n) < 0.5 if self._flip else None

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which `load_state_dict` goes on exactly here; torch's state as well."""
        return {
            "source": self._source.state_dict(),
            "target": self._target.state_dict(),
            "random": rng_state(self._rng),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved batches stood."""
        self._source.load_state_dict(state["source"])
        self._target.load_state_dict(state["target"])
        set_rng_state(self._rng, state["random"])


def pictures(
    split: Split,
    masks: Masks,
    rows: NDArray[np.int64],
    flips: NDArray[np.bool_] | None = None,
) -> tuple[Tensor, Tensor]:
    """Pictures of a split (B, 3, H, W) in [-1, 1] and their masks, float (B, 1, H, W).

    Args:
        rows: places in the split, int64 (B,).
        flips: which of them are mirrored, bool (B,).
    """
    images, mask = split.images[rows], masks[rows]
    if flips is not None:
        images[flips] = images[flips, :, ::-1]
        mask[flips] = mask[flips, :, ::-1]
    return to_gan(images), torch.from_numpy(mask.astype(np.float32)[:, None])
