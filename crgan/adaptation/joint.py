"""What MMFA and HHL share: source labels and target images are learned from together by SGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.common.settings import Count, Positive, Share
from crgan.data.batches import Augmentation, class_labels
from crgan.data.store import Split
from crgan.train import schedules
from crgan.train.loop import Plan
from crgan.train.optimizers import SGD


@dataclass(frozen=True)
class Solver:
    """SGD with Nesterov momentum, the rate a tenth from a share of the iterations on.

    Attributes:
        iterations: steps.
        lr: of new layers; backbone_lr_scale: the backbone's rate as a share of it.
        momentum, weight_decay: of SGD.
        step_at: share of the iterations after which the rates are a tenth.
        flip: probability of mirroring an image.
        crop_padding: share of the height by which an image is padded before a random crop.
    """

    iterations: Count
    lr: Positive
    backbone_lr_scale: Positive
    momentum: Share
    weight_decay: Share
    step_at: Share
    flip: Share
    crop_padding: Share

    def lr_at(self, t: int) -> float:
        """Rate of new layers at iteration t, from 0."""
        return schedules.step_decay(self.lr, t, self.iterations, self.step_at)

    def augmentation(self, height: int) -> Augmentation:
        """Of images `height` pixels high."""
        return Augmentation(self.flip, round(self.crop_padding * height))

    def sgd(self, backbone: nn.Module, *heads: nn.Module) -> SGD:
        """The optimizer of a network's parts: everything that is not the backbone is new."""
        new = [p for head in heads for p in head.parameters()]
        groups: list[dict[str, object]] = [
            {"params": list(backbone.parameters()), "scale": self.backbone_lr_scale},
            {"params": new, "scale": 1.0},
        ]
        return SGD(groups, self.lr, self.momentum, self.weight_decay)

    def plan(self, name: str) -> Plan:
        """What the loop must know."""
        return Plan(name, self.iterations, self.lr_at)


class People:
    """The labelled persons of a source's training split.

    Attributes:
        rows: places in the split of n images, int64 (n,).
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


def picked(values: NDArray[Any], rows: Tensor, device: str) -> Tensor:
    """Entries of an array at rows (B,), as a tensor on the device."""
    return torch.from_numpy(values[rows.numpy()]).to(device)
