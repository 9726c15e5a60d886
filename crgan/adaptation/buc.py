"""BUC, bottom-up clustering (Lin et al. 2019): every image is a cluster, then clusters merge.

A round trains the CNN to tell its clusters apart (repelled loss against a memory of one vector a
cluster, `crgan.adaptation.cluster_memory`), then merges the mp * n nearest pairs of clusters,

    D(A, B) = min over a in A, b in B of |f_a - f_b|^2  +  lambda (|A| + |B|),

the minimum distance with a term that keeps clusters from growing early. No label is used at all.

Two things of the authors' release are left out on purpose: the number of rounds is fixed before any
score is seen, where they report the best of all rounds, chosen on the test set; and the memory
starts at zero in each round, as in their correction of 2019. (Filling it with the features of the
round before had mixed up clusters, in an order of images that gave identities away.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import nn

from crgan.adaptation.base import Target
from crgan.adaptation.cluster_memory import MemoryNet, Round
from crgan.adaptation.rounds import begin, features_of, finish, log, seed_round, unit
from crgan.common.errors import UserError
from crgan.common.settings import Count, NonNegative, Pair, Partly, Positive, Share, settings_from
from crgan.data.batches import Augmentation, TrainBatches
from crgan.data.store import Split
from crgan.metrics.inputs import Floats, one_blas_thread
from crgan.nets.reid import ReidNet
from crgan.reid.pretrain import NO_WEIGHTS
from crgan.train import schedules
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.optimizers import SGD

Labels: TypeAlias = NDArray[np.int64]

_BLOCK = 512  # images; larger products are no faster


@dataclass(frozen=True)
class Options:
    """The rounds and their training, by SGD.

    Attributes:
        rounds: trainings; between two of them clusters merge.
        merge_share: mp, share of the number of images by which clusters get fewer.
        lambda_diversity: weight of the clusters' numbers of images.
        tau: temperature of the repelled loss.
        memory_momentum: share of a cluster's vector that an update keeps.
        dropout: of the features in training.
        first_epochs, epochs: over all images, of the first round and of each later one.
        batch: images.
        lr: of the head; a tenth of it over the last fifth of the first round.
        later_lr: in later rounds.
        backbone_lr_share: the backbone's rate, as a share of the head's.
        momentum: of SGD, Nesterov's.
        weight_decay: L2.
        flip, crop_padding: augmentation, as in `crgan.train.classifier.Recipe`.
    """

    rounds: Count
    merge_share: Positive
    lambda_diversity: float
    tau: Positive
    memory_momentum: Partly
    dropout: Partly
    first_epochs: Count
    epochs: Count
    batch: Pair
    lr: Positive
    later_lr: Positive
    backbone_lr_share: Positive
    momentum: Partly
    weight_decay: NonNegative
    flip: Share
    crop_padding: Share

    def __post_init__(self) -> None:
        if (self.rounds - 1) * self.merge_share >= 1:
            raise UserError(
                f"rounds is {self.rounds} with merge_share {self.merge_share}: no clusters would "
                "be left to merge; have fewer rounds"
            )

    def rates(self, number: int, images: int) -> list[float]:
        """The head's learning rate in each batch of round `number`, from 0."""
        epochs = self.epochs if number else self.first_epochs
        count = math.ceil(epochs * images / self.batch)
        if number:
            return [self.later_lr] * count
        return [schedules.step_decay(self.lr, step, count, at=0.8) for step in range(count)]


def adapt(
    start: Mapping[str, Any],
    source: Split,
    target: Target,
    options: Mapping[str, Any],
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    compute: Compute = PLAIN,
) -> dict[str, Any]:
    """BUC, from a CNN that has seen no person (`crgan.adaptation.base.Adapt`), without the source.

    Raises:
        UserError: options that cannot be, a target of fewer than two images, a start of images of
            another size, or a loss that diverges.
    """
    plan = settings_from(Options, options, "buc")
    if len(target) < 2:
        raise UserError(
            f"BUC merges clusters of images, and the target has {len(target)} training image(s); "
            "it needs 2 at least"
        )
    torch.manual_seed(seed)  # of the head's weights, whatever the number of rounds
    model = _model(begin(start, target), plan).to(memory_format=torch.channels_last)
    compute.prepare(model)
    done, labels = 0, np.arange(len(target))
    if checkpoint and (state := checkpoint.load()):
        model.load_state_dict(state["model"])
        done, labels = state["done"], state["labels"].numpy()
    for number in range(done, plan.rounds):
        where = f"BUC round {number + 1} of {plan.rounds}"
        if number:
            features = unit(features_of(model.net, target, compute.device, f"{where}: features"))
            count = int(plan.merge_share * len(target))  # never all of them, by the plan's check
            labels = merged(features, labels, count, plan.lambda_diversity)
        part = checkpoint.part(f"round{number}") if checkpoint else None
        loss = _train(model, target, labels, number, plan, seed, compute, part, where)
        sizes = np.bincount(labels)
        log(f"{where}: {len(sizes)} clusters, the largest of {sizes.max()}; loss {loss:.3f}")
        if checkpoint and part:
            model.memory = model.memory[:0]
            state = {"model": model.state_dict(), "labels": torch.from_numpy(labels)}
            checkpoint.save({**state, "done": number + 1})
            part.remove()
    notes = [f"BUC went from {len(target)} clusters to {labels.max() + 1}"]
    if start["origin"] in NO_WEIGHTS:
        notes.append("BUC started from random weights, not from ImageNet's")
    return finish(model.net, start, notes)


