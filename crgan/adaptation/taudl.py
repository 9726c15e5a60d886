"""TAUDL: tracklet association by unsupervised deep learning (Li et al. ECCV 2018, section 3.2).

No label of the source is used, and of the target only which images of one camera show one person:
on image sets a tracklet is all images of a person before a camera, as in the authors' release.
Every camera t has a classifier of its own over its own tracklets, all of them behind one CNN. In a
mini-batch, with as many tracklets of each camera,

    L_PCTD = the mean over the images of -log softmax_y(W_t x)                           eq. (2)
    L_CCTA = the mean over the tracklets i of
             -log(sum_{k in N_i} e(i, k) / sum_j e(i, j))                                  eq. (3)
    L      = (1 - lambda) L_PCTD + lambda L_CCTA                                           eq. (4)
    e(i, j) = exp(-||s_i - s_j|| / (2 sigma^2))

x is an image's feature and y its tracklet, s_i the mean of the features of tracklet i in the
batch, N_i its K = T/2 nearest tracklets of other cameras (T cameras), and j goes over all tracklets
of the batch, i too: so tracklets of other cameras are drawn near, and tracklets of one's own
camera, who are other people, are kept apart.

Two slips of the release are not followed: it hands the cameras of the batch to L_CCTA in another
order than the features, which scrambles N_i, and it takes the numerator's terms without their
gradient, so that it only pushes tracklets apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from crgan.adaptation.base import Target
from crgan.adaptation.start import begin
from crgan.common.errors import UserError
from crgan.common.settings import Betas, Count, Natural, NonNegative, Positive, Share, settings_from
from crgan.data.batches import Augmentation, augment, class_labels, to_gan
from crgan.data.store import Split
from crgan.nets.reid import ReidNet, linear_classifier
from crgan.reid.model_file import reid_file
from crgan.train import schedules
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Parts, Plan, iterate
from crgan.train.optimizers import Adam

TRACKLETS = True

Distance: TypeAlias = Literal["plain", "squared"]
Average: TypeAlias = Literal["images", "cameras"]


@dataclass(frozen=True)
class Options:
    """Section `adaptation.taudl` of the parameters.

    Attributes:
        iterations: batches.
        batch: images in each, shared out evenly among the cameras.
        images: of each tracklet in a batch; one with fewer gives some twice.
        lr: learning rate of Adam.
        embedding: dimensions of the layer between pooling and classifiers; 0 for none.
        lambda_: lambda of eq. (4), 0 to 1.
        sigma_squared: sigma^2 of eq. (3).
        distance: of eq. (3): plain Euclidean or squared.
        pctd: images: mean over a batch's images; cameras: sum of the cameras' means.
        adam_betas, weight_decay: of Adam.
        constant_share: share of the iterations at the full rate, which then falls exponentially.
        last_rate: what is left of the rate in the end, a share.
        flip: probability of mirroring an image.
        crop_padding: share of the height by which an image is padded before a random crop.
    """

    iterations: Count
    batch: Count
    images: Count
    lr: Positive
    embedding: Natural
    lambda_: Share
    sigma_squared: Positive
    distance: Distance
    pctd: Average
    adam_betas: Betas
    weight_decay: NonNegative
    constant_share: Share
    last_rate: Positive
    flip: Share
    crop_padding: Share

    def lr_at(self, t: int) -> float:
        """Learning rate of iteration t, from 0."""
        return schedules.exponential_decay(
            self.lr, t, self.iterations, self.constant_share, self.last_rate
        )


def discrimination(logits: list[Tensor], labels: list[Tensor], average: Average) -> Tensor:
    """L_PCTD, eq. (2).

    Args:
        logits: of each camera (images, its tracklets).
        labels: of each camera int64 (images,), from 0.
        average: as `Options.pctd`.
    """
    if average == "cameras":
        return torch.stack(list(map(cross_entropy, logits, labels))).sum()
    pairs = zip(logits, labels, strict=True)
    terms = [cross_entropy(z, y, reduction="sum") for z, y in pairs]
    return torch.stack(terms).sum() / sum(map(len, labels))


def association(
    s: Tensor, camera: Tensor, neighbours: int, sigma_squared: float, distance: Distance
) -> Tensor:
    """L_CCTA, eq. (3).

    Args:
        s: mean features of the tracklets (n, D).
        camera: int64 (n,), in the same order.
        neighbours: K; every tracklet has as many of other cameras at least.
        sigma_squared, distance: as in `Options`.
    """
    # without matrix products, whose rounding gives a tracklet a distance, and a gradient, to itself
    d = torch.cdist(s, s, compute_mode="donot_use_mm_for_euclid_dist")
    log_e = -(d.square() if distance == "squared" else d) / (2 * sigma_squared)
    same_camera = camera[:, None] == camera[None, :]
    nearest = log_e.masked_fill(same_camera, -torch.inf).topk(neighbours, dim=1).values
    return (log_e.logsumexp(1) - nearest.logsumexp(1)).mean()


class TrackletBatches:
    """Endless batches with as many tracklets of each camera and as many images of each tracklet.

    Args:
        target: with tracklets.
        tracklets: of each camera in a batch, no two alike.
        images: of each tracklet.
        how: the augmentation.
        seed: draws and augmentation follow from it.

    Attributes:
        classes: tracklets of each camera, cameras in ascending order.
    """

    def __init__(
        self, target: Target, tracklets: int, images: int, how: Augmentation, seed: int
    ) -> None:
        assert target.tracklet is not None
        self._images, self._how = target.images, how
        self._tracklets, self._per_tracklet = tracklets, images
        self._rows: list[list[NDArray[np.int64]]] = []
        for camid in np.unique(target.camid):
            mine = np.flatnonzero(target.camid == camid)
            labels, n = class_labels(target.tracklet[mine])
            self._rows.append([mine[labels == y] for y in range(n)])
        self.classes = [len(rows) for rows in self._rows]
        self._rng = np.random.default_rng(seed)

    def __next__(self) -> tuple[Tensor, Tensor]:
        """The next batch, camera by camera, tracklet by tracklet.

        Returns:
            Images float32 (T * tracklets * images, 3, H, W) in [-1, 1], and which tracklets of
            each camera they show, int64 (T, tracklets).
        """
        labels = [self._rng.choice(n, self._tracklets, replace=False) for n in self.classes]
        drawn = [rows[y] for rows, mine in zip(self._rows, labels, strict=True) for y in mine]
        picks = np.concatenate([self._some_of(rows) for rows in drawn])
        images = to_gan(augment(self._images, picks, self._how, self._rng))
        return images, torch.from_numpy(np.stack(labels).astype(np.int64))

    def _some_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        few = len(rows) < self._per_tracklet
        return self._rng.choice(rows, self._per_tracklet, replace=few)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rng.bit_generator.state = state["rng"]


class Training(Parts):
    """The CNN and a classifier for each camera.

    Args:
        tracklets: of each camera, its classes.
    """

    moving = ("net", "heads", "adam")

    def __init__(
        self, net: ReidNet, tracklets: list[int], o: Options, compute: Compute = PLAIN
    ) -> None:
        self.o, self.compute = o, compute
        self.net = net.to(memory_format=torch.channels_last).train()
        self.heads = nn.ModuleList(linear_classifier(net.feature_dim, n) for n in tracklets)
        compute.prepare(self.net, self.heads)
        parameters = [*self.net.parameters(), *self.heads.parameters()]
        self.adam = Adam(parameters, o.lr, o.adam_betas, o.weight_decay)

    def step(self, t: int, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """Iteration t, from 0, on a batch of `TrackletBatches`."""
        losses = self.losses(batch)
        loss = (1 - self.o.lambda_) * losses["pctd"] + self.o.lambda_ * losses["ccta"]  # eq. (4)
        self.compute.descend(self.adam, loss, self.o.lr_at(t))
        return losses

    def losses(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """L_PCTD and L_CCTA of a batch."""
        o = self.o
        labels = self.compute.labels(batch[1])
        x = self.net.features(self.compute.images(batch[0]))
        cameras = len(self.heads)
        logits = [head(f) for head, f in zip(self.heads, x.chunk(cameras), strict=True)]
        imaged = [y.repeat_interleave(o.images) for y in labels]
        s = x.unflatten(0, (-1, o.images)).mean(1)
        camera = torch.arange(cameras, device=s.device).repeat_interleave(labels.shape[1])
        return {
            "pctd": discrimination(logits, imaged, o.pctd),
            "ccta": association(s, camera, max(1, cameras // 2), o.sigma_squared, o.distance),
        }


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
    """TAUDL on the target's tracklets (`crgan.adaptation.base.Adapt`); the source is not looked at.

    It takes the backbone it starts from, lays a new embedding on it, and gives both.

    Raises:
        UserError: options that cannot be, a start of images of another size, a target of one
            camera, or a loss that diverges.
    """
    o = settings_from(Options, options, "taudl")
    torch.manual_seed(seed)
    size = target.images.shape[1:3]
    net = begin(start, size, "TAUDL", embedding=o.embedding)
    batches = _batches(target, o, seed)
    iterate(
        Training(net, batches.classes, o, compute), batches,
        Plan("TAUDL", o.iterations, o.lr_at, o.batch), checkpoint=checkpoint, compute=compute,
    )  # fmt: skip
    return reid_file(net, [], size, start["origin"], start["notes"])


def _batches(target: Target, o: Options, seed: int) -> TrackletBatches:
    cameras = len(np.unique(target.camid))
    if cameras < 2:
        raise UserError(
            f"TAUDL associates tracklets between cameras; this target has {cameras}. Use a method "
            "that needs no tracklets"
        )
    assert target.tracklet is not None
    fewest = min(len(np.unique(target.tracklet[target.camid == c])) for c in set(target.camid))
    tracklets = min(max(1, o.batch // (cameras * o.images)), fewest)
    how = Augmentation(o.flip, round(o.crop_padding * target.images.shape[1]))
    return TrackletBatches(target, tracklets, o.images, how, seed)
