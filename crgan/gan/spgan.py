"""SPGAN: similarity preserving GAN (Deng et al. 2018), to be read beside its section 3.

CycleGAN with identity mapping and a siamese network SiaNet, which asks two things of a translation:
that it stays like its own source image (self-similarity), and that it is unlike every image of
the target domain, whose people are others (domain-dissimilarity):

    L_con(i, x1, x2) = (1 - i) max(0, m - d)^2 + i d^2                                     eq. (5)

d the Euclidean distance of the embeddings, i = 1 for (x_a, G(x_a)) and (x_b, F(x_b)), and i = 0 for
(G(x_a), x_b) and (F(x_b), x_a): the negatives of the paper. (The TensorFlow release takes (x_a,
x_b), which gives the generators no gradient.) In all, eq. (6) of the paper,

    L = L_cyclegan + lambda_3 L_con

and G, F, the discriminators and SiaNet take turns. +LMP is a matter of the evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crgan.common.errors import UserError
from crgan.common.settings import Count, NonNegative, Positive, Share, settings_from
from crgan.gan import cyclegan
from crgan.gan.base import Task, Trained
from crgan.gan.cyclegan import Fakes, Translator, fit, load_generator
from crgan.gan.pairs import Pairs
from crgan.nets.sianet import SiaNet
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Watch

MODEL = "spgan"


@dataclass(frozen=True)
class Options(cyclegan.Options):
    """Section `translators.spgan` of the parameters over `cyclegan`."""

    lambda_3: NonNegative
    margin: Positive
    siamese_from: Share
    similarity_from: Share
    siamese_width: Count
    siamese_stages: Count

    def __post_init__(self) -> None:
        if self.siamese_from > self.similarity_from:
            raise UserError(
                f"siamese_from is {self.siamese_from}, similarity_from {self.similarity_from}; "
                "SiaNet learns first, so the second is no less"
            )

    def check_size(self, height: int, width: int) -> None:
        super().check_size(height, width)
        if min(height, width) < 4**self.siamese_stages:
            raise UserError(
                f"image.train is {height}x{width}: too small for spgan.siamese_stages "
                f"{self.siamese_stages}; use fewer"
            )


class Training(cyclegan.Training):
    """CycleGAN's with SiaNet beside it."""

    losses = (*cyclegan.Training.losses, "loss_similarity", "loss_siamese")
    moving = (*cyclegan.Training.moving, "m", "adam_m")
    options: Options

    def __init__(self, options: Options, task: Task, seed: int, compute: Compute = PLAIN) -> None:
        super().__init__(options, task, seed, compute)
        self.t = 0
        self.m = SiaNet(options.siamese_width, options.siamese_stages, task.height, task.width)
        compute.prepare(self.m)
        self.adam_m = self.adam(self.m)

    def step(self, t: int, pairs: Pairs) -> dict[str, Tensor]:
        self.t = t
        return super().step(t, pairs)

    def _reached(self, share: float) -> bool:
        return self.t >= share * self.options.iterations

    def more_terms(self, pairs: Pairs, fakes: Fakes) -> dict[str, tuple[float, Tensor]]:
        """lambda_3 L_con for G and F, once SiaNet has learned a little; 0 before."""
        if not self._reached(self.options.similarity_from):
            return {"similarity": (0.0, pairs.x_s.new_zeros(()))}
        self.m.requires_grad_(False)
        loss = self._contrast(pairs, fakes.b, fakes.a)
        self.m.requires_grad_(True)
        return {"similarity": (self.options.lambda_3, loss)}

    def more_updates(self, t: int, pairs: Pairs, fakes: Fakes) -> dict[str, Tensor]:
        """SiaNet on the same pairs, the generators fixed."""
        if not self._reached(self.options.siamese_from):
            return {"loss_siamese": pairs.x_s.new_zeros(())}
        loss = self._contrast(pairs, fakes.b.detach(), fakes.a.detach())
        self.compute.descend(self.adam_m, loss, self.options.lr_at(t))
        return {"loss_siamese": loss}

    def _contrast(self, pairs: Pairs, fake_b: Tensor, fake_a: Tensor) -> Tensor:
        e_a, e_b, e_fake_b, e_fake_a = self.m(
            torch.cat((pairs.x_s, pairs.x_t, fake_b, fake_a))
        ).chunk(4)
        return similarity(e_a, e_b, e_fake_b, e_fake_a, self.options.margin)


def contrastive(e1: Tensor, e2: Tensor, same: bool, margin: float) -> Tensor:
    """L_con of eq. (5), the mean over a batch of pairs of embeddings (B, D)."""
    squared = (e1 - e2).square().sum(dim=1)
    if same:
        return squared.mean()
    # the root has no gradient at 0, where a translation and a target image would be one
    return (margin - (squared + 1e-12).sqrt()).clamp(min=0).square().mean()


def similarity(e_a: Tensor, e_b: Tensor, e_fake_b: Tensor, e_fake_a: Tensor, m: float) -> Tensor:
    """L_con over the two kinds of positive and the two of negative pairs, their mean.

    Args:
        e_a, e_b: embeddings of x_a and x_b (B, D), length 1.
        e_fake_b, e_fake_a: embeddings of G(x_a) and F(x_b).
        m: the margin; with 2, the largest distance of embeddings, every negative counts.
    """
    pairs = ((e_a, e_fake_b, True), (e_b, e_fake_a, True), (e_fake_b, e_b, False),
             (e_fake_a, e_a, False))  # fmt: skip
    return torch.stack([contrastive(x, y, same, m) for x, y, same in pairs]).mean()


def train(
    task: Task,
    options: Mapping[str, Any],
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
    compute: Compute = PLAIN,
) -> Trained:
    """Train both directions; see `crgan.gan.base.Translation`.

    Raises:
        UserError: bad parameters, or a loss that diverges.
    """
    return fit(
        MODEL, Training, settings_from(Options, options, MODEL), task,
        seed=seed, checkpoint=checkpoint, watch=watch, compute=compute,
    )  # fmt: skip


def load_renderer(file: Mapping[str, Any], task: Task, device: str) -> Translator:
    """See `crgan.gan.base.Translation`."""
    return Translator(load_generator(file, MODEL, task, device))
