"""The one training loop of D_id and D_cam, before and after rendering.

A loop is a network, a recipe and endless labelled batches. It resumes bit for bit: weights, Adam's
moments, the batches' random state and the history so far are all in the checkpoint.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.common.settings import Betas, Count, NonNegative, Positive, Share
from crgan.data.batches import Augmentation
from crgan.pipeline.progress import bar_range
from crgan.train import distributed
from crgan.train.checkpoint import Checkpoint
from crgan.train.precision import PLAIN, Compute, descend

Schedule: TypeAlias = Literal["linear_half", "step", "constant"]

_HISTORY_ROWS = 50


class Batches(Protocol):
    """Endless labelled batches that can go on where they stood."""

    def __next__(self) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) float32 in [-1, 1], and their classes (B,) int64."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Plain values: order, position and random state."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved batches stood."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained with Adam.

    Attributes:
        iterations: batches.
        batch: pictures in each.
        lr: highest learning rate.
        schedule: linear_half: constant, then linearly to 0 over the second half, as section 4.1
            trains the GAN; step: a tenth from two thirds on; constant.
        warmup: share of the iterations over which the rate grows linearly from 0.
        adam_betas: of Adam.
        weight_decay: L2, added to the gradient.
        label_smoothing: share of a label's weight spread evenly over all labels.
        flip: probability of mirroring a picture.
        crop_padding: share of the height by which a picture is padded before a random crop.
        erasing: probability of erasing a random rectangle.
    """

    iterations: Count
    batch: Count
    lr: Positive
    schedule: Schedule = "linear_half"
    warmup: Share = 0.0
    adam_betas: Betas = (0.9, 0.999)
    weight_decay: NonNegative = 0.0
    label_smoothing: Share = 0.0
    flip: Share = 0.0
    crop_padding: Share = 0.0
    erasing: Share = 0.0

    def augmentation(self, height: int) -> Augmentation:
        """Of pictures `height` pixels high."""
        return Augmentation(self.flip, round(self.crop_padding * height), self.erasing)

    def lr_at(self, step: int) -> float:
        """Learning rate of iteration `step`, from 0."""
        done = step / self.iterations
        if done < self.warmup:
            return self.lr * (step + 1) / math.ceil(self.warmup * self.iterations)
        if self.schedule == "linear_half":
            return self.lr * min(1.0, 2 * (1 - done))
        return self.lr * (0.1 if self.schedule == "step" and done >= 2 / 3 else 1.0)


@dataclass(frozen=True)
class Row:
    """Means over the iterations since the row before; `accuracy` in percent of their pictures."""

    iteration: int
    loss: float
    lr: float
    accuracy: float


def write_history(path: str | Path, history: list[Row]) -> None:
    """Write a CSV with a line for each row."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        for row in history:
            writer.writerow(
                (row.iteration, f"{row.loss:.5f}", f"{row.lr:.3g}", f"{row.accuracy:.2f}")
            )


def train(
    net: nn.Module,
    batches: Batches,
    recipe: Recipe,
    *,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    description: str = "",
    compute: Compute = PLAIN,
) -> list[Row]:
    """Train `net` in place, as it is: the caller chooses what is in train mode.

    Args:
        net: a classifier of images in [-1, 1].
        batches: what it learns from, already augmented.
        recipe: iterations, rates and loss.
        device: where to train.
        checkpoint: saved into when due, and resumed from when it holds something.
        description: name on the progress bar and in messages.
        compute: in what precision, and over how many processes.

    Returns:
        About 50 rows of history, the last at the last iteration.

    Raises:
        UserError: the loss is no longer finite.
    """
    # Convolutions are faster in this order, and fused Adam is one pass over each weight.
    net.to(device).to(memory_format=torch.channels_last)
    compute.prepare(net)
    scaler = compute.scaler()
    optimizer = torch.optim.Adam(
        [p for p in net.parameters() if p.requires_grad],
        lr=recipe.lr,
        betas=recipe.adam_betas,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    progress = _Progress(device)
    if checkpoint and (state := checkpoint.load()):
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        batches.load_state_dict(state["batches"])
        progress.load_state_dict(state["progress"])
        if scaler:
            scaler.load_state_dict(state["scaler"])
    distributed.check_same_iteration(progress.step, device)
    every = max(1, recipe.iterations // _HISTORY_ROWS)
    bar = bar_range(
        progress.step, recipe.iterations, initial=progress.step, total=recipe.iterations,
        desc=description, pictures=recipe.batch, **distributed.bar_options(),
    )  # fmt: skip
    for step in bar:
        compute.begin()
        lr = recipe.lr_at(step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        images, labels = (t.to(device, non_blocking=True) for t in next(batches))
        logits = net(images.contiguous(memory_format=torch.channels_last))
        loss = criterion(logits, labels)
        descend(optimizer, loss, scaler)
        progress.add(loss, logits, labels)
        last = step + 1 == recipe.iterations
        if last or (step + 1) % every == 0:
            row = progress.close_row(lr, description)
            bar.note(step + 1, {"loss": row.loss, "accuracy": row.accuracy})
        if checkpoint and checkpoint.due() and not last:
            checkpoint.save(
                {
                    "net": net.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "batches": batches.state_dict(),
                    "progress": progress.state_dict(),
                    **({"scaler": scaler.state_dict()} if scaler else {}),
                }
            )
    return progress.history


class _Progress:
    """Iterations done, history, and the sums of the row to come.

    The sums stay on the device: reading a loss every iteration would wait for it every iteration.
    """

    def __init__(self, device: str) -> None:
        self.step = self.pictures = 0
        self.history: list[Row] = []
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)  # losses, right answers

    @torch.no_grad()
    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        right = (logits.argmax(1) == labels).sum()
        processes = distributed.world()  # the whole batch is counted, the same in all of them
        sums = torch.stack((loss.double(), processes * right.double()))
        self._sums += distributed.mean(sums)
        self.pictures += processes * len(labels)
        self.step += 1

    def close_row(self, lr: float, description: str) -> Row:
        """Append the row of the iterations since the last one."""
        loss, right = self._sums.tolist()
        batches = self.step - (self.history[-1].iteration if self.history else 0)
        row = Row(self.step, loss / batches, lr, 100 * right / self.pictures)
        if not math.isfinite(row.loss):
            raise UserError(
                f"{description}: the loss is {row.loss} by iteration {row.iteration}; lower its lr"
            )
        self.history.append(row)
        self.pictures = 0
        self._sums.zero_()
        return row

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "pictures": self.pictures,
            "sums": self._sums,
            "history": [(row.iteration, row.loss, row.lr, row.accuracy) for row in self.history],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.step, self.pictures = state["step"], state["pictures"]
        self._sums.copy_(state["sums"])
        self.history = [Row(*row) for row in state["history"]]
