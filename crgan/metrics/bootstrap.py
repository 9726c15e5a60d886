"""Bootstrap intervals over queries and seeds, for one method or for the difference of two.

A cell measured with S seeds on Q queries is an (S, Q) array: the same queries, answered by S
trainings. Seeds and queries are crossed, not nested, so each replicate draws seeds with
replacement and, once for all of them, queries with replacement (the "pigeonhole" bootstrap of Owen
2007). Drawing queries anew within each seed would count one query's luck S times as if it were
independent.

The difference of two methods is paired: the array holds, for each seed and query, the first
method's result minus the second's, so what makes a query or a seed easy for both cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crgan.common.settings import Natural, Within

_CHUNK = 1 << 22  # entries of 8 bytes drawn at a time


@dataclass(frozen=True)
class Settings:
    """Section `intervals` of the parameters.

    Attributes:
        confidence: share of the replicates inside an interval, between its percentiles.
        replicates: draws.
        seed: of the draws; equal inputs give equal intervals.
    """

    confidence: Annotated[float, Within(above=0, below=1)]
    replicates: Annotated[int, Within(least=100)]
    seed: Natural


@dataclass(frozen=True)
class Interval:
    """A mean and where it would lie with other queries and seeds.

    Attributes:
        value: mean of all entries.
        low, high: percentiles; None where there is one entry, which nothing can be drawn from.
        seeds, queries: what was drawn from; 1 of either means that it was not.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int
    queries: int

    @property
    def covers(self) -> str:
        """What the interval speaks of, in words."""
        if self.low is None:
            return "one value of one seed: no interval"
        over = [f"{self.queries} queries"] if self.queries > 1 else []
        if self.seeds > 1:
            over.append(f"{self.seeds} seeds")
        text = "interval over " + " and ".join(over)
        if self.seeds == 1:
            return f"{text}; 1 seed, so not over trainings"
        return f"{text}, too few to tell their spread" if self.seeds == 2 else text


def interval(values: ArrayLike, settings: Settings) -> Interval:
    """The mean of an (S, Q) array with its percentile interval.

    Args:
        values: a row a seed, a column a query; one column where a seed gives one number.

    Raises:
        ValueError: no entries, another shape, or entries that are not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"finite values by seed and query are needed, not {array.shape}")
    seeds, queries = array.shape
    mean = float(array.mean())
    if array.size == 1:
        return Interval(mean, None, None, seeds, queries)
    drawn = _drawn(queries, settings.replicates, settings.seed) @ array.T  # replicate, seed
    weights = _drawn(seeds, settings.replicates, settings.seed + 1)
    replicates = (drawn * weights).sum(axis=1)
    edge = (1 - settings.confidence) / 2
    low, high = np.quantile(replicates, [edge, 1 - edge])
    return Interval(mean, float(low), float(high), seeds, queries)


@lru_cache(maxsize=8)
def _drawn(count: int, replicates: int, seed: int) -> NDArray[np.float32]:
    """(replicates, count): the share each of `count` things has in a draw of as many.

    Kept, since all comparisons on one target draw from the same queries.
    """
    rng = np.random.default_rng(seed)
    shares = np.empty((replicates, count), dtype=np.float32)
    step = max(1, _CHUNK // count)
    for start in range(0, replicates, step):
        rows = min(step, replicates - start)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=rows)
        shares[start : start + rows] = drawn / count
    return shares
