"""Alg. 1, III: D_id is fine-tuned on images rendered on the fly; nothing is stored.

Each batch of source images is rendered into random target contexts and keeps its labels. The
rendered images are mirrored and shifted afterwards, so that the generator sees whole crops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crgan.common import shares
from crgan.common.errors import UserError
from crgan.common.settings import Inline, Partly, settings_from
from crgan.data.batches import Augmentation, to_gan
from crgan.data.samplers import EpochSampler
from crgan.data.store import Split
from crgan.gan.base import Renderer
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import build_reid, reid_file
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe, train
from crgan.train.compute import PLAIN, Compute
from crgan.train.history import History

BatchNorm: TypeAlias = Literal["train", "frozen"]


@dataclass(frozen=True)
class FineTuning:
    """How D_id follows the rendered images.

    Attributes:
        recipe: iterations, rates, loss and augmentation; rendered images are not erased.
        batch_norm: train: statistics, scale and shift follow the rendered images; frozen: they
            stay as pre-trained (SPGAN's habit).
        real_share: share of unrendered images in a batch. Alg. 1 has none.
    """

    recipe: Annotated[Recipe, Inline(given=(("erasing", 0.0),))]
    batch_norm: BatchNorm = "train"
    real_share: Partly = 0.0

    @classmethod
    def from_params(cls, section: Mapping[str, Any]) -> FineTuning:
        """From the section `finetune` of the parameters; an unknown key is a `UserError`."""
        return settings_from(cls, section, "finetune")


class RenderedBatches:
    """Endless batches of rendered source images with their own labels, resumable bit for bit.

    Args:
        source: the split the renderer was made for; its rows are what the renderer is told.
        labels: int64 (N,), class of each source row; rows of class -1 are never drawn.
        renderer: renders a batch, drawing target instances from the generator it is given.
        plan: batch size, augmentation and share of real images. Of several processes
            (`crgan.common.shares`) each gets its share of the rendered and of the real ones.
        seed: order, target instances and augmentation follow from it.
        device: where the renderer works.
    """

    def __init__(
        self,
        source: Split,
        labels: NDArray[np.int64],
        renderer: Renderer,
        plan: FineTuning,
        seed: int,
        device: str,
    ) -> None:
        order, looks = np.random.SeedSequence(seed).spawn(2)
        self._source, self._labels, self._renderer = source, labels, renderer
        self._rows = np.flatnonzero(labels >= 0)
        self._how = plan.recipe.augmentation(source.images.shape[1])
        self._sampler = EpochSampler(len(self._rows), plan.recipe.batch, order)
        batch = plan.recipe.batch
        rendered = batch - round(plan.real_share * batch)
        self._rng = np.random.default_rng(looks)
        self._own = shares.share(rendered, batch - rendered)
        own_rendered = self._own[self._own < rendered]
        self._rendered = len(own_rendered)
        self._targets = shares.draws(self._rng, rendered, own_rendered)
        self._looks = shares.draws(self._rng, batch, self._own)
        self._device = device

    def __next__(self) -> tuple[Tensor, Tensor]:
        rows = self._rows[next(self._sampler)[self._own]]
        images = to_gan(self._source.images[rows]).to(self._device)
        n = self._rendered
        with torch.no_grad():
            x_g = self._renderer.render(images[:n], rows[:n], self._targets)
            images = mirror_and_shift(torch.cat((x_g, images[n:])), self._how, self._looks)
        return images, torch.from_numpy(self._labels[rows])

    def state_dict(self) -> dict[str, Any]:
        return {"sampler": self._sampler.state_dict(), "random": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sampler.load_state_dict(state["sampler"])
        self._rng.bit_generator.state = state["random"]


def mirror_and_shift(images: Tensor, how: Augmentation, rng: np.random.Generator) -> Tensor:
    """`crgan.data.batches.augment` without erasing, for float images (B, 3, H, W) in [-1, 1].

    Rendered images never were bytes; what a shift leaves empty is black (-1) as there.
    """
    n, _, height, width = images.shape
    flips = torch.from_numpy(rng.random(n) < how.flip).to(images.device)
    images = torch.where(flips[:, None, None, None], images.flip(3), images)
    shifts = rng.integers(0, 2 * how.pad, size=(n, 2), endpoint=True).tolist()
    padded = nn.functional.pad(images, (how.pad,) * 4, value=-1.0)
    return torch.stack(
        [
            image[:, top : top + height, left : left + width]
            for image, (top, left) in zip(padded, shifts, strict=True)
        ]
    )


def finetune(
    d_id: Mapping[str, Any],
    source: Split,
    renderer: Renderer,
    plan: FineTuning,
    *,
    seed: int,
    name: str,
    checkpoint: Checkpoint | None = None,
    compute: Compute = PLAIN,
) -> tuple[dict[str, Any], History]:
    """Fine-tune a pre-trained D_id on renderings of its own source.

    Of the target only what the renderer draws is seen: images, never labels.

    Args:
        d_id: the re-id file to start from; `name` is its file's, for messages.
        source: the split the renderer was made for.
        renderer: a trained GAN.
        plan: the recipe.
        seed: order, target instances and augmentation follow from it.
        checkpoint, compute: as in `crgan.train.classifier.train`.

    Returns:
        A re-id file like the one it started from, and the history.

    Raises:
        UserError: a D_id of other identities or images of another size.
    """
    net = build_reid(d_id, name)
    labels = _labels(source, d_id, name)
    torch.manual_seed(seed)
    batches = RenderedBatches(source, labels, renderer, plan, seed, compute.device)
    net.train()
    if plan.batch_norm == "frozen":
        _freeze_batch_norm(net)
    history = train(
        net, batches, plan.recipe, checkpoint=checkpoint, description="fine-tuning",
        compute=compute,
    )  # fmt: skip
    size = (d_id["height"], d_id["width_px"])
    return reid_file(net, d_id["pids"], size, d_id["origin"], d_id["notes"]), history


def _labels(source: Split, d_id: Mapping[str, Any], name: str) -> NDArray[np.int64]:
    """Class of each source row in D_id's order; -1 for junk and distractors."""
    pids = np.unique(source.pid[source.pid > 0])
    if pids.tolist() != list(d_id["pids"]):
        raise UserError(
            f"{name}: learned {len(d_id['pids'])} identities, not the source's {len(pids)}; "
            "it belongs to another source: pre-train D_id on this one"
        )
    size = source.images.shape[1:3]
    if size != (d_id["height"], d_id["width_px"]):
        raise UserError(
            f"{name}: learned images of {d_id['height']}x{d_id['width_px']}, the source's are "
            f"{size[0]}x{size[1]}; pre-train D_id again"
        )
    return np.where(source.pid > 0, np.searchsorted(pids, source.pid), -1)


def _freeze_batch_norm(net: ReidNet) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)
