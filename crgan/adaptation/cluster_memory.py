"""Learning against a memory that holds one vector a cluster: BUC and cluster-contrast.

Instead of a classifier's weights, the features seen so far stand for the clusters: the logits are
the cosines of an image's feature f with the vectors V, divided by a temperature, and V follows f.

    p(c | x) = exp(V_c . f / tau) / sum_j exp(V_j . f / tau),    V_y <- m V_y + (1 - m) f

(length 1 again after each update).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from crgan.data.batches import Augmentation, augment, to_gan
from crgan.data.samplers import EpochSampler
from crgan.nets.reid import ReidNet
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Batches, Parts, Plan, iterate

Update: TypeAlias = Literal["all", "hardest"]


class MemoryNet(nn.Module):
    """A re-id CNN with a head for training, and the memory.

    Args:
        net: without classifier.
        head: from its features (B, D) to (B, E); left behind after training.
        tau: temperature.
        momentum: share of V_y that an update keeps.
        update: all: every image of a batch, one after the other; hardest: of each cluster the
            image least like its vector.
        dropout: of the features, after they got length 1.

    Attributes:
        memory: V, (K, E), row c the vector of cluster c; set anew for each round.
    """

    memory: Tensor

    def __init__(
        self,
        net: ReidNet,
        head: nn.Module,
        *,
        tau: float,
        momentum: float,
        update: Update = "all",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.net, self.head, self.dropout = net, head, nn.Dropout(dropout)
        self.tau, self.momentum, self.update = tau, momentum, update
        self.register_buffer("memory", torch.zeros(0, net.feature_dim))

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, E) of length 1, dropout aside."""
        features: Tensor = self.dropout(F.normalize(self.head(self.net.features(images))))
        return features

    def logits(self, features: Tensor) -> Tensor:
        """(B, K) of features (B, E)."""
        return features @ self.memory.T / self.tau

    @torch.no_grad()
    def remember(self, features: Tensor, labels: Tensor) -> None:
        """Let V follow features (B, E) of images of clusters `labels` (B,), which are on the CPU:
        they say where in the memory each feature goes, and nothing waits for a GPU.
        """
        clusters = labels.tolist()
        if self.update == "hardest":
            clusters = sorted(set(clusters))
            features = features[hardest(features, labels, self.memory)]
        for f, y in zip(features, clusters, strict=True):
            moved = self.momentum * self.memory[y] + (1 - self.momentum) * f
            self.memory[y] = F.normalize(moved, dim=0)


def hardest(features: Tensor, labels: Tensor, memory: Tensor) -> Tensor:
    """Rows of a batch, one a cluster in it: the image least like its cluster's vector.

    Args:
        features: (B, E); labels: (B,), on the CPU; memory: (K, E).

    Returns:
        Places in the batch, clusters in ascending order.
    """
    own = labels.to(features.device)
    likeness = (features * memory[own]).sum(1)
    found = [torch.where(own == y, likeness, torch.inf).argmin() for y in labels.unique().tolist()]
    return torch.stack(found)


class Round(Parts):
    """One round: as many iterations as there are learning rates; model and memory change.

    Args:
        model: prepared, in train mode; its memory has a row for each label of the batches.
        optimizer: of its parameters.
        rates: learning rate of each batch.
    """

    moving = ("model", "optimizer")

    def __init__(
        self,
        model: MemoryNet,
        optimizer: torch.optim.Optimizer,
        rates: Sequence[float],
        compute: Compute = PLAIN,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.rates, self.compute = rates, compute

    def step(self, t: int, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Iteration t, from 0, on images and their clusters."""
        images, labels = batch
        features = self.model(self.compute.images(images))
        loss = F.cross_entropy(self.model.logits(features), self.compute.labels(labels))
        self.compute.descend(self.optimizer, loss, self.rates[t])
        self.model.remember(features.detach(), labels)
        return {"loss": loss.detach()}

    def run(
        self,
        batches: Batches[tuple[Tensor, Tensor]],
        name: str,
        checkpoint: Checkpoint | None = None,
    ) -> float:
        """Learn from batches; `checkpoint` is of this round alone.

        Returns:
            The mean loss over the round.

        Raises:
            UserError: the loss is no longer finite.
        """
        plan = Plan(name, len(self.rates), self.rates.__getitem__)
        history = iterate(self, batches, plan, checkpoint=checkpoint, compute=self.compute)
        return history.mean("loss")


class ClusterBatches:
    """Endless batches of P clusters with K images each, augmented, resumable bit for bit.

    Clusters come in shuffled epochs, each as often as any other; a cluster of fewer than K
    images shows some of them twice.

    Args:
        images: uint8 (n, H, W, 3).
        labels: int64 (n,), clusters from 0; images of label -1 are never drawn.
        clusters: P.
        instances: K.
        how: the augmentation.
        seed: everything drawn follows from it.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        clusters: int,
        instances: int,
        how: Augmentation,
        seed: np.random.SeedSequence,
    ) -> None:
        order, looks = seed.spawn(2)
        by_label = np.argsort(labels, kind="stable")
        first = np.searchsorted(labels[by_label], np.arange(labels.max() + 2))
        self._members = [by_label[a:b] for a, b in pairwise(first)]
        self._images, self._how, self._instances = images, how, instances
        self._sampler = EpochSampler(len(self._members), clusters, order)
        self._rng = np.random.default_rng(looks)

    def __next__(self) -> tuple[Tensor, Tensor]:
        labels = next(self._sampler)
        rows = np.concatenate([self._draw(self._members[label]) for label in labels])
        images = to_gan(augment(self._images, rows, self._how, self._rng))
        return images, torch.from_numpy(np.repeat(labels, self._instances))

    def _draw(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        few = len(members) < self._instances
        return self._rng.choice(members, self._instances, replace=few)

    def state_dict(self) -> dict[str, Any]:
        return {"sampler": self._sampler.state_dict(), "looks": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sampler.load_state_dict(state["sampler"])
        self._rng.bit_generator.state = state["looks"]
