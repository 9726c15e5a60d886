"""Where a hand-crafted system is added: one file of this folder, one line of `methods`.

A system is a module `crgan/handcrafted/<model>.py` with a function `fit` of the type `Fit`; `model`
is what its line says, or its name (docs/extending.md). It learns what it needs from the training
splits and gives a function that describes images; these descriptions are ranked as features are.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.data.store import Split

Describe = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images uint8 (n, H, W, 3) to features float32 (n, D), row for row."""


class Fit(Protocol):
    """The type of `fit`."""

    def __call__(
        self,
        source: Split,
        target: Split,
        options: Mapping[str, Any],
        *,
        seed: int,
        threads: int,
    ) -> Describe:
        """Learn what the system needs, nothing for most.

        Args:
            source: train split of the source, with its pids.
            target: train split of the target; its pids are all -2, unknown.
            options: the system's own: `handcrafted.<model>` of the parameters with the profile's
                scale and the cell's options over it. An unknown key is a `UserError`.
            seed: every random choice follows from it.
            threads: CPU threads it may use.

        Returns:
            What describes images of the size of the splits.
        """
        ...


def system(model: str) -> Fit:
    """The function `fit` of `crgan/handcrafted/<model>.py`.

    Raises:
        UserError: no such system, with the list of those there are.
    """
    folder = Path(__file__).parent
    known = sorted(f.stem for f in folder.glob("*.py") if _has_fit(f))
    if model not in known:
        raise UserError(f"no hand-crafted system {model!r}; crgan/handcrafted has {known}")
    return cast(Fit, importlib.import_module(f"crgan.handcrafted.{model}").fit)


def _has_fit(path: Path) -> bool:
    return "\ndef fit(" in path.read_text(encoding="utf-8")
