"""Trainings that one process and two must do alike; run by `tests/train/test_distributed.py`.

python -m tests.distributed_worker FOLDER        # as one of the processes Fabric would start
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crgan.common import shares
from crgan.common.errors import UserError
from crgan.data import batches
from crgan.gan import crgan, cyclegan, pairs
from crgan.gan.base import Task
from crgan.reid import finetune as fine_tuning
from crgan.reid.finetune import FineTuning
from crgan.reid.model_file import reid_file
from crgan.reid.pretrain import Start, pretrain_id
from crgan.train import checkpoint as checkpoints
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe, train
from crgan.train.compute import PLAIN, Compute
from crgan.train.loop import plain
from tests.gan_fakes import GAN, HEIGHT, LOSS, PIDS, WIDTH, judges, task

SIZES = {"iterations": 6, "batch": 4, "history_every": 4, "sample_every": 6}
CYCLEGAN = {
    "lr": 2e-4, "adam_betas": [0.5, 0.999], "constant_share": 0.5, "lambda_cycle": 10.0,
    "lambda_identity": 5.0, "pool": 6, "flip": True, "enlarge": 1.25, "width": 4, "blocks": 1,
    "kernel": 7, "discriminator_width": 4, "discriminator_layers": 1,
    **SIZES,
}  # fmt: skip
RECIPE = Recipe(
    iterations=6, batch=8, lr=1e-3, warmup=0.1, weight_decay=5e-4, label_smoothing=0.1, flip=0.5,
    crop_padding=0.1, erasing=0.5,
)  # fmt: skip
STOPS_AFTER = 3


class Stopped(Exception):
    """A kill."""


class Stopping(Checkpoint):
    """Saves after every iteration and stops at the third."""

    saves = 0

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.saves += 1
        if self.saves == STOPS_AFTER:
            raise Stopped


def gan(compute: Compute, checkpoint: Checkpoint | None = None) -> Any:
    """CR-GAN, 6 iterations, 3 of them with two updates of G; D_d draws noise."""
    section = {**GAN, **SIZES}
    trained = crgan.train(
        task(), *judges(), LOSS, section, seed=3, checkpoint=checkpoint, compute=compute
    )
    return {"state": trained.file["state"], "losses": trained.history.rows}


def classifier(compute: Compute, checkpoint: Checkpoint | None = None) -> Any:
    """A classifier without batch norm, which torch shares on GPUs alone; every augmentation."""
    source = task().source
    torch.manual_seed(5)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1),
        nn.Flatten(), nn.Linear(8 * HEIGHT * WIDTH // 16, len(PIDS)),
    )  # fmt: skip
    how = RECIPE.augmentation(HEIGHT)
    drawn = batches.TrainBatches(
        source.images, np.arange(len(source)) % len(PIDS), RECIPE.batch, how, 3
    )
    history = train(net.train(), drawn, RECIPE, checkpoint=checkpoint, compute=compute)
    return {"state": plain(net), "losses": history.rows}


def d_id(compute: Compute) -> Any:
    """D_id, which has batch norm."""
    file, history = pretrain_id(task().source, Start("small", 4), RECIPE, seed=3, compute=compute)
    return {"state": file["state"], "losses": history.rows}


def tuned(real_share: float, compute: Compute = PLAIN) -> Any:
    """D_id, its batch norm frozen, on images that an untrained GAN renders as it goes."""
    net, whole = judges()[0].net, enlarged(task())
    torch.manual_seed(5)
    generator = crgan.Generator(4, 2)
    renderer = crgan.ContextRenderer(generator.eval(), whole, flip=True)
    recipe = Recipe(iterations=6, batch=8, lr=1e-3, flip=0.5, crop_padding=0.1)
    file = reid_file(net, PIDS, (2 * HEIGHT, 2 * WIDTH), "none")  # type: ignore[arg-type]
    plan = FineTuning(recipe, "frozen", real_share)
    found, history = fine_tuning.finetune(
        file, whole.source, renderer, plan, seed=3, name="d_id.pt", compute=compute
    )
    return {"state": found["state"], "losses": history.rows}


def enlarged(t: Task) -> Task:
    """A task of images twice as high and wide: a re-id file of smaller ones is refused."""

    def large(x: Any) -> Any:
        return np.asarray(x).repeat(2, axis=1).repeat(2, axis=2)

    source, target = (replace(split, images=large(split.images)) for split in (t.source, t.target))
    masks = large(t.source_masks), large(t.target_masks)
    return Task(source, target, *masks, 2 * t.height, 2 * t.width)


def translated(compute: Compute) -> Any:
    """CycleGAN, whose history of images overflows.

    Its generators' biases are left out: an instance norm behind them takes them away again, so that
    rounding alone moves them.
    """
    trained = cyclegan.train(task(), CYCLEGAN, seed=3, compute=compute)
    state = {
        f"{way}.{name}": value
        for way in ("ab", "ba")
        for name, value in trained.file[way]["state"].items()
        if not name.endswith("bias")
    }
    return {"state": state, "losses": trained.history.rows}


def trainings(compute: Compute) -> dict[str, dict[str, Any]]:
    """What the kinds of training end with: tensors and losses, by their names."""
    return {
        "gan": gan(compute), "classifier": classifier(compute), "finetune": tuned(0.0, compute),
    }  # fmt: skip


def variants(compute: Compute) -> dict[str, dict[str, Any]]:
    """The same of some more."""
    return {"cyclegan": translated(compute), "finetune, half real": tuned(0.5, compute)}


@contextmanager
def doubles() -> Iterator[None]:
    """Networks and images of float64."""
    to_gan = batches.to_gan
    with pytest.MonkeyPatch.context() as patch:
        for module in (batches, pairs, fine_tuning):
            patch.setattr(module, "to_gan", lambda images: to_gan(images).double())
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def main(folder: Path) -> None:
    """The share of one process; the first one saves what came out."""
    torch.set_num_threads(1)
    two = Compute(processes=2).launch()
    if not shares.writer():
        checkpoints.save_torch = lambda path, state: pytest.fail("a second writer")
    found: dict[str, Any] = {"float32": trainings(two)}
    with doubles():
        found["float64"] = trainings(two) | variants(two)
    with pytest.raises(UserError, match=r"run.batch_norm is 'sync'.*set run.batch_norm to local"):
        d_id(two)
    found["local"] = d_id(Compute(processes=2, batch_norm="local").launch())
    # checkpoints that one process left, and checkpoints for one process
    found["resumed"] = {
        name: training(two, Checkpoint(folder / f"{name}-by-one.pt", 1e9))
        for name, training in RESUMED.items()
    }
    for name, training in RESUMED.items():
        with pytest.raises(Stopped):
            training(two, Stopping(folder / f"{name}-by-two.pt", 0))
    if shares.writer():
        torch.save(found, folder / "found.pt")


RESUMED = {"gan": gan, "classifier": classifier}


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"
    main(Path(sys.argv[1]))
