"""Frozen networks made fast: batch norm folded into the convolution before it, exactly."""

from __future__ import annotations

import copy
import itertools
from typing import TypeVar

import torch
from torch import nn

Net = TypeVar("Net", bound=nn.Module)


def frozen(net: Net) -> Net:
    """A copy of `net` for use without training: eval, no weight gradients, batch norm folded,
    weights in channels_last order.

    Its outputs differ from `net.eval()`'s by rounding only (1e-5), and gradients still flow to its
    input, which is what the generator's losses need. Give it images in channels_last order too.

    Every convolution that is followed by a batch norm in its module's order of children is taken to
    feed that batch norm; true of torchvision's ResNets and of the networks here, and tested.
    """
    net = copy.deepcopy(net).eval()
    for parent in net.modules():
        children = list(parent.named_children())
        for (_, conv), (name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                _fold(conv, norm)
                setattr(parent, name, nn.Identity())
    net.requires_grad_(False)
    return net.to(memory_format=torch.channels_last)


@torch.no_grad()
def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Scale and shift of `norm` at its running statistics, moved into `conv`."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    before = torch.zeros_like(scale) if conv.bias is None else conv.bias.double()
    bias = norm.bias.double() + (before - norm.running_mean.double()) * scale
    kind = conv.weight.dtype
    conv.weight = nn.Parameter(conv.weight * scale.to(kind).view(-1, 1, 1, 1))
    conv.bias = nn.Parameter(bias.to(kind))
