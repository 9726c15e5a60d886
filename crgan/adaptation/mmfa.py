"""MMFA: multi-task mid-level feature alignment (Lin et al. BMVC 2018).

Identities and attributes of the source are learned together, in one stage, while two distances keep
the target's features where the source's are: of the attributes' predictions, and of the pooled
mid-level features H themselves.

    L_id   = -log p(y | x_S)
    L_attr = the mean over M attributes of their binary cross-entropies
    L_AAL  = 1/M sum_m MMD^2(A^m_S, A^m_T)      attribute alignment; A^m, logit of attribute m
    L_MDAL = MMD^2(H_S, H_T)                    mid-level deep feature alignment
    L      = L_id + lambda_attr L_attr + lambda_aal L_AAL + lambda_mdal L_MDAL

No code was released. What is known of the paper stands in docs/open-choices.md with our choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from crgan.adaptation.attribute_targets import attribute_targets
from crgan.adaptation.base import Target
from crgan.adaptation.joint import People, Solver, picked
from crgan.adaptation.start import begin
from crgan.common.settings import NonNegative, Pair, Positive, settings_from
from crgan.data.batches import TrainBatches
from crgan.data.store import Split
from crgan.nets.reid import ReidNet, linear_classifier
from crgan.reid.model_file import reid_file
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Parts, Several, iterate

Bandwidths = tuple[float, float, float]
Unit = Literal["one", "median"]


@dataclass(frozen=True)
class Options(Solver):
    """Section `adaptation.mmfa` of the parameters.

    Attributes:
        batch: source images in a batch, and as many of the target.
        lambda_attr, lambda_aal, lambda_mdal: weights.
        bandwidths: standard deviations of the Gaussian kernels that are added in the MMD.
        attribute_unit, feature_unit: what they are multiples of in L_AAL and in L_MDAL: one, or the
            median distance in the batch.
        pooling: of the last map.
    """

    batch: Pair
    lambda_attr: NonNegative
    lambda_aal: NonNegative
    lambda_mdal: NonNegative
    bandwidths: tuple[Positive, Positive, Positive]
    attribute_unit: Unit
    feature_unit: Unit
    pooling: Literal["max", "mean"]


def attribute_loss(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """L_attr: binary cross-entropies (B, M), the mean of those that are known; 0 for none."""
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def mmd(s: Tensor, t: Tensor, bandwidths: Bandwidths, unit: Unit = "one") -> Tensor:
    """MMD^2 between samples s (..., n, D) and t (..., m, D), for each leading place: (...).

        MMD^2 = mean k(s, s') + mean k(t, t') - 2 mean k(s, t),
        k(x, y) = sum_b exp(-|x - y|^2 / (2 (b u)^2))

    over all pairs, those of an image with itself included: never below 0.

    Args:
        unit: u, "one" or "median": of the distances between any two, which is no subject of the
            gradient. It makes the kernels as wide as the features lie apart, whatever they measure.
    """
    both = torch.cat((s, t), dim=-2)
    squared = (both.unsqueeze(-2) - both.unsqueeze(-3)).square().sum(dim=-1)
    if unit == "median":
        count = squared.shape[-1]
        rows, columns = torch.triu_indices(count, count, 1, device=squared.device)
        apart = squared.detach()[..., rows, columns].median(dim=-1).values
        squared = squared / apart.clamp(min=1e-12)[..., None, None]
    k = torch.stack([torch.exp(squared / (-2 * b * b)) for b in bandwidths]).sum(dim=0)
    n = s.shape[-2]
    blocks = (k[..., :n, :n], k[..., n:, n:], k[..., :n, n:])
    within_s, within_t, between = (block.mean(dim=(-2, -1)) for block in blocks)
    return within_s + within_t - 2 * between


class Training(Parts):
    """CNN and attribute branches; in a batch the first half is source, the other target."""

    moving = ("net", "attributes", "sgd")

    def __init__(
        self,
        options: Options,
        net: ReidNet,
        source: Split,
        people: People,
        compute: Compute = PLAIN,
    ) -> None:
        o = self.options = options
        self.compute = compute
        self.labels = people.labels
        attributes = {name: values[people.rows] for name, values in source.attributes.items()}
        found = attribute_targets(attributes, "MMFA")
        self.targets, self.known = found.values, found.known
        self.net = net.train().to(memory_format=torch.channels_last)
        self.attributes = linear_classifier(net.feature_dim, len(found.names))
        compute.prepare(self.net, self.attributes)
        self.sgd = o.sgd(net.backbone, net.classifier, self.attributes)

    def step(self, t: int, batch: tuple[Any, Any]) -> dict[str, Tensor]:
        """Iteration t, from 0, on source and target images."""
        o = self.options
        (x_s, rows), (x_t, _) = batch
        # one batch: its statistics are of both domains, as are those kept for the test
        h = self.net.features(self.compute.images(torch.cat((x_s, x_t))))
        h_s, h_t = h.chunk(2)
        a_s, a_t = self.attributes(h).chunk(2)
        labels, targets, known = (
            picked(values, rows, self.compute.device)
            for values in (self.labels, self.targets, self.known)
        )
        terms = {
            "id": (1.0, F.cross_entropy(self.net.classifier(h_s), labels)),
            "attr": (o.lambda_attr, attribute_loss(a_s, targets, known)),
            "aal": (o.lambda_aal, self._attributes_apart(a_s, a_t)),
            "mdal": (o.lambda_mdal, mmd(h_s, h_t, o.bandwidths, o.feature_unit)),
        }
        loss = torch.stack([w * term for w, term in terms.values()]).sum()
        self.compute.descend(self.sgd, loss, o.lr_at(t))
        return {name: term.detach() for name, (_, term) in terms.items()}

    def _attributes_apart(self, a_s: Tensor, a_t: Tensor) -> Tensor:
        """L_AAL of logits (B, M): each attribute is a sample of its own."""
        o = self.options
        each = mmd(a_s.T[..., None], a_t.T[..., None], o.bandwidths, o.attribute_unit)
        return each.mean()


def batches_of(o: Options, people: People, target: Target, seed: int) -> Several:
    """Source images with their places, and as many of the target."""
    how = o.augmentation(people.images.shape[1])
    of_source, of_target = np.random.SeedSequence(seed).spawn(2)
    rows, nobody = np.arange(len(people.rows)), np.zeros(len(target), np.int64)
    return Several(
        source=TrainBatches(people.images, rows, o.batch, how, of_source),
        target=TrainBatches(target.images, nobody, o.batch, how, of_target),
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
    """Learn the source's identities and attributes, aligned with the target
    (`crgan.adaptation.base.Adapt`).

    Raises:
        UserError: bad options, a source without attributes, or a loss that diverges.
    """
    o = settings_from(Options, options, "mmfa")
    people = People(source)
    size = source.images.shape[1:3]
    torch.manual_seed(seed)
    net = begin(start, size, "MMFA", classes=people.classes, pooling=o.pooling)
    iterate(
        Training(o, net, source, people, compute), batches_of(o, people, target, seed),
        o.plan("MMFA"), checkpoint=checkpoint, compute=compute,
    )  # fmt: skip
    return reid_file(net, people.pids, size, start["origin"], start["notes"])
