"""PUL, progressive unsupervised learning (Fan et al. 2018): clusters and fine-tuning in turns.

A round clusters the target's features by k-means, trusts an image whose feature is near its
cluster's centre,

    v_i = 1 if cos(f_i, c_y(i)) > lambda else 0,

and fine-tunes the CNN on the trusted images with their clusters as classes. A better CNN trusts
more images: that is the self-paced part. A centre is the real image nearest to k-means' mean.

The authors' code starts each fine-tuning from the source-trained CNN again, and so does this
(`restart`). It trusts an image near any centre; this one, as the paper, near its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import nn

from crgan.adaptation.base import Target
from crgan.adaptation.rounds import begin, features_of, finish, log, seed_round, unit
from crgan.common.settings import Count, Inline, Within, settings_from
from crgan.data.batches import TrainBatches, class_labels
from crgan.data.store import Split
from crgan.metrics.inputs import Floats
from crgan.nets.reid import ReidNet, linear_classifier
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe, train
from crgan.train.compute import PLAIN, Compute

Restart: TypeAlias = Literal["initial", "previous"]


@dataclass(frozen=True)
class Plan:
    """The rounds.

    Attributes:
        rounds: clusterings, each with a fine-tuning.
        epochs: of a fine-tuning, over the trusted images.
        images_per_cluster: the target's images divided by this are K.
        lambda_similarity: the paper's lambda, a cosine.
        kmeans_starts: best of so many k-means.
        restart: fine-tune the CNN the method started from, or that of the round before.
    """

    rounds: Count
    epochs: Count
    images_per_cluster: Count
    lambda_similarity: Annotated[float, Within(least=-1, below=1)]
    kmeans_starts: Count
    restart: Restart

    def clusters(self, images: int) -> int:
        """K."""
        return max(2, round(images / self.images_per_cluster))


@dataclass(frozen=True)
class Options:
    """Section `adaptation.pul` of the parameters; how many iterations the epochs are depends on the
    images that are trusted.
    """

    plan: Annotated[Plan, Inline()]
    recipe: Annotated[Recipe, Inline(given=(("iterations", 1),))]


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
    """PUL from a CNN that knows the source (`crgan.adaptation.base.Adapt`), not seen here."""
    o = settings_from(Options, options, "pul")
    plan, recipe = o.plan, o.recipe
    net, shares = begin(start, target), list[float]()
    if checkpoint and (state := checkpoint.load()):
        net.load_state_dict(state["net"])
        shares = state["shares"]
    for number in range(len(shares), plan.rounds):
        seeds = seed_round(seed, number)
        where = f"PUL round {number + 1} of {plan.rounds}"
        features = features_of(net, target, compute.device, f"{where}: features")
        labels = trusted(features, plan, int(seeds.generate_state(1)[0]))
        shares.append(float((labels >= 0).mean()))
        log(f"{where}: {labels.max() + 1} clusters, {shares[-1]:.1%} of the images trusted")
        if plan.restart == "initial":
            net = begin(start, target)
        part = checkpoint.part(f"round{number}") if checkpoint else None
        _fine_tune(net, target, labels, plan.epochs, recipe, seeds, compute, part, where)
        if checkpoint and part:
            checkpoint.save({"net": net.state_dict(), "shares": shares})
            part.remove()
    note = f"PUL trusted {shares[0]:.0%} of the images at first, {shares[-1]:.0%} at last"
    return finish(net, start, [note])


def trusted(features: Floats, plan: Plan, seed: int) -> NDArray[np.int64]:
    """Class of each image (n,), from 0; -1 where it is not near enough to its centre.

    Args:
        features: (n, D), as the CNN gives them: k-means is on features that are not normalised.
        plan: K, lambda and the starts of k-means.
        seed: of k-means.
    """
    k = min(plan.clusters(len(features)), len(features))
    # Threads add up in the order they finish: one of them keeps the sums the same in every run.
    with threadpool_limits(limits=1):
        found = KMeans(k, n_init=plan.kmeans_starts, random_state=seed).fit(features)
    cluster = found.labels_.astype(np.int64)
    centre = centres(features, cluster, found.cluster_centers_)
    of_length_1 = unit(features)
    cosine = np.einsum("ij,ij->i", of_length_1, of_length_1[centre[cluster]])
    labels = np.full(len(features), -1)
    near = cosine > plan.lambda_similarity
    labels[near], _ = class_labels(cluster[near])
    return labels


def centres(features: Floats, cluster: NDArray[np.int64], means: Floats) -> NDArray[np.int64]:
    """Row of each cluster's image nearest to its mean, (K,); -1 for a cluster without images.

    Args:
        features: (n, D).
        cluster: (n,), each image's.
        means: (K, D).
    """
    distance = np.square(features - means[cluster]).sum(1)
    order = np.lexsort((distance, cluster))
    present, first = np.unique(cluster[order], return_index=True)
    rows = np.full(len(means), -1)
    rows[present] = order[first]
    return rows


def _fine_tune(
    net: ReidNet,
    target: Target,
    labels: NDArray[np.int64],
    epochs: int,
    recipe: Recipe,
    seeds: np.random.SeedSequence,
    compute: Compute,
    checkpoint: Checkpoint | None,
    description: str,
) -> None:
    """Classify the trusted images; the classifier is new and goes again."""
    rows = np.flatnonzero(labels >= 0)
    images = target.images if len(rows) == len(target) else target.images[rows]
    recipe = replace(recipe, iterations=math.ceil(epochs * len(rows) / recipe.batch))
    how = recipe.augmentation(images.shape[1])
    net.classifier = linear_classifier(net.feature_dim, int(labels.max()) + 1)
    train(
        net.train(), TrainBatches(images, labels[rows], recipe.batch, how, seeds), recipe,
        checkpoint=checkpoint, description=description, compute=compute,
    )  # fmt: skip
    net.classifier = nn.Identity()
