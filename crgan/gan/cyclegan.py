"""CycleGAN (Zhu et al. 2017): what PTGAN, SPGAN and M2M-GAN stand on, and a method by itself.

Two domains a and b, generators G: a -> b and F: b -> a, discriminators D_b and D_a. One training
serves both directions. Losses, with LSGAN in place of the logarithms (section 4 of the paper):

    L_GAN(G)    = E[(D_b(G(x_a)) - 1)^2], and so for F
    L_cyc       = E[|F(G(x_a)) - x_a|_1] + E[|G(F(x_b)) - x_b|_1]              eq. (2)
    L_identity  = E[|G(x_b) - x_b|_1] + E[|F(x_a) - x_a|_1]                    section 5.2
    L           = L_GAN(G) + L_GAN(F) + lambda_cycle L_cyc + lambda_identity L_identity
    L_D         = 1/2 E[(D(x) - 1)^2] + 1/2 E[D(fake)^2], the fake from a history of 50

A method built on it is a subclass of `Training` with terms or networks of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.common.settings import (
    Betas,
    Count,
    Natural,
    NonNegative,
    OddCount,
    Positive,
    Share,
    Within,
    settings_from,
)
from crgan.common.shares import gathered, own_rows
from crgan.gan import losses
from crgan.gan.base import Preview, Renderer, Task, Trained, check_file, filled
from crgan.gan.pairs import PairBatches, Pairs, sample_pairs, sample_rows
from crgan.gan.pool import Pool
from crgan.nets.patchgan import PatchGAN, decisions
from crgan.nets.resnet_generator import ResnetGenerator, initialise
from crgan.train import schedules
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Parts, Plan, Watch, iterate, plain
from crgan.train.optimizers import Adam

MODEL = "cyclegan"
DIRECTIONS = ("ab", "ba")


@dataclass(frozen=True)
class Options:
    """Section `cyclegan` of the parameters, where each key has its reason."""

    lr: Positive
    adam_betas: Betas
    constant_share: Share
    lambda_cycle: NonNegative
    lambda_identity: NonNegative
    pool: Natural
    flip: bool
    enlarge: Annotated[float, Within(least=1, below=2)]
    history_every: Count
    iterations: Count
    batch: Count
    width: Count
    blocks: Count
    kernel: OddCount
    discriminator_width: Count
    discriminator_layers: Count
    sample_every: Count

    def check_size(self, height: int, width: int) -> None:
        """Refuse images that the networks cannot take."""
        if height % 4 or width % 4 or min(height, width) < 8:
            raise UserError(f"image.train is {height}x{width}: both must be multiples of 4 from 8")
        if min(decisions(height, width, self.discriminator_layers)) < 1:
            raise UserError(
                f"image.train is {height}x{width}: too small for cyclegan.discriminator_layers "
                f"{self.discriminator_layers}; use fewer"
            )

    def lr_at(self, t: int) -> float:
        """Learning rate of iteration t, from 0: constant, then linearly to 0."""
        return schedules.linear_decay(self.lr, t, self.iterations, self.constant_share)


@dataclass(frozen=True)
class Fakes:
    """What the generators make of a mini-batch, with gradients; (B, 3, H, W) each."""

    b: Tensor  # G(x_a)
    a: Tensor  # F(x_b)
    same_b: Tensor  # G(x_b)
    same_a: Tensor  # F(x_a)


class Training(Parts):
    """The networks and one iteration after the other.

    A mini-batch is `Pairs`, whose source is domain a and whose target is domain b.

    Attributes:
        shown: the pairs that `preview` shows.
    """

    moving: tuple[str, ...] = ("g", "f", "d_b", "d_a", "pool_b", "pool_a", "adam_g", "adam_d")
    shown: Pairs

    losses: tuple[str, ...] = ("loss_d", "loss_adv", "loss_cycle", "loss_identity")
    conditions = 0  # numbers in the code by which a subclass guides its generators

    def __init__(self, options: Options, task: Task, seed: int, compute: Compute = PLAIN) -> None:
        o = self.options = options
        self.compute = compute
        self.g, self.f = (
            ResnetGenerator(o.width, o.blocks, self.conditions, o.kernel) for _ in DIRECTIONS
        )
        self.d_b, self.d_a = (self._discriminator() for _ in DIRECTIONS)
        self.pool_b, self.pool_a = (Pool(o.pool, seed + i) for i in range(2))
        compute.prepare(self.g, self.f, self.d_b, self.d_a)
        self.adam_g = self.adam(self.g, self.f)
        self.adam_d = self.adam(self.d_b, self.d_a)

    def _discriminator(self) -> nn.Module:
        """A new D_a or D_b."""
        d = PatchGAN(
            self.options.discriminator_width, self.options.discriminator_layers, 0, "plain"
        )
        for module in d.modules():
            if isinstance(module, nn.Conv2d):
                initialise(module)
        return d

    def adam(self, *nets: nn.Module) -> Adam:
        """An optimizer for some networks."""
        parameters = [p for net in nets for p in net.parameters()]
        return Adam(parameters, self.options.lr, self.options.adam_betas)

    # What a subclass may change ------------------------------------------------------------------

    def to_b(self, x: Tensor, pairs: Pairs) -> Tensor:
        """G(x) for images of any number of the mini-batch's blocks."""
        return self.g(x)

    def to_a(self, x: Tensor, pairs: Pairs) -> Tensor:
        """F(x)."""
        return self.f(x)

    def more_terms(self, pairs: Pairs, fakes: Fakes) -> dict[str, tuple[float, Tensor]]:
        """Terms of the generators' loss beyond CycleGAN's: name -> (weight, value)."""
        return {}

    def more_updates(self, t: int, pairs: Pairs, fakes: Fakes) -> dict[str, Tensor]:
        """Updates of further networks after G, F, D_a and D_b; their losses by name."""
        return {}

    # ---------------------------------------------------------------------------------------------

    def step(self, t: int, pairs: Pairs) -> dict[str, Tensor]:
        """Iteration t, from 0: G and F together, then D_b and D_a, as the release does."""
        lr = self.options.lr_at(t)
        fakes = self.translate(pairs)
        noted = self._update_generators(pairs, fakes, lr)
        noted["loss_d"] = self._update_discriminators(pairs, fakes, lr)
        return {**noted, **self.more_updates(t, pairs, fakes)}

    def translate(self, pairs: Pairs) -> Fakes:
        """Both domains through both generators.

        What a generator makes of an image does not depend on the others in its batch (instance
        norm), so one pass of twice the batch gives fakes and identity mappings together.
        """
        x_a, x_b = pairs.x_s, pairs.x_t
        if not self.options.lambda_identity:
            return Fakes(self.to_b(x_a, pairs), self.to_a(x_b, pairs), x_b, x_a)
        b, same_b = self.to_b(torch.cat((x_a, x_b)), pairs).chunk(2)
        a, same_a = self.to_a(torch.cat((x_b, x_a)), pairs).chunk(2)
        return Fakes(b, a, same_b, same_a)

    def _update_generators(self, pairs: Pairs, fakes: Fakes, lr: float) -> dict[str, Tensor]:
        o = self.options
        for d in (self.d_b, self.d_a):
            d.requires_grad_(False)  # their gradients are not wanted while G and F learn
        adv = losses.adversarial_g(self.d_b(fakes.b)) + losses.adversarial_g(self.d_a(fakes.a))
        terms: dict[str, tuple[float, Tensor]] = {"adv": (1.0, adv)}
        cycle = l1(self.to_a(fakes.b, pairs), pairs.x_s) + l1(self.to_b(fakes.a, pairs), pairs.x_t)
        terms["cycle"] = (o.lambda_cycle, cycle)
        if o.lambda_identity:
            same = l1(fakes.same_b, pairs.x_t) + l1(fakes.same_a, pairs.x_s)
            terms["identity"] = (o.lambda_identity, same)
        terms |= self.more_terms(pairs, fakes)
        loss = torch.stack([w * term for w, term in terms.values()]).sum()
        self.compute.descend(self.adam_g, loss, lr)
        for d in (self.d_b, self.d_a):
            d.requires_grad_(True)
        return {f"loss_{name}": term for name, (_, term) in terms.items()}

    def _update_discriminators(self, pairs: Pairs, fakes: Fakes, lr: float) -> Tensor:
        # The history is of all processes' images, and each keeps the whole of it.
        old_b, old_a = (
            own_rows(pool.swap(gathered(x)))
            for pool, x in ((self.pool_b, fakes.b), (self.pool_a, fakes.a))
        )
        real_b, fake_b = self.d_b(torch.cat((pairs.x_t, old_b))).chunk(2)
        real_a, fake_a = self.d_a(torch.cat((pairs.x_s, old_a))).chunk(2)
        loss = losses.adversarial_d(real_b, fake_b) + losses.adversarial_d(real_a, fake_a)
        self.compute.descend(self.adam_d, loss, lr)
        return loss

    @torch.no_grad()
    def preview(self) -> Preview:
        """Translations of the same images each time, and their way back."""
        p = self.shown
        b, a = self.to_b(p.x_s, p), self.to_a(p.x_t, p)
        made = {"G a": b, "FG a": self.to_a(b, p), "F b": a, "GF b": self.to_b(a, p)}
        return Preview({"a": p.x_s, "b": p.x_t}, made)


