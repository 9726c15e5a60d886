"""Several processes that train one network: which one this is, its share, what all agree on.

`torchrun` starts them, by hand or through `run.processes` (`crgan.pipeline.stage`). In one process
every function here gives back what it was given, so that the loops read the same.

That n processes do what one would do follows from four rules:

1. Each process runs the same sampler from the same seed, so all know the whole batch, and takes its
   own rows of it (`share`). No picture is drawn twice, none is left out.
2. Random numbers are drawn for the whole batch by all, and each keeps those of its rows (`draws`,
   `normal_like`): a picture is mirrored or noised as in one process.
3. Shares are equal and losses are means over pictures, so the mean of the processes' gradients is
   the gradient of the whole batch's loss (`average_gradients`).
4. What looks across pictures sees the whole batch: batch norm (`crgan.train.batch_norm`), the pool
   of generated pictures (`gathered`).

Only process 0 writes (`writer`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from crgan.common.errors import UserError

if TYPE_CHECKING:  # torch takes seconds to import, and the stages' frame does without it
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from torch.optim import Optimizer

_PR_SET_PDEATHSIG = 1  # of Linux's prctl


@dataclass(frozen=True)
class _Place:
    rank: int = 0
    world: int = 1


_place = _Place()


def rank() -> int:
    """Number of this process, from 0."""
    return _place.rank


def world() -> int:
    """Number of processes that train together."""
    return _place.world


def writer() -> bool:
    """Whether this process writes outputs, checkpoints and progress; exactly one does."""
    return _place.rank == 0


def bar_options() -> dict[str, Any]:
    """For tqdm: one bar for all processes. (`disable=False` would overrule TQDM_DISABLE.)"""
    return {} if writer() else {"disable": True}


def launched() -> int:
    """How many processes `torchrun` started, this one among them; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "RANK" in os.environ else 1


def start(device: str) -> None:
    """Meet the other processes that `torchrun` started, if there are any.

    Args:
        device: "cuda" gives each process of a machine a GPU of its own and NCCL; "cpu" gloo.

    Raises:
        UserError: fewer GPUs than processes.
    """
    global _place
    if launched() == 1:
        return
    import torch
    import torch.distributed as dist

    if device == "cuda":
        local, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= gpus:
            raise UserError(
                f"run.processes: process {local} of this machine finds {gpus} GPU(s); start at "
                "most one process a GPU"
            )
        torch.cuda.set_device(local)  # "cuda" means this one from here on
        dist.init_process_group("nccl", device_id=torch.device("cuda", local))
    else:
        dist.init_process_group("gloo")
    _place = _Place(dist.get_rank(), dist.get_world_size())
    _end_with_the_launcher()


def stop() -> None:
    """Leave the others."""
    global _place
    if world() > 1:
        import torch.distributed as dist

        dist.destroy_process_group()
        _place = _Place()


def _end_with_the_launcher() -> None:
    """Be killed when `torchrun` is: a worker that outlives it would write beside the next run's."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# Shares of a batch ------------------------------------------------------------------------------


def share(*counts: int) -> NDArray[np.int64]:
    """Places of this process' pictures in a batch: an equal part of each block of `counts`.

    Raises:
        UserError: a block that the processes cannot share equally.
    """
    import numpy as np

    parts, first = [], 0
    for count in counts:
        if count % world():
            raise UserError(
                f"{count} pictures of a batch cannot be shared equally by {world()} processes: "
                "set run.processes to a divisor of the batch, or the batch to a multiple of it"
            )
        own = count // world()
        parts.append(np.arange(first + rank() * own, first + (rank() + 1) * own))
        first += count
    return np.concatenate(parts)


def draws(rng: np.random.Generator, total: int, rows: NDArray[np.int64]) -> np.random.Generator:
    """`rng` as it looks to the pictures `rows` of a batch of `total`.

    Asked for numbers for `len(rows)` pictures, along the first axis, it draws for all of the batch
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
            raise ValueError(f"numbers for {n} pictures, this process has {len(self._rows)}")
        return draw((self._total, *rest))[self._rows]


def normal_like(x: Tensor) -> Tensor:
    """Standard normal numbers in the shape of a share (b, ...), drawn for the whole batch.

    They do not depend on the order in memory of `x`.
    """
    import torch

    shape = (len(x) * world(), *x.shape[1:])
    return own_rows(torch.randn(shape, dtype=x.dtype, device=x.device))


# What all processes agree on --------------------------------------------------------------------


def average_gradients(optimizer: Optimizer) -> None:
    """Replace the gradients an optimizer is about to follow by their means over the processes."""
    if world() == 1:
        return
    import torch

    parameters = (p for group in optimizer.param_groups for p in group["params"])
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def mean(values: Tensor) -> Tensor:
    """Mean of a tensor over the processes, without gradients; `values` may be overwritten."""
    if world() > 1:
        import torch.distributed as dist

        dist.all_reduce(values)
        values /= world()
    return values


def mean_losses(losses: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Losses of the whole batch, from those of the shares."""
    if world() == 1:
        return losses
    import torch

    means = mean(torch.stack([loss.detach() for loss in losses.values()]))
    return dict(zip(losses, means, strict=True))


def gathered(x: Tensor) -> Tensor:
    """The whole batch (B, ...), from the shares (b, ...) of all processes; without gradients."""
    if world() == 1:
        return x.detach()
    import torch
    import torch.distributed as dist

    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def own_rows(x: Tensor) -> Tensor:
    """This process' share (b, ...) of a whole batch (B, ...)."""
    n = len(x) // world()
    return x[rank() * n : (rank() + 1) * n]


def same_start(net: nn.Module) -> None:
    """Give every process the weights of process 0; equal seeds make them equal on equal devices."""
    if world() > 1:
        import torch.distributed as dist

        for tensor in (*net.parameters(), *net.buffers()):
            whole = tensor.detach().contiguous()  # NCCL wants it in plain order
            dist.broadcast(whole, 0)
            tensor.detach().copy_(whole)


def check_same_iteration(first: int, device: str) -> None:
    """Refuse to train from checkpoints of different iterations.

    Raises:
        UserError: a process found another checkpoint, or none.
    """
    if world() == 1:
        return
    import torch

    here = torch.tensor([float(first)], dtype=torch.float64, device=device)
    found = sorted(set(gathered(here).tolist()))
    if len(found) > 1:
        raise UserError(
            f"the processes resume at iterations {', '.join(f'{t:.0f}' for t in found)}: all must "
            "see one .scratch folder; put the project on a file system that they share"
        )
