"""CMC curves of a table's rows, for `dvc plots` and whoever draws them elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crgan.tables.printed import Printed, Row, cell_of
from crgan.tables.queries import FIRST, Queries
from crgan.tables.written import csv_writer

RANKS = 30
_HEADER = ("profile", "method", "source", "target", "seeds", "rank", "percent")


@dataclass(frozen=True)
class Curve:
    """A row's curve: its percent at rank 1, 2, ... `RANKS`, mean over seeds."""

    row: Row
    seeds: int
    percent: NDArray[np.float64]


def cmc(first: NDArray[np.number[Any]]) -> NDArray[np.float64]:
    """Percent of the queries whose first right image is at rank 1, 2, ... `RANKS` or before.

    Args:
        first: that rank, from 1, of each query (and seed); 0 for a query that the protocol drops.
    """
    kept = first[first > 0]
    ranks = np.arange(1, RANKS + 1)
    return 100.0 * (kept[None, :] <= ranks[:, None]).mean(axis=1)


def curves(
    printed: Printed, queries: Queries, methods: Mapping[str, Mapping[str, Any]]
) -> list[Curve]:
    """The curves of a table's rows in their order; rows that were not measured have none."""
    found = []
    for row in printed.rows:
        cell = cell_of(row, methods)
        if cell is None or cell.method is None:
            continue
        sample = queries.sample(cell.method, row.source, row.target, cell.pooling, FIRST)
        if sample is not None:
            found.append(Curve(row, len(sample.seeds), cmc(sample.values)))
    return found


def write_csv(path: str | Path, found: Iterable[Curve], profile: str) -> None:
    """A line for each curve and rank, columns `profile, method, source, target, seeds, rank,
    percent`: long, as charts want it.
    """
    with csv_writer(path) as writer:
        writer.writerow(_HEADER)
        for curve in found:
            row = curve.row
            keys = [profile, row.method, row.source, row.target, curve.seeds]
            for rank, percent in enumerate(curve.percent, 1):
                writer.writerow([*keys, rank, f"{percent:.2f}"])
