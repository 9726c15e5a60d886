"""AdaBN (Li et al. 2016): batch-norm statistics of the target in a CNN that is not trained.

Not a method of the paper: it is what a target's images give without rendering or training, and so
what a method that does both must beat.

Algorithm 1 of theirs: mean and variance of every neuron over all target images. Each layer is given
here what the layers below make of it when they are normalised by their batch's own statistics, and
keeps the mean over batches, drawn at random, of their means and variances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from crgan.adaptation.base import Target
from crgan.adaptation.rounds import begin, finish
from crgan.common.settings import Pair, settings_from
from crgan.data.batches import to_gan
from crgan.data.store import Split
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute


@dataclass(frozen=True)
class Options:
    """Section `adaptation.adabn` of the parameters; `batch` images make one mean and variance."""

    batch: Pair


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
    """See `crgan.adaptation.base.Adapt`; every target image passes once, without gradients.

    Images are drawn in an order of `seed`, for a network's files lie person by person and a batch
    of one person varies little. What is left over from whole batches does not count.
    """
    batch = settings_from(Options, options, "adabn").batch
    net = begin(start, target).to(compute.device).eval()
    for layer in net.modules():
        if isinstance(layer, _BatchNorm):
            layer.reset_running_stats()
            layer.momentum = None  # torch's word for the mean over all batches
            layer.train()
    order = np.random.default_rng(seed).permutation(len(target))
    whole = max(1, len(order) // batch)
    with torch.no_grad():
        for rows in tqdm(np.split(order[: whole * batch], whole), "AdaBN", unit="batch"):
            net.features(to_gan(target.images[rows]).to(compute.device))
    return finish(net.eval(), start, ["batch-norm statistics of the target"])
