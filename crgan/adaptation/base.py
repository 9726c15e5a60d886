"""Where a feature-level method is added: one file of this folder, one line of `methods`.

A method is a module `crgan/adaptation/<model>.py` with a function `adapt` of the type `Adapt`;
`model` is what its line says, or its name (docs/extending.md). It starts from a re-id CNN (`start`:
the source-trained one, one fine-tuned on renderings, or a fresh one that knows no re-id data) and
gives a re-id CNN. A module that needs tracklets says so by `TRACKLETS = True`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.data.store import Split
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute


@dataclass(frozen=True)
class Target:
    """What a method may know of the target's training split; n images.

    Attributes:
        images: uint8 (n, H, W, 3).
        camid: int64 (n,).
        tracklet: int64 (n,), which images of one camera show one person: numbers from 0, no two
            cameras share one; None, where the method has not asked for them.
    """

    images: NDArray[np.uint8]
    camid: NDArray[np.int64]
    tracklet: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.images)


class Adapt(Protocol):
    """The type of `adapt`."""

    def __call__(
        self,
        start: Mapping[str, Any],
        source: Split,
        target: Target,
        options: Mapping[str, Any],
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        compute: Compute = PLAIN,
    ) -> dict[str, Any]:
        """Adapt a re-id CNN to the target.

        Args:
            start: re-id file (`crgan.reid.model_file`) to begin with.
            source: labelled train split of the source, with its people's attributes.
            target: what may be known of the target.
            options: the method's own: `adaptation.<model>` of the parameters with the profile's
                scale and the cell's options over it. An unknown key is a `UserError`.
            seed: every random choice follows from it.
            checkpoint: for long training; saved into when due, resumed from.
            compute: on what, and in which number format; in one process.

        Returns:
            A re-id file; one without classifier (`pids` empty), where its classes are no pids.
        """
        ...


def method(model: str) -> Adapt:
    """The function `adapt` of `crgan/adaptation/<model>.py`.

    Raises:
        UserError: no such method, with the list of those there are.
    """
    return cast(Adapt, _module(model).adapt)


def target_of(model: str, split: Split, seed: int) -> Target:
    """The target's training split as the method may see it.

    Tracklets are numbered in an order drawn by `seed`, so that their numbers say nothing.

    Raises:
        UserError: no such method, or it needs tracklets and the target's people have no pids.
    """
    if not getattr(_module(model), "TRACKLETS", False):
        return Target(split.images, split.camid)
    if (split.pid < 0).any():
        raise UserError(
            f"{model} needs to know which images of a camera show one person, and this target "
            "does not say; choose a method that needs no tracklets"
        )
    pairs = np.stack((split.camid, split.pid), axis=1)
    groups, tracklet = np.unique(pairs, axis=0, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(groups))
    return Target(split.images, split.camid, order[tracklet.reshape(-1)])


def _module(model: str) -> ModuleType:
    folder = Path(__file__).parent
    known = sorted(f.stem for f in folder.glob("*.py") if _has_adapt(f))
    if model not in known:
        raise UserError(f"no adaptation method {model!r}; crgan/adaptation has {', '.join(known)}")
    return importlib.import_module(f"crgan.adaptation.{model}")


def _has_adapt(path: Path) -> bool:
    return "\ndef adapt(" in path.read_text(encoding="utf-8")