def l1(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference, over images and pixels."""
    return (x - y).abs().mean()


def cameras(task: Task) -> tuple[list[int], list[int]]:
    """The camids of both domains, sorted: class k of a domain is its k-th camid."""
    return sorted(set(task.source.camid.tolist())), sorted(set(task.target.camid.tolist()))


def fit(
    model: str,
    kind: type[Training],
    options: Options,
    task: Task,
    *,
    seed: int,
    checkpoint: Checkpoint | None,
    watch: Watch | None,
    compute: Compute = PLAIN,
) -> Trained:
    """Train a method of the family on a task whose source is domain a and whose target is b.

    The file holds, under "ab" and "ba", the two generators; `crgan.gan.base.towards` picks one.
    """
    options.check_size(task.height, task.width)
    torch.manual_seed(seed)
    training = kind(options, task, seed, compute)
    in_a, in_b = cameras(task)
    y_a, y_b = np.searchsorted(in_a, task.source.camid), np.searchsorted(in_b, task.target.camid)
    batches = PairBatches(
        task, y_a, y_b, options.batch, seed, compute.device,
        flip=options.flip, enlarge=options.enlarge,
    )  # fmt: skip
    training.shown = _shown(task, y_a, y_b, compute.device)
    plan = Plan(
        model, options.iterations, options.lr_at, options.batch, options.history_every,
        options.sample_every, training.losses,
    )  # fmt: skip
    history = iterate(training, batches, plan, checkpoint=checkpoint, watch=watch, compute=compute)
    config = {
        "width": options.width, "blocks": options.blocks, "conditions": training.conditions,
        "kernel": options.kernel, "height": task.height, "width_px": task.width,
    }  # fmt: skip
    file = {
        "kind": "gan",
        "model": model,
        "config": config,
        "ab": {"state": plain(training.g), "from": in_a, "to": in_b},
        "ba": {"state": plain(training.f), "from": in_b, "to": in_a},
    }
    return Trained(file, history)


def _shown(task: Task, y_a: NDArray[np.int64], y_b: NDArray[np.int64], device: str) -> Pairs:
    """The pairs that are looked at."""
    rows = [sample_rows(len(split)) for split in (task.source, task.target)]
    x_a, x_b, m_a, m_b = sample_pairs(task, device)
    labels = [torch.from_numpy(y[r]).to(device) for y, r in zip((y_a, y_b), rows, strict=True)]
    return Pairs(x_a, x_b, m_a, m_b, *labels)


def train(
    task: Task,
    options: Mapping[str, Any],
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
    compute: Compute = PLAIN,
) -> Trained:
    """Train both directions; see `crgan.gan.base.Translation`.

    Raises:
        UserError: bad parameters, or a loss that diverges.
    """
    return fit(
        MODEL, Training, settings_from(Options, options, "cyclegan"), task,
        seed=seed, checkpoint=checkpoint, watch=watch, compute=compute,
    )  # fmt: skip


def load_generator(file: Mapping[str, Any], model: str, task: Task, device: str) -> ResnetGenerator:
    """The generator of one direction, frozen; `file` comes from `crgan.gan.base.towards`.

    Raises:
        UserError: another kind of file, weights that do not fit, or images of another size.
    """
    check_file(file, model)
    generator = filled(
        lambda c: ResnetGenerator(c["width"], c["blocks"], c["conditions"], c["kernel"]), file
    )
    config = file["config"]
    if (config["height"], config["width_px"]) != (task.height, task.width):
        raise UserError(
            f"the GAN was trained on images of {config['height']}x{config['width_px']}, these "
            f"are {task.height}x{task.width}; train it again at this size"
        )
    return generator.to(device)


class Translator(Renderer):
    """G(x): one rendering an image, whatever the random numbers."""

    varies = False

    def __init__(self, generator: nn.Module) -> None:
        self._g = generator

    @torch.no_grad()
    def render_to(
        self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.int64] | None]:
        """See `crgan.gan.base.Renderer`."""
        return self._g(x_s), None


def load_renderer(file: Mapping[str, Any], task: Task, device: str) -> Translator:
    """See `crgan.gan.base.Translation`."""
    return Translator(load_generator(file, MODEL, task, device))
