"""M2M-GAN: many-to-many translation between cameras (Liang et al. 2019). OUR VARIANT.

Neither code nor full text could be found. Its abstract says: each camera is a sub-domain; one model
learns the mappings from all source cameras to all target cameras; source and target view labels are
embedded as guidance; a view classifier tells the views apart. The rest is our choice:

- the guidance is a one-hot code of both cameras, embedded as scale and shift behind the generators'
  instance norms (`GuidedNorm` says why not as StarGAN gives its labels);
- the view classifiers V_a and V_b are networks of their own, those of D_cam: a head on CycleGAN's
  discriminators could not tell cameras apart, since instance norm takes out colour and brightness,
  by which cameras differ (docs/open-choices.md has the numbers);
- the losses are CycleGAN's, with SPGAN's weights, and lambda_view times the cross-entropies;
- an image that shall stay as it is (identity mapping) has no source camera in its guidance.

    L = L_cyclegan + lambda_view (E[-log V_b(t | G(x_a, s, t))] + E[-log V_a(s | F(x_b, t, s))])

and the classifiers learn from real images alone: -log V_b(t | x_b) - log V_a(s | x_a).
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

from crgan.common.errors import UserError
from crgan.common.settings import Count, NonNegative, settings_from
from crgan.gan import cyclegan
from crgan.gan.base import Renderer, Task, Trained
from crgan.gan.cyclegan import Fakes, cameras, fit, load_generator
from crgan.gan.pairs import Pairs
from crgan.nets.camera import CameraNet
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import Watch

MODEL = "m2mgan"


@dataclass(frozen=True)
class Options(cyclegan.Options):
    """Section `translators.m2mgan` of the parameters over `cyclegan`."""

    lambda_view: NonNegative
    view_width: Count


class Training(cyclegan.Training):
    """CycleGAN's, guided by cameras: of x_a s, which is `pairs.y_j`, and of x_b t, `pairs.y_c`."""

    losses = (*cyclegan.Training.losses, "loss_view", "loss_classifier")
    moving = (*cyclegan.Training.moving, "v_b", "v_a", "adam_v")
    options: Options

    def __init__(self, options: Options, task: Task, seed: int, compute: Compute = PLAIN) -> None:
        self.views = {end: len(c) for end, c in zip("ab", cameras(task), strict=True)}
        self.conditions = sum(self.views.values())
        super().__init__(options, task, seed, compute)
        self.v_b, self.v_a = (CameraNet(options.view_width, self.views[end]) for end in "ba")
        compute.prepare(self.v_b, self.v_a)
        self.adam_v = self.adam(self.v_b, self.v_a)

    def to_b(self, x: Tensor, pairs: Pairs) -> Tensor:
        guides = guidance(pairs.y_j, self.views["a"], pairs.y_c, self.views["b"], len(x))
        return self.g(x, guides)

    def to_a(self, x: Tensor, pairs: Pairs) -> Tensor:
        guides = guidance(pairs.y_c, self.views["b"], pairs.y_j, self.views["a"], len(x))
        return self.f(x, guides)

    def more_terms(self, pairs: Pairs, fakes: Fakes) -> dict[str, tuple[float, Tensor]]:
        """lambda_view times the cross-entropies of the translations, V_b and V_a fixed."""
        for v in (self.v_b, self.v_a):
            v.requires_grad_(False).eval()
        view = self._views(pairs, fakes.b, fakes.a)
        for v in (self.v_b, self.v_a):
            v.requires_grad_(True).train()
        return {"view": (self.options.lambda_view, view)}

    def more_updates(self, t: int, pairs: Pairs, fakes: Fakes) -> dict[str, Tensor]:
        """V_b and V_a on the real images."""
        loss = self._views(pairs, pairs.x_t, pairs.x_s)
        self.compute.descend(self.adam_v, loss, self.options.lr_at(t))
        return {"loss_classifier": loss}

    def _views(self, pairs: Pairs, b: Tensor, a: Tensor) -> Tensor:
        return F.cross_entropy(self.v_b(b), pairs.y_c) + F.cross_entropy(self.v_a(a), pairs.y_j)


def guidance(start: Tensor, n_start: int, end: Tensor, n_end: int, rows: int) -> Tensor:
    """One-hot codes (rows, n_start + n_end) of the cameras an image comes from and goes to.

    Args:
        start, end: cameras (B,), as classes of their domains.
        rows: B, or 2 B, of which the second half are images of the domain it goes to: they come
            from no camera of the other one, so their first part is 0.
    """
    kind = torch.get_default_dtype()
    ends = F.one_hot(end, n_end).to(kind)
    codes = torch.cat((F.one_hot(start, n_start).to(kind), ends), dim=1)
    if rows == len(start):
        return codes
    stays = torch.cat((torch.zeros(len(end), n_start, device=end.device), ends), dim=1)
    return torch.cat((codes, stays))


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
        MODEL, Training, settings_from(Options, options, MODEL), task,
        seed=seed, checkpoint=checkpoint, watch=watch, compute=compute,
    )  # fmt: skip


class CameraTranslator(Renderer):
    """G(x, s, t): from the image's own camera s into a random target camera t."""

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
        return self._g(x_s, codes.to(x_s.device)), self._to[chosen]


def load_renderer(file: Mapping[str, Any], task: Task, device: str) -> CameraTranslator:
    """See `crgan.gan.base.Translation`."""
    return CameraTranslator(load_generator(file, MODEL, task, device), file, task)
