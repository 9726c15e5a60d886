"""HHL: hetero- and homogeneous learning (Zhong et al. ECCV 2018).

StarGAN learns the styles of the target's cameras, and each target image is made anew in the style
of every camera (`crgan.gan.stargan`). Then a CNN with two heads learns from three batches a step:

    L_C   cross-entropy of labelled source images
    L_T   batch-hard triplet loss of source and target images together, for each anchor a
          max(0, m + max |f(a) - f(p)| - min |f(a) - f(n)|)
    L     = L_C + beta L_T

Positives p of a source image are of the same person; those of a target image its own renderings
(camera invariance). Negatives n are all other people, the other domain's among them (domain
connectedness); two target images are taken for two people.

The release never updates the layers between the pooled features and the triplet loss (FC-1024, its
norm, FC-128): its optimizer leaves them out. Here everything learns, as in the paper.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from crgan.adaptation.base import Target
from crgan.adaptation.joint import People, Solver, picked
from crgan.adaptation.start import begin
from crgan.common.settings import Count, Inline, NonNegative, Pair, Partly, settings_from
from crgan.data.batches import Augmentation, TrainBatches, augment, to_gan
from crgan.data.samplers import EpochSampler
from crgan.data.store import Split
from crgan.gan import stargan
from crgan.nets.reid import ReidNet, linear_classifier
from crgan.reid.model_file import reid_file
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Parts, Several, iterate


@dataclass(frozen=True)
class Options(Solver):
    """Section `adaptation.hhl` of the parameters.

    Attributes:
        batch: source images for the cross-entropy.
        people, images: the source's part of the triplet loss, so many images of so many people.
        target_batch: target images in it, each with its renderings.
        beta, margin: weight and margin m of the triplet loss.
        hidden, embedding: widths of FC-1024 and FC-128.
        dropout: before the classifier.
        stargan: how StarGAN learns, of keys that begin with `stargan_`.
    """

    batch: Pair
    people: Count
    images: Pair
    target_batch: Count
    beta: NonNegative
    margin: NonNegative
    hidden: Count
    embedding: Count
    dropout: Partly
    stargan: Annotated[stargan.Options, Inline(prefix="stargan_")]

    def check_size(self, height: int, width: int) -> None:
        """Refuse images that StarGAN cannot take."""
        self.stargan.check_size(height, width)


class Heads(nn.Module):
    """What stands behind the pooled features (B, D) while learning: FC, batch norm, ReLU; then
    dropout and the classifier, or the embedding for the triplet loss.
    """

    def __init__(self, features: int, o: Options, classes: int) -> None:
        super().__init__()
        first = _linear(features, o.hidden)
        self.hidden = nn.Sequential(first, nn.BatchNorm1d(o.hidden), nn.ReLU())
        self.classify = nn.Sequential(nn.Dropout(o.dropout), linear_classifier(o.hidden, classes))
        # not from weights of 0.001, as the release: all distances would start near 0, where the
        # hardest triplets hold one another at the margin
        self.embed = _linear(o.hidden, o.embedding)

    def logits(self, features: Tensor) -> Tensor:
        """(B, classes)."""
        logits: Tensor = self.classify(self.hidden(features))
        return logits

    def embeddings(self, features: Tensor) -> Tensor:
        """(B, embedding), not normalised."""
        embedded: Tensor = self.embed(self.hidden(features))
        return embedded


def _linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    nn.init.zeros_(layer.bias)
    return layer


def batch_hard(embeddings: Tensor, labels: Tensor, margin: float) -> Tensor:
    """L_T: the mean over anchors of max(0, m + farthest positive - nearest negative).

    Args:
        embeddings: (B, D); distances are Euclidean. labels: (B,), two at least differ.
    """
    squared = (embeddings[:, None] - embeddings[None]).square().sum(dim=2)
    distance = squared.clamp(min=1e-12).sqrt()  # the root has no gradient at 0
    same = labels[:, None] == labels[None]
    farthest = distance.masked_fill(~same, 0).amax(dim=1)
    nearest = distance.masked_fill(same, torch.inf).amin(dim=1)
    return (margin + farthest - nearest).clamp(min=0).mean()


class PeopleSampler:
    """Endless batches of people's images: each person as often as the others, his at random.

    Args:
        labels: int64 (n,), classes 0..K-1.
        people, images: in a batch; a person with fewer images gives some of them twice.
        seed: of this sampler's own generators.
    """

    def __init__(
        self, labels: NDArray[np.int64], people: int, images: int, seed: np.random.SeedSequence
    ) -> None:
        order, looks = seed.spawn(2)
        count = int(labels.max()) + 1
        self._rows = [np.flatnonzero(labels == k) for k in range(count)]
        self._images = images
        self._who = EpochSampler(count, min(people, count), order)
        self._rng = np.random.default_rng(looks)

    def __next__(self) -> NDArray[np.int64]:
        """Places of images (people * images,), person after person."""
        return np.concatenate([self._some(self._rows[k]) for k in next(self._who)])

    def _some(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._rng.choice(rows, self._images, replace=len(rows) < self._images)

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which `load_state_dict` goes on exactly here."""
        return {"who": self._who.state_dict(), "which": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved sampler stood."""
        self._who.load_state_dict(state["who"])
        self._rng.bit_generator.state = state["which"]


class TripletBatches:
    """Endless batches for the triplet loss: source people, and target images with renderings.

    Args:
        people: of the source.
        images: uint8 (m, H, W, 3), the target's images.
        styled: uint8 (m, cameras, H, W, 3), their renderings.
        options: how many of each.
        how: the augmentation, each image's and each rendering's own.
        seed: order and augmentation follow from it.
    """

    def __init__(
        self,
        people: People,
        images: NDArray[np.uint8],
        styled: NDArray[np.uint8],
        options: Options,
        how: Augmentation,
        seed: np.random.SeedSequence,
    ) -> None:
        of_source, of_target, looks = seed.spawn(3)
        self._people, self._images, self._styled, self._how = people, images, styled, how
        self._source = PeopleSampler(people.labels, options.people, options.images, of_source)
        self._target = EpochSampler(len(images), min(options.target_batch, len(images)), of_target)
        self._rng = np.random.default_rng(looks)

    def __next__(self) -> tuple[Tensor, Tensor, Tensor]:
        """Source images (P * K, 3, H, W), target images (T * (1 + cameras), 3, H, W), and the
        labels of both together: each target image is a person of its own, below 0.
        """
        s, t = next(self._source), next(self._target)
        group = np.concatenate((self._images[t][:, None], self._styled[t]), axis=1)
        flat = group.reshape(-1, *group.shape[2:])
        x_s = augment(self._people.images, s, self._how, self._rng)
        x_t = augment(flat, np.arange(len(flat)), self._how, self._rng)
        alone = np.repeat(-1 - t, group.shape[1])
        labels = np.concatenate((self._people.labels[s], alone))
        return to_gan(x_s), to_gan(x_t), torch.from_numpy(labels)

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which `load_state_dict` goes on exactly here."""
        samplers = {"source": self._source.state_dict(), "target": self._target.state_dict()}
        return {**samplers, "looks": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved batches stood."""
        self._source.load_state_dict(state["source"])
        self._target.load_state_dict(state["target"])
        self._rng.bit_generator.state = state["looks"]


class Training(Parts):
    """CNN and heads. Each batch goes through them by itself: batch norm mixes no domains."""

    moving = ("net", "heads", "sgd")

    def __init__(
        self, options: Options, net: ReidNet, people: People, compute: Compute = PLAIN
    ) -> None:
        o = self.options = options
        self.compute = compute
        self.labels = people.labels
        self.net = net.train().to(memory_format=torch.channels_last)
        self.heads = Heads(net.feature_dim, o, people.classes).train()
        compute.prepare(self.net, self.heads)
        self.sgd = o.sgd(net.backbone, self.heads)

    def step(self, t: int, batch: tuple[Any, Any]) -> dict[str, Tensor]:
        """Iteration t, from 0, on source images and images for triplets."""
        o = self.options
        (x, rows), (x_s, x_t, labels) = batch
        logits = self.heads.logits(self._features(x))
        ce = F.cross_entropy(logits, picked(self.labels, rows, self.compute.device))
        embedded = [self.heads.embeddings(self._features(images)) for images in (x_s, x_t)]
        triplet = batch_hard(torch.cat(embedded), self.compute.labels(labels), o.margin)
        self.compute.descend(self.sgd, ce + o.beta * triplet, o.lr_at(t))
        return {"ce": ce.detach(), "triplet": triplet.detach()}

    def _features(self, images: Tensor) -> Tensor:
        return self.net.features(self.compute.images(images))


def batches_of(
    o: Options, people: People, target: Target, styled: NDArray[np.uint8], seed: int
) -> Several:
    """Source images with their places, and images for triplets."""
    how = o.augmentation(people.images.shape[1])
    of_source, of_triplets = np.random.SeedSequence(seed).spawn(2)
    rows = np.arange(len(people.rows))
    return Several(
        source=TrainBatches(people.images, rows, o.batch, how, of_source),
        triplets=TripletBatches(people, target.images, styled, o, how, of_triplets),
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
    """StarGAN between the target's cameras, then the CNN (`crgan.adaptation.base.Adapt`).

    Returns:
        A re-id file without classifier: the classes stand behind FC-1024, not behind the features
        that are matched.

    Raises:
        UserError: bad options, or a loss that diverges.
    """
    o = settings_from(Options, options, "hhl")
    people = People(source)
    size = source.images.shape[1:3]
    file = _learned_styles(target, o.stargan, seed, checkpoint, compute)
    styled = render(target.images, stargan.Styles(file, compute.device))
    torch.manual_seed(seed)
    net = begin(start, size, "HHL", pooling="mean")
    iterate(
        Training(o, net, people, compute), batches_of(o, people, target, styled, seed),
        o.plan("HHL"), checkpoint=checkpoint, compute=compute,
    )  # fmt: skip
    return reid_file(net, [], size, start["origin"], start["notes"])


def _learned_styles(
    target: Target, o: stargan.Options, seed: int, checkpoint: Checkpoint | None, compute: Compute
) -> Mapping[str, Any]:
    """The StarGAN file; trained once, also where the CNN's training is resumed."""
    done = checkpoint.part("styles") if checkpoint else None
    if done and (found := done.load()):
        return found
    unknown = np.full(len(target), -2, dtype=np.int64)
    images = Split(target.images, unknown, target.camid, np.arange(len(target)))
    part = checkpoint.part("stargan") if checkpoint else None
    file = stargan.train(images, o, seed=seed, checkpoint=part, compute=compute).file
    if done:
        done.save(file)
    return file


def render(images: NDArray[np.uint8], styles: stargan.Styles) -> NDArray[np.uint8]:
    """Each image in the style of each camera, its own too: uint8 (m, cameras, H, W, 3).

    They lie in a temporary file behind a memory map: of DukeMTMC-reID at 256x128 they are 13 GB.
    """
    shape = (len(images), len(styles.camids), *images.shape[1:])
    with tempfile.TemporaryFile() as file:  # gone from the disk when the map is
        styled = np.memmap(file, np.uint8, "w+", shape=shape)
    styles.of(images, styled)
    return styled
