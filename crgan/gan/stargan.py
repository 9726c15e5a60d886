"""StarGAN between the cameras of one data set (Choi et al. 2018), as HHL trains it.

One generator G(x, c) for all cameras and one discriminator D with two heads: decisions D_src and
classes D_cls. Images and their cameras are all it sees. With x of camera c', c a random camera,
and x_hat between x and G(x, c) at random, image by image:

    L_adv = E[D_src(x)] - E[D_src(G(x, c))] - lambda_gp E[(|grad D_src(x_hat)|_2 - 1)^2]    eq. (8)
    L_cls^r = E[-log D_cls(c' | x)]                                                         eq. (2)
    L_cls^f = E[-log D_cls(c | G(x, c))]                                                    eq. (3)
    L_rec = E[|x - G(G(x, c), c')|_1]                                                       eq. (4)
    L_D = -L_adv + lambda_cls L_cls^r                                                       eq. (5)
    L_G = L_adv + lambda_cls L_cls^f + lambda_rec L_rec                                     eq. (6)

Each iteration updates D, every n_critic-th G as well. It is no `Translation`: it makes the styles
of other cameras, and knows no second domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from crgan.common.errors import UserError
from crgan.common.settings import Betas, Count, NonNegative, OddCount, Positive, Share, Within
from crgan.data.batches import from_gan, to_gan
from crgan.data.store import Split
from crgan.gan.base import Preview, Task, Trained, check_file, filled
from crgan.gan.pairs import PairBatches, Pairs, sample_rows
from crgan.nets.stargan import StarDiscriminator, StarGenerator
from crgan.train import schedules
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Parts, Plan, Watch, iterate, plain
from crgan.train.optimizers import Adam

MODEL = "stargan"
_BATCH = 32  # images restyled at once


@dataclass(frozen=True)
class Options:
    """How StarGAN learns; HHL's parameters have these keys behind `stargan_`.

    Attributes:
        iterations: updates of D.
        batch: images in each.
        lr, adam_betas: of both networks; constant_share: of the iterations, then linearly to 0.
        n_critic: updates of D to one of G.
        lambda_cls, lambda_rec, lambda_gp: weights.
        flip: mirror half of the images; enlarge: by this, then a random crop.
        width, blocks, kernel: of G; discriminator_width, discriminator_layers: of D.
    """

    iterations: Count
    batch: Count
    lr: Positive
    adam_betas: Betas
    constant_share: Share
    n_critic: Count
    lambda_cls: NonNegative
    lambda_rec: NonNegative
    lambda_gp: NonNegative
    flip: bool
    enlarge: Annotated[float, Within(least=1, below=2)]
    width: Count
    blocks: Count
    kernel: OddCount
    discriminator_width: Count
    discriminator_layers: Count
    history_every: Count

    def check_size(self, height: int, width: int) -> None:
        """Refuse images that the networks cannot take."""
        step = max(4, 2**self.discriminator_layers)
        if height % step or width % step:
            raise UserError(
                f"image.train is {height}x{width}: both must be multiples of {step} for "
                f"{MODEL}_discriminator_layers {self.discriminator_layers}; use fewer"
            )

    def lr_at(self, t: int) -> float:
        """Learning rate of iteration t, from 0: constant, then linearly to 0."""
        return schedules.linear_decay(self.lr, t, self.iterations, self.constant_share)


class Training(Parts):
    """G, D and one iteration after the other.

    Of `Pairs` x_s are images, y_j their cameras, and y_c the cameras of other random images:
    where they go. So a camera is gone to as often as it takes images, as in the release.

    Attributes:
        shown: images that `preview` shows (B, 3, H, W); camids: of its cameras.
    """

    moving = ("g", "d", "adam_g", "adam_d")
    shown: Tensor
    camids: NDArray[np.int64]

    losses = ("loss_d", "loss_gp", "loss_cls_real", "loss_adv", "loss_cls", "loss_rec")

    def __init__(
        self, options: Options, cameras: int, size: tuple[int, int], compute: Compute = PLAIN
    ) -> None:
        o = self.options = options
        self.compute = compute
        self.g = StarGenerator(o.width, o.blocks, cameras, o.kernel)
        self.d = StarDiscriminator(
            o.discriminator_width, o.discriminator_layers, cameras, *size
        )  # fmt: skip
        compute.prepare(self.g, self.d)
        self.adam_g, self.adam_d = (
            Adam(net.parameters(), o.lr, o.adam_betas) for net in (self.g, self.d)
        )
        self.of_g = torch.zeros(3, device=compute.device)  # losses of G when it was last updated

    def step(self, t: int, pairs: Pairs) -> dict[str, Tensor]:
        """Iteration t, from 0."""
        lr = self.options.lr_at(t)
        noted = self._update_d(pairs, lr)
        if (t + 1) % self.options.n_critic == 0:
            self.of_g = self._update_g(pairs, lr)
        return {**noted, **dict(zip(self.losses[3:], self.of_g, strict=True))}

    def _update_d(self, pairs: Pairs, lr: float) -> dict[str, Tensor]:
        o, x = self.options, pairs.x_s
        with torch.no_grad():
            fake = self.g(x, pairs.y_c)
        real_src, real_cls = self.d(x)
        fake_src, _ = self.d(fake)
        critic = fake_src.mean() - real_src.mean()
        penalty = gradient_penalty(self.d, x, fake)
        cls = F.cross_entropy(real_cls, pairs.y_j)
        loss = critic + o.lambda_gp * penalty + o.lambda_cls * cls
        self.compute.descend(self.adam_d, loss, lr)
        return {"loss_d": critic, "loss_gp": penalty, "loss_cls_real": cls}

    def _update_g(self, pairs: Pairs, lr: float) -> Tensor:
        o, x = self.options, pairs.x_s
        self.d.requires_grad_(False)  # its gradients are not wanted while G learns
        fake = self.g(x, pairs.y_c)
        fake_src, fake_cls = self.d(fake)
        adv = -fake_src.mean()
        cls = F.cross_entropy(fake_cls, pairs.y_c)
        rec = (x - self.g(fake, pairs.y_j)).abs().mean()
        self.compute.descend(self.adam_g, adv + o.lambda_cls * cls + o.lambda_rec * rec, lr)
        self.d.requires_grad_(True)
        return torch.stack((adv, cls, rec)).detach()

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes while training."""
        return {**super().state_dict(), "of_g": self.of_g}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        super().load_state_dict(state)
        self.of_g = state["of_g"].to(self.of_g.device)

    @torch.no_grad()
    def preview(self) -> Preview:
        """The same images each time, in the style of each camera."""
        cameras = [torch.full((len(self.shown),), k) for k in range(len(self.camids))]
        made = {
            f"camera {camid}": self.g(self.shown, camera.to(self.shown.device))
            for camid, camera in zip(self.camids, cameras, strict=True)
        }
        return Preview({"x": self.shown}, made)


