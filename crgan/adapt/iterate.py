"""The loop around methods whose iteration has several losses: bar, divergence, checkpoints."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from crgan.common.errors import UserError
from crgan.pipeline.progress import bar_range
from crgan.train.checkpoint import Checkpoint

Row: TypeAlias = dict[str, float]

_ROWS = 50


class Learning(Protocol):
    """Networks, optimizers and batches, one iteration after the other."""

    def step(self, t: int) -> dict[str, Tensor]:
        """Iteration t, from 0; its losses by name, the same names in every iteration."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that moves, as tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved one stood."""
        ...


def iterate(
    name: str, learning: Learning, iterations: int, checkpoint: Checkpoint | None = None
) -> list[Row]:
    """Run the iterations that are left; a run goes on bit for bit where it was stopped.

    Args:
        name: on the bar and in messages.
        learning: what is trained, in place.
        iterations: of the whole training.
        checkpoint: saved into when due, and resumed from when it holds something.

    Returns:
        About 50 rows of mean losses since the row before, with `iteration`; the last row is at the
        last iteration.

    Raises:
        UserError: a loss is no longer finite.
    """
    done, rows, pending = 0, list[Row](), list[Tensor]()
    if checkpoint and (saved := checkpoint.load()):
        learning.load_state_dict(saved["learning"])
        done, rows, pending = saved["done"], saved["rows"], list(saved["pending"])
    every = max(1, iterations // _ROWS)
    bar = bar_range(done, iterations, initial=done, total=iterations, desc=name, mininterval=1)
    for t in bar:
        losses = learning.step(t)
        # They stay on the device: to read one every iteration is to wait for it every iteration.
        pending.append(torch.stack([loss.detach() for loss in losses.values()]))
        last = t + 1 == iterations
        if last or (t + 1) % every == 0:
            rows.append(_row(name, t + 1, tuple(losses), pending))
            pending = []
            bar.note(t + 1, rows[-1])
        if checkpoint and checkpoint.due() and not last:
            saved = {"learning": learning.state_dict(), "done": t + 1, "rows": rows}
            checkpoint.save({**saved, "pending": [p.cpu() for p in pending]})
    return rows


def _row(name: str, iteration: int, names: tuple[str, ...], pending: list[Tensor]) -> Row:
    values = torch.stack([p.cpu() for p in pending]).double()
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        row, column = bad[0].tolist()
        raise UserError(
            f"{name}: {names[column]} is {values[row, column].item()} in iteration "
            f"{iteration - len(pending) + row + 1}; the training diverged: lower its lr"
        )
    return {"iteration": float(iteration), **dict(zip(names, values.mean(0).tolist(), strict=True))}
