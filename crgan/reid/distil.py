"""Starting weights for the small CNN: it learns to see as an ImageNet network does.

The demo has no network of ImageNet's size to start from. Its small one is taught, on images of
things, to give at every place of its last map what an ImageNet network gives there.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from crgan.data.batches import Augmentation, TrainBatches
from crgan.nets.reid import ReidNet
from crgan.pipeline.progress import bar_range


def distil(
    teacher: ReidNet, student: ReidNet, crops: NDArray[np.uint8], *, iterations: int,
    batch: int, lr: float, seed: int,
) -> list[float]:  # fmt: skip
    """Teach `student` in place; both last maps must be of one size.

    The loss is the squared distance of the teacher's map, each channel standardised over the
    batch, from a linear reading of the student's: 1 for a student that has learned nothing.

    Args:
        images: uint8 (N, H, W, 3).

    Returns:
        The loss of each iteration.
    """
    torch.manual_seed(seed)
    teacher.eval()
    student.train()
    reading = nn.Conv2d(student.map_dim, teacher.map_dim, 1)
    standard = nn.BatchNorm2d(teacher.map_dim, affine=False)
    parameters = [*student.backbone.parameters(), *reading.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=iterations)
    nobody = np.zeros(len(crops), np.int64)
    batches = TrainBatches(crops, nobody, batch, Augmentation(flip=0.5, pad=3), seed)
    losses = []
    for _ in bar_range(0, iterations, initial=0, total=iterations, desc="distil", images=batch):
        images, _ = next(batches)
        with torch.no_grad():
            wanted = standard(teacher.feature_map(images))
        loss = (reading(student.feature_map(images)) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses
