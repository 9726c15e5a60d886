"""M2M-GAN: many-to-many translation between cameras (Liang et al. 2019). OUR VARIANT.

Neither code nor full text could be found. Its abstract says: each camera is a sub-domain; one model
learns the mappings from all source cameras to all target cameras; source and target view labels are
embedded as guidance; a view classifier tells the views apart. The rest is our choice:

- the guidance is one-hot planes of both cameras behind the picture, as StarGAN gives its labels;
- the view classifier shares the discriminator's convolutions, as StarGAN's does;
- the losses are CycleGAN's, with SPGAN's weights, and lambda_view times the cross-entropies;
- a picture that shall stay as it is (identity mapping) has no source camera in its guidance.

    L = L_cyclegan + lambda_view (E[-log p(t | G(x_a, s, t))] + E[-log p(s | F(x_b, t, s))])

and the classifier learns from real pictures alone: -log p(t | x_b), -log p(s | x_a).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from crgan.gan import cyclegan, losses
from crgan.gan.base import Renderer, Report, Task, Trained
from crgan.gan.cyclegan import Fakes, cameras, fit, load_generator
from crgan.gan.pairs import Pairs
from crgan.nets.patchgan import ViewPatchGAN
from crgan.nets.resnet_generator import initialise
from crgan.run.checkpoint import Checkpoint
from crgan.run.errors import UserError
from crgan.run.settings import settings_from

MODEL = "m2mgan"


@dataclass(frozen=True)
class Options(cyclegan.Options):
    """Section `translators.m2mgan` of the parameters over `cyclegan`."""

    lambda_view: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lambda_view < 0:
            raise UserError(f"m2mgan.lambda_view is {self.lambda_view}; it must be 0 at least")


class Training(cyclegan.Training):
    """CycleGAN's, guided by cameras: of x_a s, which is `pairs.y_j`, and of x_b t, `pairs.y_c`."""

    losses = (*cyclegan.Training.losses, "loss_view")
    options: Options
    d_b: ViewPatchGAN
    d_a: ViewPatchGAN

    def __init__(self, options: Options, task: Task, seed: int, device: str) -> None:
        self.views = {end: len(c) for end, c in zip("ab", cameras(task), strict=True)}
        self.conditions = sum(self.views.values())
        self._made = 0
        super().__init__(options, task, seed, device)

    def discriminator(self, task: Task) -> nn.Module:
        o = self.options
        views = self.views["ba"[self._made]]  # D_b is asked for first
        self._made += 1
        d = ViewPatchGAN(o.discriminator_width, o.discriminator_layers, views)
        for module in d.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                initialise(module)
        return d

    def to_b(self, x: Tensor, pairs: Pairs) -> Tensor:
        guides = guidance(pairs.y_j, self.views["a"], pairs.y_c, self.views["b"], len(x))
        return self.g(guided(x, guides))

    def to_a(self, x: Tensor, pairs: Pairs) -> Tensor:
        guides = guidance(pairs.y_c, self.views["b"], pairs.y_j, self.views["a"], len(x))
        return self.f(guided(x, guides))

    def judged(self, pairs: Pairs, fakes: Fakes) -> dict[str, tuple[float, Tensor]]:
        real_b, view_b = self.d_b.both(fakes.b)
        real_a, view_a = self.d_a.both(fakes.a)
        view = F.cross_entropy(view_b, pairs.y_c) + F.cross_entropy(view_a, pairs.y_j)
        adv = losses.adversarial_g(real_b) + losses.adversarial_g(real_a)
        return {"adv": (1.0, adv), "view": (self.options.lambda_view, view)}

    def discriminators_loss(self, pairs: Pairs, old_b: Tensor, old_a: Tensor) -> Tensor:
        loss = pairs.x_s.new_zeros(())
        for d, x, fake, view in (
            (self.d_b, pairs.x_t, old_b, pairs.y_c),
            (self.d_a, pairs.x_s, old_a, pairs.y_j),
        ):
            decisions, logits = d.both(torch.cat((x, fake)))
            classified = F.cross_entropy(logits[: len(x)], view)
            loss = loss + losses.adversarial_d(*decisions.chunk(2))
            loss = loss + self.options.lambda_view * classified
        return loss


def guidance(start: Tensor, n_start: int, end: Tensor, n_end: int, rows: int) -> Tensor:
    """One-hot codes (rows, n_start + n_end) of the cameras a picture comes from and goes to.

    Args:
        start, end: cameras (B,), as classes of their domains.
        rows: B, or 2 B, of which the second half are pictures of the domain it goes to: they come
            from no camera of the other one, so their first part is 0.
    """
    ends = F.one_hot(end, n_end).float()
    codes = torch.cat((F.one_hot(start, n_start).float(), ends), dim=1)
    if rows == len(start):
        return codes
    stays = torch.cat((torch.zeros(len(end), n_start, device=end.device), ends), dim=1)
    return torch.cat((codes, stays))


def guided(x: Tensor, codes: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) with their codes (B, C) behind them as planes."""
    return torch.cat((x, codes[:, :, None, None].expand(-1, -1, *x.shape[2:])), dim=1)


def train(
    task: Task,
    options: Mapping[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    checkpoint: Checkpoint | None = None,
    report: Report | None = None,
) -> Trained:
    """Train both directions; see `crgan.gan.base.Translation`.

    Raises:
        UserError: bad parameters, or a loss that diverges.
    """
    return fit(
        MODEL, Training, settings_from(Options, options, MODEL), task,
        seed=seed, device=device, checkpoint=checkpoint, report=report,
    )  # fmt: skip


class CameraTranslator(Renderer):
    """G(x, s, t): from the picture's own camera s into a random target camera t."""

    varies = True

    def __init__(self, generator: nn.Module, file: Mapping[str, Any], task: Task) -> None:
        self._g = generator
        self._from, self._to = np.array(file["from"]), np.array(file["to"])
        self._camids = task.source.camid
        if unknown := sorted(set(self._camids.tolist()) - set(file["from"])):
            raise UserError(
                f"the GAN file: does not know camera {unknown[0]} of the source; train it again"
            )

    @torch.no_grad()
    def render_to(
        self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.int64] | None]:
        """See `crgan.gan.base.Renderer`."""
        start = torch.from_numpy(np.searchsorted(self._from, self._camids[s_rows]))
        chosen = rng.integers(len(self._to), size=len(x_s))
        end = torch.from_numpy(chosen)
        codes = guidance(start, len(self._from), end, len(self._to), len(x_s))
        return self._g(guided(x_s, codes.to(x_s.device))), self._to[chosen]


def load_renderer(file: Mapping[str, Any], task: Task, device: str) -> CameraTranslator:
    """See `crgan.gan.base.Translation`."""
    return CameraTranslator(load_generator(file, MODEL, task, device), file, task)
