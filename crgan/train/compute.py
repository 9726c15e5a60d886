"""What a training computes on and how: device, processes, number format, memory order, compilation.

The section `run` of the parameters and the device as one object. A loop hands its networks to
`Compute.prepare` once and takes its steps with `Compute.descend`; the rest of it does not change. A
network that is prepared keeps its class, its parameters (float32) and the names of its tensors, so
files and checkpoints are the same whatever computed them.

Starting processes, meeting, autocast and the gradient scaler are Lightning Fabric's. Two things of
Fabric's are not used: its module wrapper, which rounds a network's inputs to bfloat16 (X_G is X_S
where the context mask is 0, and X_S would come out rounded), and DDP, which wants every parameter's
gradient once after every forward pass, while a GAN's step freezes its networks in turns and calls
them several times. Gradients are averaged here instead, once a step.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from crgan.common import shares
from crgan.common.errors import UserError
from crgan.common.settings import settings_from

if TYPE_CHECKING:  # 0.4 seconds, and one process in float32 does without it
    from lightning_fabric import Fabric

_CALLED = ("forward", "features")  # by these methods networks are used while training
_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed",
}  # fmt: skip
_PR_SET_PDEATHSIG = 1  # of Linux's prctl


@dataclass(frozen=True)
class Compute:
    """How the networks of a training compute.

    Attributes:
        processes: that train together; `launch` starts them.
        batch_norm: sync: over the whole batch, as one process would, on GPUs alone (torch's
            SyncBatchNorm); local: over each process' own share of it. The same in one process.
        precision: of the networks' arithmetic (autocast). Weights, losses and Adam stay float32.
        channels_last: memory order of the networks and their images. D_id and D_cam are trained
            in it anyway.
        compile: mode of torch.compile. Shapes never change (samplers give full batches), so
            reduce-overhead can replay CUDA graphs.
        device: "cpu" or "cuda"; of several GPUs each process has one, which is "cuda" to it.
    """

    processes: int = 1
    batch_norm: Literal["sync", "local"] = "sync"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    channels_last: bool = False
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.processes < 1:
            raise UserError(f"run.processes is {self.processes}; it must be 1 at least")

    @classmethod
    def of(cls, run: Mapping[str, Any], device: str) -> Compute:
        """From the section `run` of the parameters.

        Raises:
            UserError: a value it cannot have, or float16 where there is no GPU.
        """
        own = {field.name: run[field.name] for field in fields(cls) if field.name in run}
        compute = settings_from(cls, {**own, "device": device}, "run")
        if compute.precision == "float16" and device != "cuda":
            raise UserError(
                f"run.precision is 'float16', which needs a GPU, and this runs on {device!r}; use "
                "float32 or bfloat16"
            )
        return compute

    def launch(self) -> Compute:
        """Start the other processes, if there shall be any, and meet them.

        Fabric runs this process' own command line once more for each of them. This one is the
        first: it writes, and the others end when it does.

        Raises:
            UserError: fewer GPUs than processes, or other processes than `run.processes` says.
        """
        started = int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 0
        if started and started != self.processes:
            raise UserError(
                f"{started} processes were started from outside, but run.processes is "
                f"{self.processes}: leave the starting to run.processes"
            )
        if self.device == "cuda" and torch.cuda.device_count() < self.processes:
            raise UserError(
                f"run.processes is {self.processes}, but this machine has "
                f"{torch.cuda.device_count()} GPU(s); start at most one process a GPU"
            )
        if self.fabric:
            self.fabric.launch()
        if shares.rank() and sys.platform == "linux":
            # what outlives the first process would hold its GPU while the next run wants it
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        return self

    @cached_property
    def fabric(self) -> Fabric | None:
        """None where torch by itself does all there is to do: one process, float32."""
        if self.processes == 1 and self.precision == "float32":
            return None
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import LightningEnvironment

        return Fabric(
            accelerator=self.device,
            devices=self.processes,
            strategy="ddp" if self.processes > 1 else "auto",
            precision=_PRECISIONS[self.precision],
            plugins=[LightningEnvironment()],  # not a cluster's: it would ask for a task a process
        )

    def prepare(self, *nets: nn.Module) -> None:
        """Bring networks to the device and make them compute so, in place.

        Raises:
            UserError: batch norm over the whole batch of several processes on a CPU.
        """
        for net in nets:
            net.to(self.device)
            if shares.world() > 1 and self.batch_norm == "sync":
                self._synchronise(net)
            if self.channels_last:
                net.to(memory_format=torch.channels_last)
            if self.channels_last or self.precision != "float32":
                for name in _CALLED:
                    if hasattr(type(net), name):
                        # bound to the network by name: a copy must compute with its own weights
                        setattr(net, name, partial(_called, net, name, self))
            if self.compile != "none":
                net.compile(mode=self.compile, dynamic=False)

    def _synchronise(self, net: nn.Module) -> None:
        if not any(isinstance(m, _BatchNorm) and m.training for m in net.modules()):
            return
        if self.device != "cuda":
            raise UserError(
                "run.batch_norm is 'sync', which torch has on GPUs alone, and this trains on "
                f"{self.device!r} in {self.processes} processes; set run.batch_norm to local, or "
                "run.processes to 1"
            )
        nn.SyncBatchNorm.convert_sync_batchnorm(net)

    def images(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) on the device, in the memory order in which re-id CNNs are fast."""
        return x.to(self.device, memory_format=torch.channels_last, non_blocking=True)

    def labels(self, y: Tensor) -> Tensor:
        """Numbers on the device."""
        return y.to(self.device, non_blocking=True)

    def begin(self) -> None:
        """To be called at the start of each iteration."""
        if self.compile == "reduce-overhead":
            # Results of a CUDA graph stand until here: X_G is needed after D_d's update.
            torch.compiler.cudagraph_mark_step_begin()

    def descend(self, optimizer: torch.optim.Optimizer, loss: Tensor, lr: float) -> None:
        """One step of an optimizer down a loss: of the whole batch, where each process has a share.

        Gradients are averaged before the scaler of float16 looks at them, so that all processes
        skip a step whose gradients overflow, or none does.

        Args:
            lr: learning rate; a group's key `scale` multiplies it.
        """
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("scale", 1.0)
        optimizer.zero_grad(set_to_none=True)
        if self.fabric is None:
            loss.backward()
            optimizer.step()
            return
        self.fabric.backward(loss)
        if shares.world() > 1:
            self._average_gradients(optimizer)
        self.fabric.strategy.precision.optimizer_step(optimizer)

    def _average_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = (p for group in optimizer.param_groups for p in group["params"])
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def mean(self, values: Tensor) -> Tensor:
        """Mean of a tensor over the processes, without gradients; `values` may be overwritten."""
        if self.fabric is None or shares.world() == 1:
            return values
        found = self.fabric.all_reduce(values, reduce_op="mean")
        assert isinstance(found, Tensor)
        return found

    def state_dict(self) -> dict[str, Any]:
        """The scaler's state."""
        return {} if self.fabric is None else self.fabric.strategy.precision.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        if self.fabric is not None:
            self.fabric.strategy.precision.load_state_dict(state)


PLAIN = Compute()


def _called(net: nn.Module, name: str, compute: Compute, *args: Tensor) -> Tensor:
    """`net.<name>(*args)` in another number format or memory order."""
    if compute.channels_last:
        args = tuple(
            x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x for x in args
        )
    with compute.fabric.autocast() if compute.fabric else nullcontext():
        y: Tensor = getattr(type(net), name)(net, *args)
    return y.to(torch.get_default_dtype())  # losses are sums of many small numbers
