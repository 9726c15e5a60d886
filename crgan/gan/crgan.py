"""CR-GAN: instance-guided context rendering (sections 3.1 to 3.3), to be read beside the paper.

The generator and D_d are in `crgan/nets`, the losses in `crgan/gan/losses.py`. Here is Algorithm 1,
part II, and the rendering of part III.

Ablations are parameters. With `gan.dual_condition` false the generator has no context pathway and
sees X_S alone; its losses stay the same and still name the target of the pair. A `loss.lambda_*` of
0 leaves that term out, and without the adversarial term D_d is not trained either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.common.settings import Betas, Count, NonNegative, OddCount, Positive, settings_from
from crgan.gan import losses
from crgan.gan.base import (
    Classifier,
    Preview,
    Renderer,
    Task,
    Trained,
    check_file,
    filled,
)
from crgan.gan.pairs import PairBatches, Pairs, masked_images, sample_pairs
from crgan.nets.folding import frozen
from crgan.nets.generator import Generator, MaskActivation, ResidualActivation, Upsampling
from crgan.nets.patchgan import Norm, PatchGAN, decisions
from crgan.train import schedules
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Parts, Plan, Watch, iterate, plain
from crgan.train.optimizers import Adam

MODEL = "crgan"
LOSSES = ("loss_d", "loss_adv", "loss_id", "loss_cam", "loss_con", "loss_g")


@dataclass(frozen=True)
class Weights:
    """The weights of eq. (8)."""

    lambda_adv: NonNegative
    lambda_id: NonNegative
    lambda_cam: NonNegative
    lambda_con: NonNegative


@dataclass(frozen=True)
class Options:
    """The section `gan` of the parameters, where each key has its reason."""

    dual_condition: bool
    lr: Positive
    g_updates_second_half: Count
    adam_betas: Betas
    noise_std: NonNegative
    context_norm: losses.ContextNorm
    context_target_masked: bool
    activation_residual: ResidualActivation
    activation_mask: MaskActivation
    mask_channels: Literal[1, 3]
    flip: bool
    pathway_kernel: OddCount
    upsampling: Upsampling
    discriminator_norm: Norm
    history_every: Count
    iterations: Count
    batch: Count
    width: Count
    levels: Count
    discriminator_width: Count
    discriminator_layers: Count
    sample_every: Count

    def check_size(self, height: int, width: int) -> None:
        """Refuse images that the networks cannot take."""
        step = 2**self.levels
        if height % step or width % step:
            raise UserError(
                f"image.train is {height}x{width}; with gan.levels {self.levels} both must be "
                f"multiples of {step}"
            )
        if min(decisions(height, width, self.discriminator_layers)) < 1:
            raise UserError(
                f"image.train is {height}x{width}: too small for gan.discriminator_layers "
                f"{self.discriminator_layers}; use fewer"
            )

    def generator(self) -> dict[str, Any]:
        """What `Generator` is built from."""
        keys = ("width", "levels", "dual_condition", "pathway_kernel", "mask_channels",
                "activation_residual", "activation_mask", "upsampling")  # fmt: skip
        return {key: getattr(self, key) for key in keys}

    def lr_at(self, t: int) -> float:
        """Learning rate of iteration t, from 0: constant, then linearly to 0 in the second half."""
        return schedules.linear_decay(self.lr, t, self.iterations)

    def g_updates(self, t: int) -> int:
        """k of Algorithm 1 in iteration t, from 0."""
        return 1 if 2 * t < self.iterations else self.g_updates_second_half


class Training(Parts):
    """Algorithm 1, II: the networks and one iteration after the other.

    Args:
        options, weights: how.
        d_id, d_cam: pre-trained classifiers of identity and camera; copied, and never updated:
            part II of Algorithm 1 names D_d and G only.
        compute: what it computes on.

    Attributes:
        shown: X_S, X_T, M_S and M_T of the pairs that `preview` shows.
    """

    moving = ("g", "d_d", "adam_g", "adam_d")
    shown: tuple[Tensor, Tensor, Tensor, Tensor]

    def __init__(
        self,
        options: Options,
        weights: Weights,
        d_id: nn.Module,
        d_cam: nn.Module,
        compute: Compute = PLAIN,
    ) -> None:
        o = self.options = options
        self.weights, self.compute = weights, compute
        self.g = Generator(**o.generator())
        self.d_d = PatchGAN(
            o.discriminator_width, o.discriminator_layers, o.noise_std, o.discriminator_norm
        )
        self.d_id, self.d_cam = frozen(d_id), frozen(d_cam)
        compute.prepare(self.g, self.d_d, self.d_id, self.d_cam)
        self.adam_g, self.adam_d = (
            Adam(net.parameters(), o.lr, o.adam_betas) for net in (self.g, self.d_d)
        )

    def step(self, t: int, pairs: Pairs) -> dict[str, Tensor]:
        """Iteration t, from 0: D_d once, then G k times, all on the one mini-batch of pairs.

        Algorithm 1 feeds a mini-batch once an iteration, before the updates; so the second update
        of G renders the same pairs again with the generator's new weights.
        """
        lr = self.options.lr_at(t)
        x_g = self.g(pairs.x_s, pairs.x_t, pairs.m_t)  # eq. (1), (2), (3)
        noted = {}
        if self.weights.lambda_adv:
            noted["loss_d"] = self._update_d_d(pairs.x_t, x_g.detach(), lr)
        self.d_d.requires_grad_(False)  # its gradients are not wanted while G learns
        for update in range(self.options.g_updates(t)):
            if update > 0:
                x_g = self.g(pairs.x_s, pairs.x_t, pairs.m_t)
            noted |= self._update_g(x_g, pairs, lr)
        self.d_d.requires_grad_(True)
        return noted

    def _update_d_d(self, x_t: Tensor, x_g: Tensor, lr: float) -> Tensor:
        loss_d = losses.adversarial_d(self.d_d(x_t), self.d_d(x_g))  # L_adv, eq. (4)
        self.compute.descend(self.adam_d, loss_d, lr)
        return loss_d

    def _update_g(self, x_g: Tensor, p: Pairs, lr: float) -> dict[str, Tensor]:
        w, o = self.weights, self.options
        m_b = 1 - p.m_f
        if o.context_target_masked:
            m_b = m_b * (1 - p.m_t)
        # L_GAN, eq. (8); a term of weight 0 is not computed
        noted, weighted = {}, []
        if w.lambda_adv:
            noted["loss_adv"] = l_adv = losses.adversarial_g(self.d_d(x_g))  # eq. (4)
            weighted.append(w.lambda_adv * l_adv)
        if w.lambda_id:
            noted["loss_id"] = l_id = losses.identity(self.d_id(x_g), p.y_j)  # eq. (7)
            weighted.append(w.lambda_id * l_id)
        if w.lambda_cam:
            noted["loss_cam"] = l_cam = losses.camera(self.d_cam(x_g), p.y_c)  # eq. (5)
            weighted.append(w.lambda_cam * l_cam)
        if w.lambda_con:
            l_con = losses.context(x_g, p.x_s, p.x_t, p.m_f, m_b, o.context_norm)  # eq. (6)
            noted["loss_con"] = l_con
            weighted.append(w.lambda_con * l_con)
        loss_g = torch.stack(weighted).sum()
        self.compute.descend(self.adam_g, loss_g, lr)
        return {**noted, "loss_g": loss_g}

    @torch.no_grad()
    def preview(self) -> Preview:
        """The parts of eq. (3) for the same pairs each time."""
        x_s, x_t, _, m_t = self.shown
        made = self.g.parts(x_s, x_t, m_t)
        return Preview(
            {"X_S": x_s, "X_T": x_t, "M": m_t * 2 - 1},
            {"X_R": made.x_r, "X_C": made.x_c * 2 - 1, "X_G": made.x_g},
        )


def train(
    task: Task,
    d_id: Classifier,
    d_cam: Classifier,
    loss: Mapping[str, Any],
    gan: Mapping[str, Any],
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
    compute: Compute = PLAIN,
) -> Trained:
    """Train the generator; see `crgan.gan.base.Method`.

    The same arguments give the same bytes on a CPU, also when it was stopped in between and goes
    on from `checkpoint`.

    Raises:
        UserError: bad parameters, labels that D_id or D_cam do not know, a loss that diverges.
    """
    weights = settings_from(Weights, loss, "loss")
    options = settings_from(Options, gan, "gan")
    options.check_size(task.height, task.width)
    if not any(asdict(weights).values()):
        raise UserError("every loss.lambda_* is 0: there is nothing to learn")
    y_j, y_c = d_id.labels(task.source.pid), d_cam.labels(task.target.camid)
    torch.manual_seed(seed)
    training = Training(options, weights, d_id.net, d_cam.net, compute)
    training.shown = sample_pairs(task, compute.device)
    history = iterate(
        training,
        PairBatches(task, y_j, y_c, options.batch, seed, compute.device, flip=options.flip),
        Plan(
            "CR-GAN", options.iterations, options.lr_at, options.batch, options.history_every,
            options.sample_every, LOSSES,
        ),
        checkpoint=checkpoint, watch=watch, compute=compute,
    )  # fmt: skip
    config = {**options.generator(), "flip": options.flip}
    size = {"height": task.height, "width_px": task.width}
    file = {"kind": "gan", "model": MODEL, "config": {**config, **size}, "state": plain(training.g)}
    return Trained(file, history)


def load_generator(file: Mapping[str, Any], device: str, name: str = "the GAN file") -> Generator:
    """The generator in a GAN file, frozen, in eval mode; `name` is the file's, for messages.

    Raises:
        UserError: another kind of file, or weights that do not fit its configuration.
    """
    check_file(file, MODEL, name)
    others = ("flip", "height", "width_px")
    return filled(
        lambda config: Generator(**{k: v for k, v in config.items() if k not in others}), file, name
    ).to(device)


class ContextRenderer(Renderer):
    """Random context rendering, Algorithm 1, III: each source image meets a random target."""

    def __init__(self, generator: Generator, task: Task, flip: bool) -> None:
        self._g = generator
        self.varies = generator.theta_t is not None
        self._task = task
        self._flip = flip

    @torch.no_grad()
    def render_to(
        self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.int64] | None]:
        """See `crgan.gan.base.Renderer`; targets are mirrored half of the time if G knows that."""
        rows = rng.integers(len(self._task.target), size=len(x_s))
        flips = rng.random(len(rows)) < 0.5 if self._flip else None
        x_t, m_t = masked_images(self._task.target, self._task.target_masks, rows, flips)
        x_g: Tensor = self._g(x_s, x_t.to(x_s.device), m_t.to(x_s.device))
        return x_g, self._task.target.camid[rows] if self.varies else None


def load_renderer(file: Mapping[str, Any], task: Task, device: str) -> ContextRenderer:
    """A renderer of a GAN file for its task; see `crgan.gan.base.Method`.

    Raises:
        UserError: another kind of file, or images of another size.
    """
    generator = load_generator(file, device)
    trained = (file["config"]["height"], file["config"]["width_px"])
    if trained != (task.height, task.width):
        raise UserError(
            f"the GAN was trained on images of {trained[0]}x{trained[1]}, these are "
            f"{task.height}x{task.width}; train it again at this size"
        )
    return ContextRenderer(generator, task, file["config"]["flip"])
