"""Cluster-contrast (Dai et al. 2021): InfoNCE against the clusters that DBSCAN finds.

Not a method of the paper; it is here to show what a later one gains from CR-GAN's CNN.

A round clusters the target by DBSCAN on k-reciprocal Jaccard distances, drops what DBSCAN calls
outliers, fills the memory with the clusters' mean features, and trains on batches of P clusters
with K images each (`crgan.adaptation.cluster_memory`). Features are batch-normalised in training
and for clustering; tests compare those before that, as in every other row of the tables.

Differences from the authors' release: the result is that of the last round, not of the round that
is best on the test set; the images of a cluster are drawn without looking at their cameras, as
in its sampler for data without cameras; the CNN keeps its own pooling and stride (GeM and stride 1
there).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from torch import nn

from crgan.adaptation.base import Target
from crgan.adaptation.cluster_memory import ClusterBatches, MemoryNet, Round, Update
from crgan.adaptation.rounds import begin, features_of, finish, log, seed_round, unit
from crgan.common.errors import UserError
from crgan.common.settings import Count, Inline, Partly, Positive, Within, settings_from
from crgan.data.store import Split
from crgan.metrics.inputs import Floats
from crgan.metrics.reranking import check_parameters, jaccard_distances
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe
from crgan.train.compute import PLAIN, Compute
from crgan.train.optimizers import Adam


@dataclass(frozen=True)
class Plan:
    """The rounds; what a round's `Recipe` holds stands there, `batch` being P * K.

    Attributes:
        rounds: clusterings, each with `iterations` batches.
        instances: K, images of a cluster in a batch.
        eps: of DBSCAN, a Jaccard distance.
        min_samples: of DBSCAN, an image's neighbours, itself among them, that make it a core.
        k1, k2: of the Jaccard distances, see `crgan.metrics.reranking`.
        tau: temperature of InfoNCE.
        memory_momentum: share of a cluster's vector that an update keeps.
        update: by all images of a batch, or by each cluster's hardest.
    """

    rounds: Count
    instances: Count
    eps: Annotated[float, Within(above=0, below=1)]
    min_samples: Count
    k1: int
    k2: int
    tau: Positive
    memory_momentum: Partly
    update: Update

    def __post_init__(self) -> None:
        check_parameters(self.k1, self.k2)


@dataclass(frozen=True)
class Options:
    """Section `adaptation.cluster_contrast` of the parameters; InfoNCE has no labels to smooth."""

    plan: Annotated[Plan, Inline()]
    recipe: Annotated[Recipe, Inline(given=(("warmup", 0.0), ("label_smoothing", 0.0)))]

    def __post_init__(self) -> None:
        batch, instances = self.recipe.batch, self.plan.instances
        if batch % instances or batch < 2 * instances:
            raise UserError(
                f"batch is {batch}; use a multiple of instances ({instances}), twice it or more: "
                "a batch needs other clusters to contrast with"
            )


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
    """Cluster-contrast from any CNN (`crgan.adaptation.base.Adapt`); the source is not seen.

    Where DBSCAN finds fewer than two clusters there is nothing to contrast. The CNN then stays as
    it is and, since it would be clustered the same again, so ends the method; a note says so.
    """
    o = settings_from(Options, options, "cluster_contrast")
    plan, recipe = o.plan, o.recipe
    schedule = replace(recipe, iterations=plan.rounds * recipe.iterations)
    model, optimizer = _model(start, target, plan, recipe, compute)
    found: list[tuple[int, float]] = []  # clusters and share of outliers, round by round
    if checkpoint and (state := checkpoint.load()):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        found = state["found"]
    for number in range(len(found), plan.rounds):
        seeds = seed_round(seed, number)
        where = f"cluster-contrast round {number + 1} of {plan.rounds}"
        features = _features(model, target, compute.device, f"{where}: features")
        labels = clusters_of(features, plan)
        found.append((int(labels.max()) + 1, float((labels < 0).mean())))
        log(f"{where}: {found[-1][0]} clusters, {found[-1][1]:.1%} of the images outliers")
        if found[-1][0] < 2:
            break
        model.memory = torch.from_numpy(means_of(features, labels)).to(compute.device)
        p, how = recipe.batch // plan.instances, recipe.augmentation(target.images.shape[1])
        batches = ClusterBatches(target.images, labels, p, plan.instances, how, seeds)
        steps = range(number * recipe.iterations, (number + 1) * recipe.iterations)
        part = checkpoint.part(f"round{number}") if checkpoint else None
        rates = [schedule.lr_at(step) for step in steps]
        loss = Round(model.train(), optimizer, rates, compute).run(batches, where, part)
        log(f"{where}: loss {loss:.3f}")
        if checkpoint and part:
            model.memory = model.memory[:0]
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            checkpoint.save({**state, "found": found})
            part.remove()
    return finish(model.net, start, _notes(found))


def _notes(found: list[tuple[int, float]]) -> list[str]:
    first, last = (f"{n} clusters ({out:.0%} outliers)" for n, out in (found[0], found[-1]))
    notes = [f"cluster-contrast had {first} at first, {last} at last"]
    if found[-1][0] < 2:
        notes.append(
            f"cluster-contrast stopped before round {len(found)}: DBSCAN found {found[-1][0]} "
            "clusters, and two are needed"
        )
    return notes


def _model(
    start: Mapping[str, Any], target: Target, plan: Plan, recipe: Recipe, compute: Compute
) -> tuple[MemoryNet, Adam]:
    """The CNN with a batch norm behind its features, whose shift stays 0, as in the release."""
    net = begin(start, target)
    neck = nn.BatchNorm1d(net.feature_dim)
    neck.bias.requires_grad_(False)
    model = MemoryNet(
        net, neck, tau=plan.tau, momentum=plan.memory_momentum, update=plan.update
    )  # fmt: skip
    compute.prepare(model.to(memory_format=torch.channels_last))
    adam = Adam(model.parameters(), recipe.lr, recipe.adam_betas, recipe.weight_decay)
    return model, adam


def _features(model: MemoryNet, target: Target, device: str, description: str) -> Floats:
    """Batch-normalised features (n, D) of length 1."""
    pooled = torch.from_numpy(features_of(model.net, target, device, description))
    with torch.no_grad():
        normalised: Floats = model.head.eval()(pooled.to(device)).cpu().numpy()
    return unit(normalised)


def clusters_of(features: Floats, plan: Plan) -> NDArray[np.int64]:
    """Cluster of each image (n,), from 0; -1 for outliers.

    Args:
        features: (n, D) of length 1.
        plan: of the distances and of DBSCAN.
    """
    distances = jaccard_distances(
        features, k1=plan.k1, k2=plan.k2, threads=torch.get_num_threads()
    )  # fmt: skip
    dbscan = DBSCAN(eps=plan.eps, min_samples=plan.min_samples, metric="precomputed")
    labels: NDArray[np.int64] = dbscan.fit_predict(distances).astype(np.int64)
    return labels


def means_of(features: Floats, labels: NDArray[np.int64]) -> Floats:
    """Mean feature of each cluster, of length 1: (K, D) float32 of features (n, D)."""
    inside = labels >= 0
    sums = np.zeros((int(labels.max()) + 1, features.shape[1]), dtype=np.float64)
    np.add.at(sums, labels[inside], features[inside])
    return unit(sums.astype(np.float32))