def gradient_penalty(d: StarDiscriminator, x: Tensor, fake: Tensor) -> Tensor:
    """E[(|grad D_src(x_hat)|_2 - 1)^2] of eq. (8); images (B, 3, H, W), both without gradients.

    x_hat lies between an image and its fake, at a random place of its own. D_src is the sum over
    the map of decisions, as in the release.
    """
    alpha = torch.rand(len(x), 1, 1, 1, device=x.device)
    x_hat = (alpha * x + (1 - alpha) * fake).requires_grad_(True)
    decisions, _ = d(x_hat)
    (slope,) = torch.autograd.grad(decisions.sum(), x_hat, create_graph=True)
    lengths: Tensor = (slope.flatten(1).square().sum(dim=1) + 1e-12).sqrt()
    return (lengths - 1).square().mean()


class _NoMasks:
    """Masks for the batches that want some: nobody anywhere."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._shape = images.shape[:3]

    def __len__(self) -> int:
        return self._shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.zeros((len(rows), *self._shape[1:]), dtype=np.bool_)


def train(
    images: Split,
    options: Options,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
    compute: Compute = PLAIN,
) -> Trained:
    """Learn the camera styles of a training split, of which images and cameras are looked at.

    Raises:
        UserError: images of a size the networks cannot take, or a loss that diverges.
    """
    height, width = images.images.shape[1:3]
    options.check_size(height, width)
    camids, y = np.unique(images.camid, return_inverse=True)
    y = y.reshape(-1).astype(np.int64)
    torch.manual_seed(seed)
    training = Training(options, len(camids), (height, width), compute)
    masks = _NoMasks(images.images)
    task = Task(images, images, masks, masks, height, width)
    batches = PairBatches(
        task, y, y, options.batch, seed, compute.device,
        flip=options.flip, enlarge=options.enlarge,
    )  # fmt: skip
    training.shown = to_gan(images.images[sample_rows(len(images))]).to(compute.device)
    training.camids = camids
    plan = Plan(
        MODEL, options.iterations, options.lr_at, options.batch, options.history_every,
        losses=training.losses,
    )  # fmt: skip
    history = iterate(training, batches, plan, checkpoint=checkpoint, watch=watch, compute=compute)
    file = {
        "kind": "gan",
        "model": MODEL,
        "config": {"width": options.width, "blocks": options.blocks, "kernel": options.kernel},
        "camids": camids.tolist(),
        "state": plain(training.g),
    }
    return Trained(file, history)


@torch.no_grad()
def _restyle(g: StarGenerator, x: Tensor, camera: int) -> NDArray[np.uint8]:
    return from_gan(g(x, torch.full((len(x),), camera, device=x.device)))


class Styles:
    """A trained generator at work: images in the style of each camera.

    Args:
        file: a StarGAN's, of `train`.
        device: where to work.

    Attributes:
        camids: of its cameras.

    Raises:
        UserError: another kind of file, or weights that do not fit.
    """

    def __init__(self, file: Mapping[str, Any], device: str = "cpu") -> None:
        check_file(file, MODEL)
        self.camids = tuple(int(camid) for camid in file["camids"])
        cameras = len(self.camids)
        self._g = filled(
            lambda c: StarGenerator(c["width"], c["blocks"], cameras, c["kernel"]), file
        ).to(device)
        self._device = device

    def of(self, images: NDArray[np.uint8], into: NDArray[np.uint8], start: int = 0) -> None:
        """Each image as each camera would show it.

        Args:
            images: uint8 (n, H, W, 3).
            into: uint8 (N, cameras, H, W, 3); places `start` to `start` + n are filled.
        """
        for first in range(0, len(images), _BATCH):
            x = to_gan(images[first : first + _BATCH]).to(self._device)
            rows = slice(start + first, start + first + len(x))
            for k in range(len(self.camids)):
                into[rows, k] = _restyle(self._g, x, k)
