"""One measured value from several seeds: mean and spread."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class SeedStatistics:
    """Mean and sample standard deviation (ddof = 1) of one metric over seeds."""

    mean: float
    std: float | None
    """None with a single seed: one run says nothing about spread, and 0 would claim it does."""
    seeds: int


def over_seeds(values: Iterable[float]) -> SeedStatistics:
    """Mean and spread of the same cell measured with different seeds, whatever their order.

    Raises:
        ValueError: no value, or one that is not finite (a cell not measured is no cell).
    """
    measured = [float(value) for value in values]
    if not measured:
        raise ValueError("no seed was measured: leave the cell empty")
    if not all(math.isfinite(value) for value in measured):
        raise ValueError(f"a value is not finite: {measured}")
    count = len(measured)
    # fsum is exact, so the order in which runs finished cannot show in the last digit.
    mean = math.fsum(measured) / count
    if count == 1:
        return SeedStatistics(mean, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in measured) / (count - 1)
    return SeedStatistics(mean, math.sqrt(variance), count)
