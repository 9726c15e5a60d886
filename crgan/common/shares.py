"""Several processes that train one network: what a process takes of each batch, and of each draw.

That n processes do what one would do follows from three rules about data and one about gradients:

1. Each process runs the same sampler from the same seed, so all know the whole batch, and takes its
   own rows of it (`share`). No image is drawn twice, none is left out.
2. Random numbers are drawn for the whole batch by all, and each keeps those of its rows (`draws`,
   `normal_like`): an image is mirrored or noised as in one process.
3. What looks across images sees the whole batch: the pool of generated images (`gathered`), and
   batch norm, which is torch's own on GPUs.
4. Shares are equal and losses are means over images, so the mean of the processes' gradients is
   the gradient of the whole batch's loss (`crgan.train.compute`, which starts the processes).

In one process every function gives back what it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.errors import UserError


def world() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def writer() -> bool:
    """Whether this process writes checkpoints, progress and outputs; exactly one does."""
    return rank() == 0


def share(*counts: int) -> NDArray[np.int64]:
    """Places of this process' images in a batch: an equal part of each block of `counts`.

    Raises:
        UserError: a block that the processes cannot share equally.
    """
    parts, first = [], 0
    for count in counts:
        if count % world():
            raise UserError(
                f"{count} images of a batch cannot be shared equally by {world()} processes: "
                "set run.processes to a divisor of the batch, or the batch to a multiple of it"
            )
        own = count // world()
        parts.append(np.arange(first + rank() * own, first + (rank() + 1) * own))
        first += count
    return np.concatenate(parts)


def draws(rng: np.random.Generator, total: int, rows: NDArray[np.int64]) -> np.random.Generator:
    """`rng` as it looks to the images `rows` of a batch of `total`.

    Asked for numbers for `len(rows)` images, along the first axis, it draws for all of the batch
    and gives those of `rows`.
    """
    return rng if world() == 1 else cast("np.random.Generator", _Draws(rng, total, rows))


class _Draws:
    """The methods of a numpy generator by which batches are drawn and augmented."""

    def __init__(self, rng: np.random.Generator, total: int, rows: NDArray[np.int64]) -> None:
        self._rng, self._total, self._rows = rng, total, rows

    def random(self, size: Any) -> NDArray[Any]:
        return self._own(self._rng.random, size)

    def uniform(self, low: float, high: float, size: Any) -> NDArray[Any]:
        return self._own(lambda whole: self._rng.uniform(low, high, whole), size)

    def integers(
        self, low: int, high: int | None = None, *, size: Any, endpoint: bool = False
    ) -> NDArray[Any]:
        return self._own(
            lambda whole: self._rng.integers(low, high, size=whole, endpoint=endpoint), size
        )

    def _own(self, draw: Callable[[tuple[int, ...]], NDArray[Any]], size: Any) -> NDArray[Any]:
        n, *rest = size if isinstance(size, tuple) else (size,)
        if n != len(self._rows):
            raise ValueError(f"numbers for {n} images, this process has {len(self._rows)}")
        return draw((self._total, *rest))[self._rows]


def own_rows(x: Tensor) -> Tensor:
    """This process' share (b, ...) of a whole batch (B, ...)."""
    n = len(x) // world()
    return x[rank() * n : (rank() + 1) * n]


def normal_like(x: Tensor) -> Tensor:
    """Standard normal numbers in the shape of a share (b, ...), drawn for the whole batch.

    They do not depend on the memory order of `x`.
    """
    shape = (len(x) * world(), *x.shape[1:])
    return own_rows(torch.randn(shape, dtype=x.dtype, device=x.device))


def gathered(x: Tensor) -> Tensor:
    """The whole batch (B, ...), from the shares (b, ...) of all processes; without gradients."""
    if world() == 1:
        return x.detach()
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)
