"""PTGAN: person transfer GAN (Wei et al. 2018), to be read beside its section 3.

CycleGAN without identity mapping, and a person who must stay as he is: with M the person mask of a
image, repeated over the colours, and the mean over all pixels,

    L_ID = E[||(G(x_a) - x_a) o M(x_a)||^2] + E[||(F(x_b) - x_b) o M(x_b)||^2]             eq. (3)
    L    = L_style + lambda_1 L_ID                                                         eq. (1)
    L_style = L_GAN(G) + L_GAN(F) + lambda_cycle L_cyc                                     eq. (2)

The release crops and mirrors images and leaves their masks as they were; here the masks go along
(`crgan.gan.pairs`).

With `per_camera` each target camera is a domain of its own, as the paper transfers to single
cameras of a data set: one CycleGAN between the whole source and each target camera, for both
directions, and a rendering goes to a random camera. Together they have the iterations of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crgan.common.settings import NonNegative, settings_from
from crgan.data.store import Split
from crgan.gan import cyclegan
from crgan.gan.base import Masks, Renderer, Task, Trained
from crgan.gan.cyclegan import Fakes, Translator, cameras, fit, load_generator
from crgan.gan.pairs import Pairs
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.history import History
from crgan.train.loop import Watch

MODEL = "ptgan"


@dataclass(frozen=True)
class Options(cyclegan.Options):
    """Section `translators.ptgan` of the parameters over `cyclegan`."""

    lambda_1: NonNegative
    per_camera: bool


class Training(cyclegan.Training):
    """CycleGAN's with L_ID."""

    losses = (*cyclegan.Training.losses, "loss_person")
    options: Options

    def more_terms(self, pairs: Pairs, fakes: Fakes) -> dict[str, tuple[float, Tensor]]:
        person = person_loss(fakes.b, pairs.x_s, pairs.m_f) + person_loss(
            fakes.a, pairs.x_t, pairs.m_t
        )
        return {"person": (self.options.lambda_1, person)}


def person_loss(y: Tensor, x: Tensor, m: Tensor) -> Tensor:
    """One half of L_ID, eq. (3): the mean of ((y - x) o m)^2 over images, colours and all pixels.

    Args:
        y, x: a translation and its image (B, 3, H, W); m: the image's mask (B, 1, H, W).
    """
    return ((y - x) * m).square().mean()


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
    o = settings_from(Options, options, MODEL)
    if not o.per_camera:
        return fit(
            MODEL, Training, o, task,
            seed=seed, checkpoint=checkpoint, watch=watch, compute=compute,
        )  # fmt: skip
    return _train_cameras(o, task, seed, checkpoint, watch, compute)


def _train_cameras(
    o: Options,
    task: Task,
    seed: int,
    checkpoint: Checkpoint | None,
    watch: Watch | None,
    compute: Compute,
) -> Trained:
    """One training a camera of either domain; a finished one is not repeated after a kill."""
    in_a, in_b = cameras(task)
    share = replace(o, iterations=max(1, o.iterations // (len(in_a) + len(in_b))))
    history = History(Training.losses, o.history_every)
    states: dict[str, list[Any]] = {"ab": [], "ba": []}
    file: Mapping[str, Any] = {}
    for i, (end, camid) in enumerate([("ab", c) for c in in_b] + [("ba", c) for c in in_a]):
        done = checkpoint.part(f"done{i}") if checkpoint else None
        found = done.load() if done else None
        if found is None:
            part = fit(
                MODEL, Training, share, _towards_camera(task, end, camid), seed=seed + i,
                checkpoint=checkpoint.part(f"{i}") if checkpoint else None,
                watch=watch, compute=compute,
            )  # fmt: skip
            found = {"file": part.file, "history": part.history.state_dict()}
            if done:
                done.save({**found, "watch": watch.state_dict() if watch else None})
        elif watch and found["watch"]:
            watch.load_state_dict(found["watch"])
        file = found["file"]
        states[end].append(file[end]["state"])
        history.append(found["history"])
    ends = {
        "ab": {"states": states["ab"], "from": in_a, "to": in_b},
        "ba": {"states": states["ba"], "from": in_b, "to": in_a},
    }
    return Trained({**file, **ends}, history)


def _towards_camera(task: Task, end: str, camid: int) -> Task:
    """The task with the domain that is gone to restricted to one camera."""
    split, masks = (
        (task.target, task.target_masks) if end == "ab" else (task.source, task.source_masks)
    )
    rows = np.flatnonzero(split.camid == camid)
    only = Split(split.images[rows], split.pid[rows], split.camid[rows], split.rows[rows])
    if end == "ab":
        return replace(task, target=only, target_masks=_Some(masks, rows))
    return replace(task, source=only, source_masks=_Some(masks, rows))


class _Some:
    """The masks of some places of a split."""

    def __init__(self, masks: Masks, rows: NDArray[np.int64]) -> None:
        self._masks, self._rows = masks, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        return self._masks[self._rows[rows]]


class CameraTranslators(Renderer):
    """G_t(x): into a random target camera t, each with a generator of its own."""

    varies = True

    def __init__(self, generators: Sequence[nn.Module], camids: Sequence[int]) -> None:
        self._generators = generators
        self._camids = np.array(camids)

    @torch.no_grad()
    def render_to(
        self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.int64] | None]:
        """See `crgan.gan.base.Renderer`."""
        chosen = rng.integers(len(self._generators), size=len(x_s))
        cameras = torch.from_numpy(chosen)
        x_g = torch.empty_like(x_s)
        for t, generator in enumerate(self._generators):
            mine = (cameras == t).to(x_s.device)
            if mine.any():
                x_g[mine] = generator(x_s[mine])
        return x_g, self._camids[chosen]


def load_renderer(file: Mapping[str, Any], task: Task, device: str) -> Renderer:
    """See `crgan.gan.base.Translation`."""
    if "states" not in file:
        return Translator(load_generator(file, MODEL, task, device))
    generators = [
        load_generator({**file, "state": state}, MODEL, task, device) for state in file["states"]
    ]
    return CameraTranslators(generators, file["to"])
