"""Losses and learning rates of a training, averaged over short stretches."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crgan.common.errors import UserError
from crgan.common.io import atomic_path

Row = dict[str, float]


class History:
    """One row for every `every` iterations: plain means of the losses, the last learning rate.

    Losses stay on their device until a row is due; to read each one would make the processor wait
    for the device at every iteration.

    Args:
        losses: names of the losses, the columns after `iteration` and `lr`; those of the first
            iteration, if empty.
        every: iterations in a row.
        name: of the training, for messages.
    """

    def __init__(self, losses: tuple[str, ...], every: int, name: str = "") -> None:
        self.losses = losses
        self.every = every
        self.name = name
        self.iteration = 0  # iterations noted so far
        self.rows: list[Row] = []
        self._names: list[str] = []
        self._pending: list[Tensor] = []

    def add(self, lr: float, losses: Mapping[str, Tensor]) -> None:
        """Note the next iteration. A loss that is not computed is left out, in every iteration.

        Raises:
            UserError: a loss since the last row is not finite.
        """
        self.iteration += 1
        self._names = list(losses)
        self.losses = self.losses or tuple(losses)
        self._pending.append(torch.stack([loss.detach() for loss in losses.values()]))
        if len(self._pending) == self.every:
            self.close(lr)

    def close(self, lr: float) -> None:
        """Make a row of the iterations since the last one, if there are any."""
        if self._pending:
            means = self._finite().mean(dim=0).tolist()
            row = {"iteration": self.iteration, "lr": lr}
            self.rows.append({**row, **dict(zip(self._names, means, strict=True))})
            self._pending.clear()

    def _finite(self) -> Tensor:
        """The pending losses, float64 (iterations, losses)."""
        values = torch.stack(self._pending).double().cpu()
        bad = (~values.isfinite()).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            where = f"{self.name}: iteration" if self.name else "iteration"
            raise UserError(
                f"{where} {self.iteration - len(values) + row + 1}: {self._names[column]} is "
                f"{values[row, column].item()}; the training diverged. Lower its lr, and look at "
                "the input images"
            )
        return values

    def state_dict(self) -> dict[str, Any]:
        """Rows and pending losses. Refuses, as `add`, what is not finite."""
        return {
            "iteration": self.iteration,
            "rows": list(self.rows),
            "losses": list(self.losses),
            "names": list(self._names),
            "pending": self._finite().float() if self._pending else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called."""
        self.iteration = state["iteration"]
        self.rows = list(state["rows"])
        self.losses = tuple(state["losses"])
        self._names = list(state["names"])
        self._pending = [] if state["pending"] is None else list(state["pending"])

    def mean(self, name: str) -> float:
        """Mean of a loss over all iterations so far; the last row must be closed."""
        last, total = 0.0, 0.0
        for row in self.rows:
            total += row[name] * (row["iteration"] - last)
            last = row["iteration"]
        return total / last

    def append(self, other: Mapping[str, Any]) -> None:
        """Add the rows of a training that followed this one: its `state_dict`."""
        self.rows += [{**r, "iteration": r["iteration"] + self.iteration} for r in other["rows"]]
        self.iteration += other["iteration"]

    def write(self, path: str | Path) -> None:
        """Write the rows as CSV; a loss that is not computed has empty cells."""
        with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            columns = ("lr", *self.losses)
            writer.writerow(("iteration", *columns))
            for row in self.rows:
                cells = [format(row[c], ".6g") if c in row else "" for c in columns]
                writer.writerow([int(row["iteration"]), *cells])
