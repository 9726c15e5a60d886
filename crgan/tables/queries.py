"""Each query's own result, read from what `evaluate` wrote; its means are the tables' rates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import load_arrays, read_json
from crgan.pipeline.records import record_path
from crgan.tables.scores import WhyStale

_RANKS = {"R1": 1, "R5": 5, "R10": 10}
RATES = (*_RANKS, "mAP")
FIRST = "first"  # no rate: the rank of the first right image, from 1


@dataclass(frozen=True)
class Sample:
    """A cell's values of one metric.

    Attributes:
        seeds: ascending.
        values: (S, Q): a row a seed, a column a query; one column where a seed gives one number.
        queries: rows of the queries in the target's manifest; None where there are none.
    """

    seeds: tuple[int, ...]
    values: NDArray[np.float64] = field(repr=False)
    queries: NDArray[np.int32] | None = field(default=None, repr=False)

    def minus(self, other: Sample, what: str) -> Sample:
        """The paired difference, on the seeds that both have.

        Args:
            what: the two, for messages.

        Raises:
            UserError: no seed in common, or other queries.
        """
        seeds = tuple(sorted(set(self.seeds) & set(other.seeds)))
        if not seeds:
            raise UserError(f"{what}: no seed in common; measure both with the same seeds")
        same = (self.queries is None) == (other.queries is None) and (
            self.queries is None or np.array_equal(self.queries, np.asarray(other.queries))
        )
        if not same:
            raise UserError(
                f"{what}: scored on different queries, so their results cannot be paired; "
                "evaluate both again"
            )
        pick = [[s.seeds.index(seed) for seed in seeds] for s in (self, other)]
        return Sample(seeds, self.values[pick[0]] - other.values[pick[1]], self.queries)


@dataclass(frozen=True)
class _File:
    path: str
    arrays: Mapping[str, NDArray[Any]]


class Queries:
    """The per-query results of many cells.

    Args:
        paths: files `results/<profile>/queries/<method>/<source>-<target>/seed<N>.npz`.
        profile: the present profile.
        why_stale: says why a file is not current, or None; None takes them as they are.

    Raises:
        UserError: a file that is stale, of another profile, or no such file.
    """

    def __init__(
        self, paths: Iterable[str | Path], *, profile: str, why_stale: WhyStale | None = None
    ) -> None:
        self._files: dict[tuple[str, str, str], dict[int, _File]] = {}
        for path in sorted({str(path) for path in paths}):
            reason = why_stale(path) if why_stale else None
            if reason:
                raise UserError(f"{path}: not current: {reason}; measure it again (snakemake does)")
            cell = _cell_of(path)
            if cell["profile"] != profile:
                raise UserError(f"{path}: of profile {cell['profile']!r}, not {profile!r}")
            key = (cell["method"], cell["source"], cell["target"])
            file = _File(path, load_arrays(path))
            self._files.setdefault(key, {})[int(cell["seed"])] = file

    def sample(
        self, method: str, source: str, target: str, pooling: str, metric: str
    ) -> Sample | None:
        """A cell's values of a metric (`rates`); None where the cell or the pooling was not
        measured.

        Queries that the protocol drops (no true match before another camera) are left out.

        Raises:
            UserError: files that do not hold what `evaluate` writes, or seeds on other queries.
        """
        files = self._files.get((method, source, target), {})
        if not files or f"first_{pooling}" not in next(iter(files.values())).arrays:
            return None
        found, rows = [], []
        for _, file in sorted(files.items()):
            try:
                values = rates(file.arrays, pooling, metric)
                kept = file.arrays[f"first_{pooling}"] > 0
                found.append(values[kept])
                rows.append(file.arrays["query_rows"][kept])
            except (KeyError, IndexError) as error:
                raise UserError(f"{file.path}: holds no {error}; evaluate it again") from None
            if not np.array_equal(rows[0], rows[-1]):
                raise UserError(f"{file.path}: scored on other queries than seed {min(files)}")
        return Sample(tuple(sorted(files)), np.stack(found), rows[0])


def rates(arrays: Mapping[str, NDArray[Any]], pooling: str, metric: str) -> NDArray[np.float64]:
    """(Q,) of one metric in percent: 0 or 100 for a rank, the average precision for mAP; for
    `FIRST`, ranks.
    """
    if metric == "mAP":
        return np.multiply(100, arrays[f"ap_{pooling}"], dtype=np.float64)
    first = arrays[f"first_{pooling}"]
    if metric == FIRST:
        return first.astype(np.float64)
    right = (first > 0) & (first <= _RANKS[metric])
    return np.multiply(100, right, dtype=np.float64)


def _cell_of(path: str) -> dict[str, Any]:
    record = read_json(record_path(path))
    try:
        cell = dict(record["cell"])
        _ = cell["profile"], cell["method"], cell["source"], cell["target"], int(cell["seed"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{record_path(path)}: not the record of a scored cell") from None
    return cell
