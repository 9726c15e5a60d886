"""What MMFA and HHL share: source labels and target pictures are learned from together by SGD."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import trange

from crgan.data.batches import Augmentation, class_labels
from crgan.data.store import Split
from crgan.nets.reid import Pooling, ReidNet
from crgan.reid.model_file import build_reid
from crgan.run.checkpoint import Checkpoint
from crgan.run.errors import UserError

_LOOK_EVERY = 20  # iterations; to read each loss would make the processor wait for the device


@dataclass(frozen=True)
class Solver:
    """SGD with Nesterov momentum, the rate a tenth from a share of the iterations on.

    Attributes:
        iterations: steps.
        lr: of new layers; backbone_lr_scale: the backbone's rate as a share of it.
        momentum, weight_decay: of SGD.
        step_at: share of the iterations after which the rates are a tenth.
        flip: probability of mirroring a picture.
        crop_padding: share of the height by which a picture is padded before a random crop.
    """

    iterations: int
    lr: float
    backbone_lr_scale: float
    momentum: float
    weight_decay: float
    step_at: float
    flip: float
    crop_padding: float

    def __post_init__(self) -> None:
        wrong = [] if self.iterations >= 1 else ["iterations"]
        wrong += [k for k in ("lr", "backbone_lr_scale") if getattr(self, k) <= 0]
        shares = ("momentum", "step_at", "flip", "crop_padding", "weight_decay")
        wrong += [k for k in shares if not 0 <= getattr(self, k) <= 1]
        if wrong:
            raise UserError(
                f"{wrong[0]} is {getattr(self, wrong[0])!r}, which no training can have"
            )

    def lr_at(self, t: int) -> float:
        """Rate of new layers at iteration t, from 0."""
        return self.lr * (0.1 if t >= self.step_at * self.iterations else 1.0)

    def augmentation(self, height: int) -> Augmentation:
        """Of pictures `height` pixels high."""
        return Augmentation(self.flip, round(self.crop_padding * height))

    def sgd(self, backbone: nn.Module, *heads: nn.Module) -> torch.optim.SGD:
        """The optimizer of a network's parts: everything that is not the backbone is new."""
        new = [p for head in heads for p in head.parameters()]
        groups = [
            {"params": list(backbone.parameters()), "scale": self.backbone_lr_scale},
            {"params": new, "scale": 1.0},
        ]
        return torch.optim.SGD(
            groups, self.lr, self.momentum, weight_decay=self.weight_decay,
            nesterov=self.momentum > 0, fused=True,
        )  # fmt: skip

    def descend(self, sgd: torch.optim.SGD, t: int, loss: Tensor) -> None:
        """Iteration t, from 0: one step down a loss."""
        for group in sgd.param_groups:
            group["lr"] = self.lr_at(t) * group["scale"]
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        sgd.step()


class People:
    """The labelled persons of a source's training split.

    Attributes:
        rows: places in the split of n pictures, int64 (n,).
        images: uint8 (n, H, W, 3); a view of the store, where everybody is labelled.
        labels: classes from 0 in ascending order of pid, int64 (n,).
        classes: number of persons.

    Raises:
        UserError: there are none.
    """

    def __init__(self, source: Split) -> None:
        self.rows = np.flatnonzero(source.pid > 0)
        if not len(self.rows):
            raise UserError("the source has no labelled person in its train split")
        everybody = len(self.rows) == len(source)
        self.images = source.images if everybody else source.images[self.rows]
        self.labels, self.classes = class_labels(source.pid[self.rows])
        self.pids = np.unique(source.pid[self.rows]).tolist()


def network(
    start: Mapping[str, Any], classes: int, size: tuple[int, ...], pooling: Pooling = "mean"
) -> ReidNet:
    """A re-id CNN with the backbone of a re-id file and a new classifier, in train mode.

    Args:
        classes: of the classifier; 0 for none.
        size: (H, W) of the pictures to learn from.

    Raises:
        UserError: the file is of pictures of another size.
    """
    if (start["height"], start["width_px"]) != tuple(size):
        raise UserError(
            f"the CNN to start from takes pictures of {start['height']}x{start['width_px']}, these "
            f"are {size[0]}x{size[1]}; make it again at this size"
        )
    old = build_reid(start, "the CNN to start from")
    net = ReidNet(old.backbone_name, old.width, classes, old.last_stride, pooling)
    net.backbone.load_state_dict(old.backbone.state_dict())
    return net.train().to(memory_format=torch.channels_last)


class Learning(Protocol):
    """Networks, their optimizer and their batches, one iteration after the other."""

    def step(self, t: int, /) -> dict[str, Tensor]:
        """Iteration t, from 0; its losses by name."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes, random state included."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go on where `state_dict` was called."""
        ...


def learn(
    name: str, learning: Learning, iterations: int, checkpoint: Checkpoint | None
) -> list[dict[str, float]]:
    """Run all iterations that are left, bit for bit as if none of them had been interrupted.

    Returns:
        The losses at every 20th iteration since the start or the resumption, and at the last.

    Raises:
        UserError: a loss is not finite.
    """
    first = 0
    if checkpoint and (saved := checkpoint.load()):
        first = saved["done"]
        learning.load_state_dict(saved["learning"])
    seen: list[dict[str, float]] = []
    bar = trange(first, iterations, desc=name, initial=first, total=iterations)
    for t in bar:
        losses = learning.step(t)
        last = t + 1 == iterations
        due = bool(checkpoint and checkpoint.due() and not last)
        if due or last or (t + 1) % _LOOK_EVERY == 0:
            seen.append(_finite(name, t, losses))
            bar.set_postfix({k: f"{v:.3g}" for k, v in seen[-1].items()}, refresh=False)
        if checkpoint and due:
            checkpoint.save({"done": t + 1, "learning": learning.state_dict()})
    return seen


def _finite(name: str, t: int, losses: Mapping[str, Tensor]) -> dict[str, float]:
    values = {key: float(loss) for key, loss in losses.items()}
    for key, value in values.items():
        if not math.isfinite(value):
            raise UserError(f"{name}: {key} is {value} at iteration {t + 1}; lower its lr")
    return values


def to_device(images: Tensor, device: str) -> Tensor:
    """A batch where it is used, in the order in which convolutions are faster."""
    return images.to(device, memory_format=torch.channels_last)


def picked(values: NDArray[Any], rows: Tensor, device: str) -> Tensor:
    """Entries of an array at rows (B,), as a tensor on the device."""
    return torch.from_numpy(values[rows.numpy()]).to(device)
