"""Training a classifier of images: D_id and D_cam, before and after rendering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from crgan.common.settings import Betas, Count, NonNegative, Positive, Share
from crgan.data.batches import Augmentation
from crgan.train import schedules
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.history import History
from crgan.train.loop import Batches, Parts, Plan, iterate
from crgan.train.optimizers import Adam

Schedule: TypeAlias = Literal["linear_half", "step", "constant"]


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained with Adam.

    Attributes:
        iterations: batches.
        batch: images in each.
        lr: highest learning rate.
        schedule: linear_half: constant, then linearly to 0 over the second half, as section 4.1
            trains the GAN; step: a tenth from two thirds on; constant.
        warmup: share of the iterations over which the rate grows linearly from 0.
        adam_betas: of Adam.
        weight_decay: L2, added to the gradient.
        label_smoothing: share of a label's weight spread evenly over all labels.
        flip: probability of mirroring an image.
        crop_padding: share of the height by which an image is padded before a random crop.
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
        """Of images `height` pixels high."""
        return Augmentation(self.flip, round(self.crop_padding * height), self.erasing)

    def lr_at(self, step: int) -> float:
        """Learning rate of iteration `step`, from 0."""
        total = self.iterations
        if schedules.in_warmup(step, total, self.warmup):
            return schedules.warmup(self.lr, step, total, self.warmup)
        if self.schedule == "linear_half":
            return schedules.linear_decay(self.lr, step, total)
        if self.schedule == "step":
            return schedules.step_decay(self.lr, step, total, at=2 / 3)
        return self.lr


class Classification(Parts):
    """A network that learns classes by cross-entropy.

    Args:
        net: a classifier of images in [-1, 1], trained as it is: the caller chooses what is in
            train mode.
        recipe: rates and loss.
        compute: what it computes on.
    """

    moving = ("net", "adam")

    def __init__(self, net: nn.Module, recipe: Recipe, compute: Compute = PLAIN) -> None:
        self.recipe, self.compute = recipe, compute
        # Convolutions are faster in this order.
        self.net = net.to(compute.device).to(memory_format=torch.channels_last)
        compute.prepare(self.net)
        self.adam = Adam(net.parameters(), recipe.lr, recipe.adam_betas, recipe.weight_decay)
        self._loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def step(self, t: int, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Loss, and accuracy in percent, of images (B, 3, H, W) and their classes (B,)."""
        images, labels = self.compute.images(batch[0]), self.compute.labels(batch[1])
        logits = self.net(images)
        loss = self._loss(logits, labels)
        self.compute.descend(self.adam, loss, self.recipe.lr_at(t))
        right = (logits.detach().argmax(1) == labels).to(loss.dtype)
        return {"loss": loss.detach(), "accuracy": 100 * right.mean()}


def train(
    net: nn.Module,
    batches: Batches[tuple[Tensor, Tensor]],
    recipe: Recipe,
    *,
    checkpoint: Checkpoint | None = None,
    description: str = "",
    compute: Compute = PLAIN,
) -> History:
    """Train `net` in place; see `Classification`.

    Args:
        batches: what it learns from, already augmented.
        checkpoint: saved into when due, and resumed from when it holds something.
        description: name on the progress bar and in messages.

    Returns:
        About 50 rows of loss and accuracy.

    Raises:
        UserError: the loss is no longer finite.
    """
    plan = Plan(description, recipe.iterations, recipe.lr_at, recipe.batch)
    learning = Classification(net, recipe, compute)
    return iterate(learning, batches, plan, checkpoint=checkpoint, compute=compute)
