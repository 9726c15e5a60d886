"""Trainings that one process and two must do alike; run by `tests/train/test_distributed.py`.

python -m tests.distributed_worker FOLDER        # as one of the processes torchrun would start
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from crgan.data import batches
from crgan.gan import crgan, m2mgan, pairs
from crgan.gan.base import Trained
from crgan.reid import finetune as fine_tuning
from crgan.reid.finetune import FineTuning
from crgan.reid.model_file import reid_file
from crgan.reid.pretrain import Start, pretrain_id
from crgan.train import checkpoint as checkpoints
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe
from crgan.train.compute import PLAIN, Compute
from crgan.train.history import History
from tests.gan_fakes import GAN, HEIGHT, LOSS, PIDS, WIDTH, judges, task

SIZES = {"iterations": 6, "batch": 4, "history_every": 4, "sample_every": 6}
CYCLEGAN = {
    "lr": 2e-4, "adam_betas": [0.5, 0.999], "constant_share": 0.5, "lambda_cycle": 10.0,
    "lambda_identity": 5.0, "pool": 6, "flip": True, "enlarge": 1.25, "width": 4, "blocks": 1,
    "kernel": 7, "discriminator_width": 4, "discriminator_layers": 1,
    "lambda_view": 1.0, "view_width": 4,
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


def gan(checkpoint: Checkpoint | None = None, **changes: Any) -> Trained:
    """CR-GAN, 6 iterations, 3 of them with two updates of G; D_d draws noise."""
    section = {**GAN, **SIZES, **changes}
    return crgan.train(task(), *judges(), LOSS, section, seed=3, checkpoint=checkpoint)


def d_id(checkpoint: Checkpoint | None = None, compute: Compute = PLAIN) -> Any:
    """D_id, from random weights, with every augmentation."""
    source = task().source
    return pretrain_id(
        source, Start("small", 4), RECIPE, seed=3, checkpoint=checkpoint, compute=compute
    )


def tuned(real_share: float) -> Any:
    """D_id on pictures that an untrained GAN renders as it goes."""
    net, whole = judges()[0].net, task()
    torch.manual_seed(5)
    generator = crgan.Generator(4, 2)
    renderer = crgan.ContextRenderer(generator.eval(), whole, flip=True)
    recipe = Recipe(iterations=6, batch=8, lr=1e-3, flip=0.5, crop_padding=0.1)
    file = reid_file(net, PIDS, (HEIGHT, WIDTH), "none")  # type: ignore[arg-type]
    plan = FineTuning(recipe, real_share=real_share)
    return fine_tuning.finetune(file, whole.source, renderer, plan, seed=3, name="d_id.pt")


def translated() -> Any:
    """M2M-GAN, of the CycleGAN family the one with batch norm; its history of pictures overflows.

    Its generators' biases are left out: an instance norm behind them takes them away again, so that
    rounding alone moves them.
    """
    trained = m2mgan.train(task(), CYCLEGAN, seed=3)
    state = {
        f"{way}.{name}": value
        for way in ("ab", "ba")
        for name, value in trained.file[way]["state"].items()
        if not name.endswith("bias")
    }
    return {"state": state, "losses": trained.history.rows}


def trainings() -> dict[str, dict[str, Any]]:
    """What the three kinds of training end with: tensors and losses, by their names."""
    return {
        "gan": _of_gan(gan()),
        "d_id": _of_reid(*d_id()),
        "finetune": _of_reid(*tuned(0.0)),
    }


def variants() -> dict[str, dict[str, Any]]:
    """The same of some more."""
    return {
        "gan, batch norm": _of_gan(gan(discriminator_norm="batch")),
        "m2mgan": translated(),
        "finetune, half real": _of_reid(*tuned(0.5)),
    }


def _of_gan(trained: Trained) -> dict[str, Any]:
    return {"state": trained.file["state"], "losses": trained.history.rows}


def _of_reid(file: dict[str, Any], history: History) -> dict[str, Any]:
    return {"state": file["state"], "losses": history.rows}


@contextmanager
def doubles() -> Iterator[None]:
    """Networks and pictures of float64."""
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
    distributed.start("cpu")
    if not distributed.writer():
        checkpoints.save_torch = lambda path, state: pytest.fail("a second writer")
    found: dict[str, Any] = {"float32": trainings()}
    with doubles():
        found["float64"] = trainings() | variants()
    found["local"] = _of_reid(*d_id(compute=Compute(batch_norm="local")))
    # checkpoints that one process left, and checkpoints for one process
    found["resumed"] = {
        "gan": _of_gan(gan(Checkpoint(folder / "gan-by-one.pt", 1e9))),
        "d_id": _of_reid(*d_id(Checkpoint(folder / "d_id-by-one.pt", 1e9))),
    }
    for name, train in (("gan", gan), ("d_id", d_id)):
        with pytest.raises(Stopped):
            train(Stopping(folder / f"{name}-by-two.pt", 0))
    if distributed.writer():
        torch.save(found, folder / "found.pt")
    distributed.stop()


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"
    main(Path(sys.argv[1]))
