"""TJ-AIDL: transferable joint attribute-identity deep learning (Wang et al. CVPR 2018, section 3).

Two CNNs see the same images of the source: the identity branch, whose pooled feature is x_id, and
the attribute branch, which predicts m attributes p. Between them lies the identity inferred
attribute space (IIA), the code of an autoencoder of x_id, one entry an attribute: c = e(x_id), and
x_id again = d(c). What identity knows reaches the attribute branch through it alone.

    L_id   = -log p(y | x)                                      of the identity branch
    L_att  = sum_j cross-entropy(p_j, a_j)                      of the attribute branch
    L_IIA  = sum_j cross-entropy(c_j, a_j)                      the code is one of attributes,
             + lambda_1 L_rec + lambda_2 L_tran
    L_rec  = |d(c) - x_id|^2                                    of identity,
    L_tran = |c - p|^2                                          and both sides agree

The identity branch learns from L_id only, IIA from L_IIA, and the attribute branch from
L_att + lambda_2 L_tran; with x_id fixed in L_IIA that is one step down the sum of all terms.

On the target, what the attribute branch predicts is taken for its attributes a, as it stands after
the source, and attribute branch and IIA go on learning with it while the identity branch is fixed:
attribute consistency, since both must come to agree on images of the target. The feature for
matching is the attribute branch's.

No code was released, and parts are known from memory or not at all: docs/open-choices.md says what.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crgan.adaptation.attribute_targets import AttributeTargets, attribute_targets
from crgan.adaptation.base import Target
from crgan.adaptation.start import begin
from crgan.common.errors import UserError
from crgan.common.settings import Betas, Count, NonNegative, Positive, Share, settings_from
from crgan.data.batches import TrainBatches, class_labels, in_order
from crgan.data.store import Split
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import reid_file
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe, Schedule
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Parts, Plan, iterate
from crgan.train.optimizers import Adam


@dataclass(frozen=True)
class Options:
    """Section `adaptation.tjaidl` of the parameters.

    Attributes:
        iterations, lr: on the source.
        target_iterations, target_lr: on the target.
        batch: images in each iteration.
        hidden: units of the two hidden layers of the encoder; the decoder mirrors them.
        lambda_1, lambda_2: weights of L_rec and L_tran.
        schedule, warmup, adam_betas, weight_decay, flip, crop_padding: as in `Recipe`, of both.
    """

    iterations: Count
    lr: Positive
    target_iterations: Count
    target_lr: Positive
    batch: Count
    hidden: tuple[Count, Count]
    lambda_1: NonNegative
    lambda_2: NonNegative
    schedule: Schedule
    warmup: Share
    adam_betas: Betas
    weight_decay: NonNegative
    flip: Share
    crop_padding: Share

    def on_source(self) -> Recipe:
        """How both branches learn the source."""
        return Recipe(
            self.iterations, self.batch, self.lr, self.schedule, self.warmup, self.adam_betas,
            self.weight_decay, 0.0, self.flip, self.crop_padding,
        )  # fmt: skip

    def on_target(self) -> Recipe:
        """How the attribute branch learns the target."""
        return Recipe(
            self.target_iterations, self.batch, self.target_lr, self.schedule, self.warmup,
            self.adam_betas, self.weight_decay, 0.0, self.flip, self.crop_padding,
        )  # fmt: skip


class InferredAttributes(nn.Module):
    """IIA: x_id (B, D) -> logits of its code (B, m), and x_id again (B, D).

    Args:
        features: D; attributes: m; hidden: units of the encoder's two hidden layers.
    """

    def __init__(self, features: int, attributes: int, hidden: tuple[int, int]) -> None:
        super().__init__()
        self.encoder = _layers(features, *hidden, attributes)
        self.decoder = _layers(attributes, *hidden[::-1], features)

    def forward(self, x_id: Tensor) -> tuple[Tensor, Tensor]:
        code: Tensor = self.encoder(x_id)
        return code, self.decoder(code.sigmoid())


class Branches(nn.Module):
    """Identity branch, attribute branch and IIA.

    The attribute branch is a `ReidNet` whose classes are the attributes.
    """

    def __init__(self, identity: ReidNet, attribute: ReidNet, iia: InferredAttributes) -> None:
        super().__init__()
        self.identity, self.attribute, self.iia = identity, attribute, iia


def attribute_loss(logits: Tensor, a: Tensor, known: Tensor | None = None) -> Tensor:
    """L_att: binary cross-entropies summed over the attributes, the mean over the images.

    Args:
        logits: (B, m); a: targets (B, m), 0 to 1; known: bool (B, m), what counts; all, if None.
    """
    each = F.binary_cross_entropy_with_logits(logits, a, reduction="none")
    return (each if known is None else each * known).sum(1).mean()


def shared_losses(
    branches: Branches, images: Tensor, x_id: Tensor, a: Tensor, known: Tensor | None = None
) -> dict[str, Tensor]:
    """All terms but L_id: L_att, that of the code, L_rec and L_tran.

    Squares are means over their entries: weights of 10 bring these terms to the size of the others.

    Args:
        images: (B, 3, H, W); x_id: their identity features (B, D), fixed here; a, known: as above.
    """
    x_id = x_id.detach()
    logits = branches.attribute(images)
    code, again = branches.iia(x_id)
    return {
        "att": attribute_loss(logits, a, known),
        "iia": attribute_loss(code, a, known),
        "rec": F.mse_loss(again, x_id),
        "tran": F.mse_loss(code.sigmoid(), logits.sigmoid()),
    }


class _Stage(Parts, ABC):
    """One of the two trainings: its Adam and its rate."""

    moving = ("branches", "adam")

    def __init__(
        self, branches: Branches, o: Options, recipe: Recipe, compute: Compute = PLAIN
    ) -> None:
        self.branches, self.recipe, self.compute = branches, recipe, compute
        self.weights = {"rec": o.lambda_1, "tran": o.lambda_2}
        self.adam = Adam(branches.parameters(), recipe.lr, recipe.adam_betas, recipe.weight_decay)

    def step(self, t: int, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Iteration t, from 0, on images and their places in the arrays of targets."""
        losses = self.losses(self.compute.images(batch[0]), self.compute.labels(batch[1]))
        loss = torch.stack([self.weights.get(k, 1.0) * v for k, v in losses.items()]).sum()
        self.compute.descend(self.adam, loss, self.recipe.lr_at(t))
        return losses

    @abstractmethod
    def losses(self, images: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Of a batch, by name."""


class OnSource(_Stage):
    """Both branches learn the source's identities and attributes.

    Args:
        people: the source's labelled images; attributes: theirs.
    """

    def __init__(
        self,
        branches: Branches,
        people: Split,
        attributes: AttributeTargets,
        o: Options,
        compute: Compute = PLAIN,
    ) -> None:
        branches.train()
        super().__init__(branches, o, o.on_source(), compute)
        self.labels, self.values, self.known = (
            torch.from_numpy(array).to(compute.device)
            for array in (class_labels(people.pid)[0], attributes.values, attributes.known)
        )

    def losses(self, images: Tensor, rows: Tensor) -> dict[str, Tensor]:
        x_id = self.branches.identity.features(images)
        l_id = F.cross_entropy(self.branches.identity.classifier(x_id), self.labels[rows])
        rest = shared_losses(self.branches, images, x_id, self.values[rows], self.known[rows])
        return {"id": l_id, **rest}


class OnTarget(_Stage):
    """Attribute branch and IIA come to agree on the target; the identity branch is fixed."""

    def __init__(
        self, branches: Branches, target: Target, o: Options, compute: Compute = PLAIN
    ) -> None:
        self.predicted = predictions(branches.attribute, target, compute.device)
        branches.train()
        branches.identity.eval().requires_grad_(False)
        super().__init__(branches, o, o.on_target(), compute)

    def losses(self, images: Tensor, rows: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            x_id = self.branches.identity.features(images)
        return shared_losses(self.branches, images, x_id, self.predicted[rows])


@torch.no_grad()
def predictions(net: ReidNet, target: Target, device: str) -> Tensor:
    """What the attribute branch says of each image of the target, unaugmented: (n, m), 0 to 1."""
    net.eval()
    batches = in_order(target.images, 32)
    return torch.cat([net(images.to(device)).sigmoid() for images in batches])


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
    """TJ-AIDL from source to target (`crgan.adaptation.base.Adapt`).

    Both branches begin with the backbone of `start`; the attribute branch's is given.

    Raises:
        UserError: options that cannot be, a source without labelled persons or attributes, a start
            of images of another size, or a loss that diverges.
    """
    o = settings_from(Options, options, "tjaidl")
    people = _people(source)
    attributes = attribute_targets(people.attributes, "TJ-AIDL")
    size = people.images.shape[1:3]
    torch.manual_seed(seed)
    identity = begin(start, size, "TJ-AIDL", classes=len(np.unique(people.pid)))
    attribute = begin(start, size, "TJ-AIDL", classes=len(attributes.names))
    iia = InferredAttributes(identity.feature_dim, len(attributes.names), o.hidden)
    branches = Branches(identity, attribute, iia).to(memory_format=torch.channels_last)
    compute.prepare(identity, attribute, iia)
    of_source, of_target = np.random.SeedSequence(seed).spawn(2)
    learned = checkpoint.part("learned") if checkpoint else None
    if learned and (saved := learned.load()):
        branches.load_state_dict(saved)
    else:
        iterate(
            OnSource(branches, people, attributes, o, compute),
            _batches(people.images, o.on_source(), of_source),
            _plan("TJ-AIDL, source", o.on_source()),
            checkpoint=checkpoint.part("source") if checkpoint else None, compute=compute,
        )  # fmt: skip
        if learned:
            learned.save(branches.state_dict())
    iterate(
        OnTarget(branches, target, o, compute),
        _batches(target.images, o.on_target(), of_target),
        _plan("TJ-AIDL, target", o.on_target()),
        checkpoint=checkpoint.part("target") if checkpoint else None, compute=compute,
    )  # fmt: skip
    attribute.classifier = nn.Identity()  # its classes are attributes, which a re-id file has not
    note = f"branches of {identity.backbone_name} in place of TJ-AIDL's MobileNets"
    return reid_file(attribute, [], size, start["origin"], [*start["notes"], note])


def _people(source: Split) -> Split:
    """The labelled persons of a split; junk and distractors are left out."""
    rows = np.flatnonzero(source.pid > 0)
    if not len(rows):
        raise UserError("TJ-AIDL: the source has no labelled person in its train split")
    if len(rows) == len(source):
        return source  # the images stay a view of the store
    s, attributes = source, {name: values[rows] for name, values in source.attributes.items()}
    return Split(s.images[rows], s.pid[rows], s.camid[rows], s.rows[rows], attributes)


def _plan(name: str, recipe: Recipe) -> Plan:
    return Plan(name, recipe.iterations, recipe.lr_at, recipe.batch)


def _batches(images: Any, recipe: Recipe, seed: np.random.SeedSequence) -> TrainBatches:
    """Images with their places in `images` for labels."""
    how = recipe.augmentation(images.shape[1])
    return TrainBatches(images, np.arange(len(images)), recipe.batch, how, seed)


def _layers(*units: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(units):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
