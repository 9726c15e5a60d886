"""Batch norm whose statistics are those of the whole batch, not of one process' share.

On GPUs it is torch's `SyncBatchNorm`. That one refuses gloo, so on CPUs, where the processes are
proved against one, the same numbers are computed here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


def synchronise(net: nn.Module) -> None:
    """Make the batch norms inside `net` one over all processes. Its tensors keep their names."""
    if dist.get_backend() == "nccl":
        nn.SyncBatchNorm.convert_sync_batchnorm(net)
        return
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            # bound to the module by name, since a copy of the net must normalise for itself
            module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _forward(norm: _BatchNorm, x: Tensor) -> Tensor:
    """`norm(x)`, where x (b, C, ...) is an equal share of a batch."""
    if not norm.training:
        return F.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )
    processes = dist.get_world_size()
    dims = [d for d in range(x.dim()) if d != 1]
    shape = [1, -1, *(1 for _ in dims[1:])]
    wide = x if x.dtype == torch.float64 else x.float()
    # Mean first, then squares about it: the difference of two large sums would lose digits.
    mean = _sum(wide.mean(dims)) / processes
    centred = wide - mean.view(shape)
    variance = _sum(centred.square().mean(dims)) / processes
    _note(norm, mean.detach(), variance.detach(), processes * x.numel() // x.shape[1])
    y = centred * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        y = y * norm.weight.view(shape) + norm.bias.view(shape)
    return y.to(x.dtype)


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)
    return total


class _Sum(torch.autograd.Function):
    """The sum over the processes. Each one's loss depends on all terms, so gradients add up too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


@torch.no_grad()
def _note(norm: _BatchNorm, mean: Tensor, variance: Tensor, n: int) -> None:
    """Update the running statistics from a batch of n values a channel."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.momentum is not None, "a cumulative batch norm; the networks here have none"
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
    unbiased = (variance * n / max(n - 1, 1)).to(norm.running_var.dtype)
    norm.running_var.lerp_(unbiased, norm.momentum)
