"""Where a feature-level method is added: one file of this folder, one entry of the matrix.

A method is a module `crgan/adapt/<model>.py` with a function `adapt` of the type `Adapt`; `model`
is the name in `matrix.adapt` of the parameters. It starts from a re-id CNN, the source-trained one
or one fine-tuned on renderings, and gives a re-id CNN.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from crgan.data.store import Split
from crgan.run.checkpoint import Checkpoint
from crgan.run.errors import UserError


class Adapt(Protocol):
    """The type of `adapt`."""

    def __call__(
        self,
        start: Mapping[str, Any],
        source: Split,
        target: Split,
        options: Mapping[str, Any],
        *,
        seed: int,
        device: str,
        checkpoint: Checkpoint | None = None,
    ) -> dict[str, Any]:
        """Adapt a re-id CNN to the target.

        Args:
            start: re-id file (`crgan.reid.model_file`) to begin with.
            source: labelled train split of the source.
            target: train split of the target; its pids must not be looked at.
            options: the method's own, `methods.<method>.options` of the parameters. An unknown
                key is a `UserError`.
            seed: every random choice follows from it.
            device: "cpu" or "cuda".
            checkpoint: for long training; saved into when due, resumed from.

        Returns:
            A re-id file.
        """
        ...


def method(model: str) -> Adapt:
    """The function `adapt` of `crgan/adapt/<model>.py`.

    Raises:
        UserError: no such method, with the list of those there are.
    """
    folder = Path(__file__).parent
    known = sorted(f.stem for f in folder.glob("*.py") if f.stem not in ("__init__", "base"))
    if model not in known:
        raise UserError(f"no adaptation method {model!r}; crgan/adapt has {', '.join(known)}")
    found: Adapt = importlib.import_module(f"crgan.adapt.{model}").adapt
    return found
