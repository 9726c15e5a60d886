"""What the tests of the CycleGAN family share: small options, one mini-batch, a kill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crgan.common.io import save_torch
from crgan.common.settings import settings_from
from crgan.gan.base import Task, Trained
from crgan.gan.cyclegan import cameras
from crgan.gan.pairs import PairBatches, Pairs
from crgan.looks.samples import Sheet
from crgan.train.checkpoint import Checkpoint
from tests.gan_fakes import task

OPTIONS: dict[str, Any] = {
    "lr": 0.0002,
    "adam_betas": [0.5, 0.999],
    "constant_share": 0.5,
    "lambda_cycle": 10.0,
    "lambda_identity": 5.0,
    "pool": 5,
    "flip": True,
    "enlarge": 1.117,
    "history_every": 3,
    "iterations": 8,
    "batch": 3,
    "width": 4,
    "blocks": 1,
    "kernel": 7,
    "discriminator_width": 4,
    "discriminator_layers": 1,
    "sample_every": 4,
}
Kind = Any  # the module of a method


def setting(method: Kind, own: Mapping[str, Any], t: Task | None = None, **changes: Any) -> Any:
    """A method's training at its start, and a mini-batch with cameras as labels."""
    t = t or task()
    o = settings_from(method.Options, {**OPTIONS, **own, **changes}, method.MODEL)
    torch.manual_seed(0)
    training = method.Training(o, t, 0)
    return training, batch(t, o)


def batch(t: Task, o: Any) -> Pairs:
    """The first mini-batch of a task."""
    in_a, in_b = cameras(t)
    y_a, y_b = np.searchsorted(in_a, t.source.camid), np.searchsorted(in_b, t.target.camid)
    return next(PairBatches(t, y_a, y_b, o.batch, 0, "cpu", flip=o.flip, enlarge=o.enlarge))


def weights_of(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def same(before: list[Tensor], net: nn.Module) -> bool:
    return all(map(torch.equal, before, weights_of(net)))


def still(before: list[Tensor], net: nn.Module) -> list[str]:
    """Kernels that have not changed; a bias before a norm has no effect, and no gradient."""
    named = zip(net.named_parameters(), before, strict=True)
    return [n for (n, p), b in named if n.endswith("weight") and torch.equal(p, b)]


class Stop(Exception):
    """The kill."""


class Killing(Checkpoint):
    """Saves after every iteration, then stops the process' stand-in after `after` of them."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(path, every=0)
        self.after = after

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        if "learning" in state and state["history"]["iteration"] == self.after:
            raise Stop


def files(
    run: Callable[..., Trained], folder: Path, checkpoint: Checkpoint | None = None
) -> list[bytes]:
    """What a stage would write of a training, in bytes."""
    folder.mkdir()
    sheet = Sheet()
    trained = run(checkpoint=checkpoint, watch=sheet)
    save_torch(folder / "gan.pt", trained.file)
    trained.history.write(folder / "gan.csv")
    sheet.write(folder / "gan.png")
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def check_resumed(
    run: Callable[..., Trained], folder: Path, killing: Checkpoint, saving: Checkpoint
) -> None:
    """A training that is killed and started again gives the bytes of one that was not."""
    killed = False
    try:
        run(checkpoint=killing, watch=Sheet())
    except Stop:
        killed = True
    assert killed
    torch.manual_seed(99)  # another process, another state
    resumed = files(run, folder / "resumed", saving)
    assert resumed == files(run, folder / "whole")
    assert len(resumed) == 3
