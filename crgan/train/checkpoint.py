"""Resumable training: everything a run needs to go on as if it had not been stopped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from crgan.common import shares
from crgan.common.errors import UserError
from crgan.common.io import load_torch, save_torch


class Checkpoint:
    """One file in the scratch folder, named by the identity of the computation.

    The workflow deletes the declared outputs of a failed job, so a checkpoint must not be one. The
    name holds the parameters, inputs and code, so that a run is never resumed under others.

    Args:
        path: the checkpoint's file.
        every: seconds between saves; 0 saves at every call (tests).
    """

    def __init__(self, path: Path, every: float = 60.0) -> None:
        self.path = path
        self.every = every
        self._last = time.monotonic()

    def exists(self) -> bool:
        """Whether an earlier run of this computation left something to go on with."""
        return any(self.path.parent.glob(f"{self.path.stem}*{self.path.suffix}"))

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None to start afresh. A damaged file is put aside, not trusted."""
        if not self.path.is_file():
            return None
        try:
            return load_torch(self.path)
        except UserError:
            if shares.writer():
                self.path.rename(self.path.with_suffix(".damaged"))
            return None

    def due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() - self._last >= self.every

    def save(self, state: dict[str, Any]) -> None:
        """Write the state atomically. Of several processes, which are all in it, one writes."""
        if shares.writer():
            save_torch(self.path, state)
        self._last = time.monotonic()

    def part(self, name: str) -> Checkpoint:
        """The checkpoint of a part of the computation; it goes when this one is removed."""
        return Checkpoint(self.path.with_name(f"{self.path.stem}.{name}.pt"), self.every)

    def remove(self) -> None:
        """Called when the stage's outputs are safely written."""
        for part in self.path.parent.glob(f"{self.path.stem}.*.pt"):
            part.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def random_state() -> dict[str, Any]:
    """torch's random state (CPU, and CUDA where used), from which noise and dropout are drawn."""
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what `random_state` saved. Of several processes each draws on its own GPU what the
    one that saved it drew on its own."""
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
