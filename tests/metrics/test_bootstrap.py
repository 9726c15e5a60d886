"""Bootstrap intervals against cases worked out by hand, and their coverage on known data."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.metrics.bootstrap import Interval, Settings, interval

SETTINGS = Settings(confidence=0.95, replicates=4000, seed=0)


def test_equal_differences_leave_no_doubt() -> None:
    found = interval(np.full((3, 50), 7.0), SETTINGS)
    assert (found.value, found.seeds, found.queries) == (7.0, 3, 50)
    assert found.low == pytest.approx(7.0, abs=1e-4)
    assert found.high == pytest.approx(7.0, abs=1e-4)


def test_two_queries_worked_out_by_hand() -> None:
    """Draws of two from (0, 1): means 0, 0.5, 1 with 1/4, 1/2, 1/4."""
    outer = interval([[0.0, 1.0]], SETTINGS)
    assert (outer.value, outer.low, outer.high) == (0.5, 0.0, 1.0)
    inner = interval([[0.0, 1.0]], Settings(0.45, 4000, 0))  # between 27.5 % and 72.5 %
    assert (inner.low, inner.high) == (0.5, 0.5)


def test_seeds_and_queries_are_crossed() -> None:
    """Two seeds and two queries, by counting all 4 x 4 equally likely draws.

    Drawn crossed, a query that is bad in both seeds is drawn in both; nested draws of queries would
    give other probabilities.
    """
    values = np.array([[0.0, 8.0], [2.0, 20.0]])
    exact: Counter[float] = Counter()
    for s in product(range(2), repeat=2):
        for q in product(range(2), repeat=2):
            exact[float(values[np.ix_(s, q)].mean())] += 1 / 16
    ordered = sorted(exact.items())
    total, quantiles = 0.0, {}
    for value, share in ordered:
        for edge in (0.1, 0.9):
            if total < edge < total + share:
                quantiles[edge] = value
        total += share
    found = interval(values, Settings(0.8, 20_000, 0))
    assert found.value == 7.5
    assert found.low == pytest.approx(quantiles[0.1], abs=1e-5)
    assert found.high == pytest.approx(quantiles[0.9], abs=1e-5)


def test_queries_that_are_luck_of_the_draw_do_not_get_certain_by_more_seeds() -> None:
    """The same queries answered alike by ten seeds: as uncertain as with one."""
    one = np.random.default_rng(1).normal(size=(1, 60))
    single, many = interval(one, SETTINGS), interval(np.repeat(one, 10, axis=0), SETTINGS)
    assert many.low == pytest.approx(single.low, abs=1e-5)
    assert many.high == pytest.approx(single.high, abs=1e-5)


@pytest.mark.parametrize("seeds", [1, 12])
def test_coverage_on_known_data(seeds: int) -> None:
    """The true mean lies in about 95 of 100 intervals, with effects of queries and of seeds."""
    rng = np.random.default_rng(2)
    settings = Settings(0.95, 1000, 0)
    trials, hit = 400, 0
    for _ in range(trials):
        query = rng.normal(size=(1, 80))
        seed = 0.3 * rng.normal(size=(seeds, 1)) if seeds > 1 else np.zeros((1, 1))
        found = interval(1.0 + query + seed + 0.5 * rng.normal(size=(seeds, 80)), settings)
        assert found.low is not None
        assert found.high is not None
        hit += found.low <= 1.0 <= found.high
    assert 0.91 < hit / trials < 0.985


def test_half_the_confidence_covers_half() -> None:
    rng = np.random.default_rng(3)
    settings = Settings(0.5, 500, 0)
    found = [interval(rng.normal(size=(1, 100)), settings) for _ in range(400)]
    share = np.mean(
        [i.low <= 0 <= i.high for i in found if i.low is not None and i.high is not None]
    )
    assert 0.43 < share < 0.57


def test_equal_inputs_give_equal_intervals_and_another_seed_others() -> None:
    values = np.random.default_rng(4).normal(size=(2, 40))
    assert interval(values, SETTINGS) == interval(values.copy(), SETTINGS)
    assert interval(values, SETTINGS) != interval(values, Settings(0.95, 4000, 9))


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 1), "one value of one seed: no interval"),
        ((1, 9), "interval over 9 queries; 1 seed, so not over trainings"),
        ((2, 9), "interval over 9 queries and 2 seeds, too few to tell their spread"),
        ((3, 9), "interval over 9 queries and 3 seeds"),
        ((3, 1), "interval over 3 seeds"),
    ],
)
def test_what_an_interval_covers(shape: tuple[int, int], words: str) -> None:
    found = interval(np.arange(np.prod(shape), dtype=float).reshape(shape), SETTINGS)
    assert found.covers == words
    assert (found.low is None) == (shape == (1, 1))


def test_one_number_a_seed() -> None:
    found = interval([[1.0], [3.0]], SETTINGS)
    assert found == Interval(2.0, 1.0, 3.0, 2, 1)


def test_what_cannot_be_drawn_from_is_refused() -> None:
    for values in (np.zeros((0, 3)), np.zeros(3), [[np.nan, 1.0]]):
        with pytest.raises(ValueError, match="finite values by seed and query"):
            interval(values, SETTINGS)
    with pytest.raises(UserError, match="confidence"):
        settings_from(Settings, {"confidence": 1.0, "replicates": 1000, "seed": 0}, "intervals")
    with pytest.raises(UserError, match="replicates"):
        settings_from(Settings, {"confidence": 0.95, "replicates": 10, "seed": 0}, "intervals")
