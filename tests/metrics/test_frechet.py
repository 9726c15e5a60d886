"""The Frechet distance: closed forms, and pytorch-fid's own function."""

from __future__ import annotations

import numpy as np
import pytest
from pytorch_fid.fid_score import calculate_frechet_distance

from crgan.common.errors import UserError
from crgan.metrics import frechet
from crgan.metrics.frechet import Moments, frechet_distance

# pytorch-fid 0.3.0 calls scipy's sqrtm in a way that scipy 1.18 will drop; ours does not.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pytorch_fid")


def gaussian(mean: list[float], cov: np.ndarray) -> Moments:
    return Moments(1000, np.array(mean), None, np.array(cov, dtype=np.float64))


def features(count: int, dims: int = 24, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dims, dims)) * np.linspace(0.2, 2, dims)
    return (rng.normal(size=(count, dims)) @ mix + rng.normal(size=dims)).astype(np.float32)


def by_package(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    return float(
        calculate_frechet_distance(
            x.mean(axis=0), np.cov(x, rowvar=False), y.mean(axis=0), np.cov(y, rowvar=False)
        )
    )


def test_one_dimension_by_hand() -> None:
    # (3 - 0)^2 + (2 - 5)^2: means 3 apart, standard deviations 2 and 5.
    value = frechet_distance(gaussian([3], np.array([[4]])), gaussian([0], np.array([[25]])))
    assert value == pytest.approx(18)


def test_commuting_covariances_by_hand() -> None:
    # Rotated diagonals: |m1 - m2|^2 + sum (s_i - t_i)^2 over the common axes.
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    first = gaussian([1, 2], turn @ np.diag([1.0, 9.0]) @ turn.T)
    second = gaussian([1, 0], turn @ np.diag([4.0, 16.0]) @ turn.T)
    assert frechet_distance(first, second) == pytest.approx(4 + (1 - 2) ** 2 + (3 - 4) ** 2)


def test_features_with_a_known_covariance_by_hand() -> None:
    # +-1 and +-3 along one axis: means 0, variances 2 and 18 (N - 1 = 1); (sqrt 18 - sqrt 2)^2 = 8.
    x, y = np.zeros((2, 5), np.float32), np.zeros((2, 5), np.float32)
    x[:, 1], y[:, 1] = [-1, 1], [-3, 3]
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(8)


def test_drawn_gaussian_features_come_to_the_closed_form() -> None:
    # Independent axes: |m1 - m2|^2 + sum (s_i - t_i)^2; 40,000 draws leave a percent.
    rng = np.random.default_rng(0)
    (m1, m2), (s, t) = rng.normal(size=(2, 6)), rng.uniform(0.5, 3, size=(2, 6))
    x, y = (
        rng.normal(mean, deviation, size=(40_000, 6)).astype(np.float32)
        for mean, deviation in ((m1, s), (m2, t))
    )
    expected = float(np.square(m1 - m2).sum() + np.square(s - t).sum())
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("first", "second"), [(200, 150), (25, 200), (200, 20), (20, 200), (20, 15), (24, 24)]
)
def test_agrees_with_the_package(first: int, second: int) -> None:
    x, y = features(first), features(second, seed=1)
    value = frechet_distance(Moments.of(x), Moments.of(y))
    assert value == pytest.approx(by_package(x, y), rel=1e-6)
    assert value == pytest.approx(frechet_distance(Moments.of(y), Moments.of(x)), rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [(20, 15), (15, 20)])
def test_large_sets_by_eigenvalues_agree_with_singular_values(
    first: int, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = Moments.of(features(first)), Moments.of(features(second, seed=1))
    exact = frechet_distance(x, y)
    monkeypatch.setattr(frechet, "_SVD_ROWS", 5)
    assert frechet_distance(x, y) == pytest.approx(exact, rel=1e-7)


def test_channels_that_are_always_zero() -> None:
    # A dead channel makes the covariance singular; it adds nothing to the distance.
    x, y = features(200), features(150, seed=1)
    dead = [np.concatenate([f, np.zeros((len(f), 3), np.float32)], axis=1) for f in (x, y)]
    assert frechet_distance(*map(Moments.of, dead)) == pytest.approx(
        frechet_distance(Moments.of(x), Moments.of(y)), rel=1e-9
    )


@pytest.mark.parametrize("count", [10, 400])
def test_a_set_is_at_no_distance_from_itself(count: int) -> None:
    moments = Moments.of(features(count))
    assert frechet_distance(moments, moments) == pytest.approx(0, abs=1e-6 * moments.trace())


def test_moments_over_several_blocks_of_rows() -> None:
    x = features(5000, dims=6)
    moments = Moments.of(x)
    assert moments.features is None
    np.testing.assert_allclose(moments.mean, x.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.cov, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-9)


def test_bad_features_are_refused() -> None:
    with pytest.raises(UserError, match="two or more"):
        Moments.of(features(1))
    with pytest.raises(UserError, match="not finite"):
        Moments.of(np.full((4, 2), np.nan, np.float32))
    with pytest.raises(UserError, match="24 and 12"):
        frechet_distance(Moments.of(features(30)), Moments.of(features(30, dims=12)))