def _model(net: ReidNet, plan: Options) -> MemoryNet:
    """The CNN with the head of the authors' release."""
    width = net.feature_dim
    head = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))
    return MemoryNet(
        net, head, tau=plan.tau, momentum=plan.memory_momentum, dropout=plan.dropout
    )  # fmt: skip


def _train(
    model: MemoryNet,
    target: Target,
    labels: Labels,
    number: int,
    plan: Options,
    seed: int,
    compute: Compute,
    checkpoint: Checkpoint | None,
    description: str,
) -> float:
    """One round; gives the mean repelled loss."""
    seeds = seed_round(seed, number)
    model.train()
    model.memory = torch.zeros(int(labels.max()) + 1, model.net.feature_dim, device=compute.device)
    groups: list[dict[str, Any]] = [
        {"params": list(model.net.parameters()), "scale": plan.backbone_lr_share},
        {"params": list(model.head.parameters())},
    ]
    # not fused: the same numbers to the last digit as before the optimizers had a room of their own
    optimizer = SGD(groups, plan.lr, plan.momentum, plan.weight_decay, fused=False)
    how = Augmentation(plan.flip, round(plan.crop_padding * target.images.shape[1]))
    batches = TrainBatches(target.images, labels, plan.batch, how, seeds)
    rates = plan.rates(number, len(target))
    return Round(model, optimizer, rates, compute).run(batches, description, checkpoint)


def merged(features: Floats, labels: Labels, count: int, lambda_diversity: float) -> Labels:
    """Clusters (n,), from 0, after the `count` nearest pairs of them were merged.

    Distances stay those before the first of these merges; a pair that other merges have already
    brought together does not count. That is single linkage, stopped early.

    Args:
        features: (n, D) of length 1.
        labels: (n,) clusters before, from 0.
        count: merges, fewer than there are clusters.
        lambda_diversity: weight of the clusters' numbers of images.
    """
    before = int(labels.max()) + 1
    joins = linkage(cluster_distances(features, labels, lambda_diversity), "single")[:count]
    # row t of a linkage joins two and calls the result before + t: any member stands for it
    member = np.concatenate((np.arange(before), np.zeros(count, dtype=np.int64)))
    pairs = np.empty((count, 2), dtype=np.int64)
    for t, (a, b) in enumerate(joins[:, :2].astype(np.int64)):
        pairs[t] = member[a], member[b]
        member[before + t] = member[a]
    graph = coo_matrix((np.ones(count), pairs.T), shape=(before, before))
    _, after = connected_components(graph, directed=False)
    return after.astype(np.int64)[labels]


def cluster_distances(
    features: Floats, labels: Labels, lambda_diversity: float
) -> NDArray[np.float64]:
    """D(A, B) of all pairs of C clusters, (C (C - 1) / 2,), in scipy's condensed order.

    Args:
        features: (n, D) of length 1: squared distance is 2 - 2 cosine.
        labels: (n,), 0 to C - 1, none left out.
        lambda_diversity: weight of the clusters' numbers of images.
    """
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    first = np.concatenate(([0], np.cumsum(sizes)))
    features = features[order]
    distances = np.empty(len(sizes) * (len(sizes) - 1) // 2)
    a = filled = 0
    with one_blas_thread():
        while a < len(sizes):
            # clusters a to b - 1, together about a block of images, and all from a on
            b = max(a + 1, int(np.searchsorted(first, first[a] + _BLOCK, side="right")) - 1)
            likeness = features[first[a] : first[b]] @ features[first[a] :].T
            likeness = np.maximum.reduceat(likeness, first[a:-1] - first[a], axis=1)
            nearest = np.maximum.reduceat(likeness, first[a:b] - first[a], axis=0)
            for i, row in enumerate(nearest):
                later = sizes[a + i + 1 :]
                diversity = lambda_diversity * (sizes[a + i] + later)
                distances[filled : filled + len(later)] = 2 - 2 * row[i + 1 :] + diversity
                filled += len(later)
            a = b
    return distances
