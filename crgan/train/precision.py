"""How training computes: number format, memory order, compilation, and batch norm over processes.

The section `run` of the parameters as an object. A loop hands its networks to `Compute.prepare`
once and takes its steps with `descend`; the rest of it does not change. A network that is prepared
keeps its class, its parameters (float32) and the names of its tensors, so files and checkpoints are
the same whatever computed them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.common.settings import Count, settings_from
from crgan.train import distributed

_FORMATS = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """How the networks of a training compute.

    Attributes:
        processes: that train together; `crgan.pipeline.stage` starts them.
        batch_norm: sync: over the whole batch, as one process would; local: over each process' own
            share of it. The same in one process.
        precision: of the networks' arithmetic (autocast). Weights, losses and Adam stay float32.
        channels_last: memory order of the networks and their pictures. D_id and D_cam are trained
            in it anyway.
        compile: mode of torch.compile. Shapes never change (samplers give full batches), so
            reduce-overhead can replay CUDA graphs.
    """

    processes: Count = 1
    batch_norm: Literal["sync", "local"] = "sync"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    channels_last: bool = False
    compile: Literal["none", "default", "reduce-overhead"] = "none"

    @classmethod
    def of(cls, run: Mapping[str, Any], device: str) -> Compute:
        """From the section `run` of the parameters.

        Raises:
            UserError: a value it cannot have, or float16 where there is no GPU.
        """
        own = {field.name: run[field.name] for field in fields(cls) if field.name in run}
        compute = settings_from(cls, own, "run")
        if compute.precision == "float16" and device != "cuda":
            raise UserError(
                f"run.precision is 'float16', which needs a GPU, and this runs on {device!r}; use "
                "float32 or bfloat16"
            )
        return compute

    def prepare(self, *nets: nn.Module) -> None:
        """Make networks, already on their device, compute so; in place.

        Only calls of a network follow: a method of it that is called by itself stays as it was.
        """
        for net in nets:
            if distributed.world() > 1:
                distributed.same_start(net)
                if self.batch_norm == "sync":
                    from crgan.train.batch_norm import synchronise

                    synchronise(net)
            if self.channels_last:
                net.to(memory_format=torch.channels_last)
            if self.channels_last or self.precision in _FORMATS:
                number = _FORMATS.get(self.precision)
                # bound to the network by name, since a copy of it must compute with its own weights
                net.forward = partial(_forward, net, number, self.channels_last)
            if self.compile != "none":
                net.compile(mode=self.compile, dynamic=False)

    def scaler(self) -> torch.amp.GradScaler | None:
        """For float16, whose small gradients would vanish; bfloat16 has the range of float32."""
        return torch.amp.GradScaler("cuda") if self.precision == "float16" else None

    def begin(self) -> None:
        """To be called at the start of each iteration."""
        if self.compile == "reduce-overhead":
            # Results of a CUDA graph stand until here: X_G is needed after D_d's update.
            torch.compiler.cudagraph_mark_step_begin()


PLAIN = Compute()


def descend(
    optimizer: torch.optim.Optimizer, loss: Tensor, scaler: torch.amp.GradScaler | None = None
) -> None:
    """One step of an optimizer down a loss: of the whole batch, where each process has a share.

    Gradients are averaged before the scaler looks at them, so that all processes skip a step whose
    gradients overflow, or none does.
    """
    optimizer.zero_grad(set_to_none=True)
    if scaler is None:
        loss.backward()
        distributed.average_gradients(optimizer)
        optimizer.step()
    else:
        scaler.scale(loss).backward()
        distributed.average_gradients(optimizer)
        scaler.step(optimizer)
        scaler.update()


def _forward(net: nn.Module, number: torch.dtype | None, ordered: bool, *args: Tensor) -> Tensor:
    """`net(*args)` in another number format or memory order."""
    if ordered:
        args = tuple(
            x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in args
        )
    with torch.autocast(args[0].device.type, number, enabled=number is not None):
        y: Tensor = type(net).forward(net, *args)
    return y if number is None else y.float()  # losses are sums of many small numbers
