"""Adam and SGD as torch has them, without the import of torch's compiler.

torch's optimizers import `torch._dynamo` when they are made and again at their first step, although
nothing is compiled: 1.5 to 3 seconds of every job that trains. The methods below are torch's own,
taken out of the decorators that do this (`inspect.unwrap`, the inverse of `functools.wraps`); they
run the same kernels on the same numbers.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import torch
from torch import nn

_STEP = {kind: inspect.unwrap(kind.step) for kind in (torch.optim.Adam, torch.optim.SGD)}


class _Uncompiled(torch.optim.Optimizer):
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)


class Adam(_Uncompiled, torch.optim.Adam):
    """`torch.optim.Adam`, fused: one pass over each weight.

    Args:
        parameters: what it updates; those that need no gradient are left out.
        lr, betas, weight_decay: as torch's.
    """

    step = torch.no_grad()(_STEP[torch.optim.Adam])

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        wanted = [p for p in parameters if p.requires_grad]
        super().__init__(wanted, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


class SGD(_Uncompiled, torch.optim.SGD):
    """`torch.optim.SGD` with Nesterov's momentum, fused.

    A group's key `scale` multiplies the learning rate for that group.
    """

    step = torch.no_grad()(_STEP[torch.optim.SGD])

    def __init__(
        self,
        groups: Iterable[dict[str, object]],
        lr: float,
        momentum: float,
        weight_decay: float,
        fused: bool = True,
    ) -> None:
        super().__init__(
            groups, lr=lr, momentum=momentum, weight_decay=weight_decay,
            nesterov=momentum > 0, fused=fused,
        )  # fmt: skip
