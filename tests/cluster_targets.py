"""A tiny target, a CNN to start from and a kill, for tests of the methods that cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crgan.adaptation.base import Adapt, Target
from crgan.data.store import Split
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import reid_file
from crgan.train.checkpoint import Checkpoint

_NONE = np.zeros(0, np.int64)
NOBODY = Split(np.zeros((0, 32, 16, 3), np.uint8), _NONE, _NONE, _NONE)


def coloured_target(people: int = 4, each: int = 6) -> Target:
    """Noisy images 32x16, each person in a colour of its own, one person after the other."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 190, (people, 1, 1, 1, 3))
    noise = rng.integers(0, 60, (people, each, 32, 16, 3))
    images = (colours + noise).astype(np.uint8).reshape(-1, 32, 16, 3)
    return Target(images, np.ones(len(images), np.int64))


def start_file(classes: int = 3, origin: str = "none") -> dict[str, Any]:
    """A random CNN, with a classifier unless `classes` is 0."""
    torch.manual_seed(0)
    return reid_file(ReidNet("small", 4, classes), range(classes), (32, 16), origin, ["a note"])


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two re-id files are equal bit for bit."""
    tensors = all(torch.equal(a["state"][name], b["state"][name]) for name in a["state"])
    return tensors and {**a, "state": 0} == {**b, "state": 0}


class Killed(Exception):
    pass


def resumed(
    run: Callable[[Checkpoint], dict[str, Any]],
    saves: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:
    """The result of a run that is killed after so many saves, of any part, and run again."""
    path = folder / "checkpoint.pt"
    left = saves
    save = Checkpoint.save

    def save_and_die(self: Checkpoint, state: dict[str, Any]) -> None:
        nonlocal left
        save(self, state)
        left -= 1
        if left == 0:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_die)
        with pytest.raises(Killed):
            run(Checkpoint(path, every=0))
    torch.manual_seed(99)
    file = run(Checkpoint(path, every=0))
    # a round's part goes with it, but for that of a round that was killed on its last line
    assert len(list(folder.iterdir())) <= 2
    Checkpoint(path).remove()
    assert not list(folder.iterdir())
    return file


def adapted(
    adapt: Adapt, options: dict[str, Any], start: dict[str, Any], **rest: Any
) -> dict[str, Any]:
    """`adapt` on the coloured target, without a source."""
    rest = {"target": coloured_target(), "seed": 3, **rest}
    return adapt(start, NOBODY, options=options, **rest)
