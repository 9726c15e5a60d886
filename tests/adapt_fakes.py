"""A small made-up source and target for the tests of adaptation, and a checkpoint that dies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from crgan.adaptation.base import Target
from crgan.data.store import Split
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import reid_file
from crgan.train.checkpoint import Checkpoint

SIZE = (32, 16)
PIDS = (4, 7, 9, 31)
SOLVER: dict[str, Any] = {
    "iterations": 4, "lr": 0.05, "backbone_lr_scale": 0.5, "momentum": 0.9, "weight_decay": 5e-4,
    "step_at": 0.5, "flip": 0.5, "crop_padding": 0.04,
}  # fmt: skip


class Killed(Exception):
    pass


class KilledAfter(Checkpoint):
    """Saves whenever it is asked to and dies after the n-th save, its parts' saves counted."""

    def __init__(self, path: Path, saves: int, counter: list[int] | None = None) -> None:
        super().__init__(path, every=0)
        self.left = [saves] if counter is None else counter

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.left[0] -= 1
        if self.left[0] == 0:
            raise Killed

    def part(self, name: str) -> Checkpoint:
        return KilledAfter(self.path.with_name(f"{self.path.stem}.{name}.pt"), 0, self.left)


def people(attributes: bool = True) -> Split:
    """Two junk images, then four people, four images each; colours tell them apart."""
    pid = np.array([-1, 0] + [p for p in PIDS for _ in range(4)])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 40, (len(pid), *SIZE, 3))
    for image, p in zip(images, pid, strict=True):
        image += np.random.default_rng(abs(p)).integers(0, 180, 3)
    rows = np.arange(len(pid))
    known = {
        "age": np.where(pid > 0, pid % 4 + 1, 0),
        "hat": np.where(pid > 7, 2, 1) * (pid > 0),
        "top": np.where(pid == 4, 0, 2),  # unknown of a person, as in DukeMTMC-reID's file
    }
    return Split(images.astype(np.uint8), pid, rows % 2 + 1, rows, known if attributes else {})


def target(n: int = 9) -> Target:
    """Images of cameras 2, 3 and 5, the first dark and the last light."""
    camid = np.array([2, 3, 5])[np.arange(n) % 3]
    images = (
        np.random.default_rng(5).integers(0, 90, (n, *SIZE, 3)) + 30 * camid[:, None, None, None]
    )
    return Target(np.minimum(images, 255).astype(np.uint8), camid)


def fresh(size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """A re-id file without classifier."""
    torch.manual_seed(2)
    return reid_file(ReidNet("small", 4, 0), [], size, "none", ["a note"])


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    same = all(torch.equal(a["state"][k], b["state"][k]) for k in a["state"])
    return same and {**a, "state": 0} == {**b, "state": 0}
