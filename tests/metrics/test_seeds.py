"""Mean and spread over seeds."""

from __future__ import annotations

import math
import statistics

import pytest

from crgan.metrics.seeds import over_seeds


def test_two_seeds_by_hand() -> None:
    result = over_seeds([50.0, 53.0])
    assert result.mean == 51.5
    assert result.std == pytest.approx(3 / math.sqrt(2))  # sqrt((1.5^2 + 1.5^2) / 1)
    assert result.seeds == 2


def test_one_seed_has_no_spread() -> None:
    assert over_seeds([41.2]).std is None
    assert over_seeds([41.2]).mean == 41.2


def test_agrees_with_the_standard_library_in_any_order() -> None:
    values = [0.1, 0.2, 0.3, 1e6, -7.0]
    result = over_seeds(values)
    assert result.std == pytest.approx(statistics.stdev(values))
    assert over_seeds(reversed(values)) == result


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_unmeasured_cells_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"seed|finite"):
        over_seeds(values)
