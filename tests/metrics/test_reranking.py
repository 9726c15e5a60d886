"""Neighbours and k-reciprocal distances: by hand, and against dense matrices walked in loops."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.metrics import neighbours
from crgan.metrics.neighbours import FeatureRows, nearest
from crgan.metrics.reranking import jaccard_distances, rerank


def clustered(n: int, persons: int = 12, dims: int = 16, seed: int = 0) -> np.ndarray:
    """L2-normalised features of `persons` overlapping groups."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(persons, dims))
    features = centres[rng.integers(0, persons, n)] + 0.6 * rng.normal(size=(n, dims))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def whole(n: int, seed: int = 0) -> np.ndarray:
    """Small whole numbers: distances are exact, ties and equal features are common."""
    return np.random.default_rng(seed).integers(-2, 3, (n, 3)).astype(np.float32)


def squared(features: np.ndarray) -> np.ndarray:
    x = features.astype(np.float64)
    return np.square(x[:, None] - x[None]).sum(axis=2)


def ranked(distances: np.ndarray) -> np.ndarray:
    """All rows by distance, then index, each row first in its own list."""
    own = distances.copy()
    np.fill_diagonal(own, -1)
    return np.argsort(own, axis=1, kind="stable")


def dense_encodings(
    distances: np.ndarray, order: np.ndarray, wide: int, half: int, k2: int
) -> np.ndarray:
    """The usual algorithm: sets by loops, weights in a full matrix.

    `wide` and `half` count an image's own place in its list.
    """
    n = len(order)
    lists = order.tolist()

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in lists[i][:k] if i in lists[j][:k]}

    weights = np.zeros((n, n))
    for i in range(n):
        mine = reciprocal(i, wide)
        members = set(mine)
        for candidate in mine:
            theirs = reciprocal(candidate, half)
            if len(theirs & mine) > 2 / 3 * len(theirs):
                members |= theirs
        columns = sorted(members)
        weights[i, columns] = np.exp(-distances[i, columns])
        weights[i] /= weights[i].sum()
    return np.stack([weights[order[i, :k2]].mean(axis=0) for i in range(n)])


def dense_jaccard(encodings: np.ndarray) -> np.ndarray:
    smaller = np.minimum(encodings[:, None], encodings[None]).sum(axis=2)
    larger = np.maximum(encodings[:, None], encodings[None]).sum(axis=2)
    return 1 - smaller / larger


def dense_rerank(
    features: np.ndarray, queries: int, k1: int, k2: int, lambda_value: float
) -> np.ndarray:
    distances = squared(features)
    distances /= distances.max(axis=1, keepdims=True)
    half = int(np.around(k1 / 2)) + 1
    encodings = dense_encodings(distances, ranked(squared(features)), k1 + 1, half, k2)
    final = (1 - lambda_value) * dense_jaccard(encodings) + lambda_value * distances
    return final[:queries, queries:]


@pytest.mark.parametrize("make", [clustered, whole])
@pytest.mark.parametrize("block", [4, 33, 512])
def test_neighbours_are_those_of_a_full_sort(
    make: Any, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    features = make(150)
    distances = squared(features)
    between = np.empty((50, 100), dtype=np.float32)
    rows = FeatureRows(("query", features[:50]), ("gallery", features[50:]))
    found = nearest(rows, 9, threads=2, first_to_second=between)
    expected = ranked(distances)[:, :9]
    np.testing.assert_array_equal(found.index, expected)
    np.testing.assert_allclose(
        found.distance, np.take_along_axis(distances, expected, axis=1), atol=2e-6
    )
    np.testing.assert_allclose(found.farthest, distances.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(between, distances[:50, 50:], atol=2e-6)


def test_more_neighbours_than_rows() -> None:
    found = nearest(FeatureRows(("image", whole(5))), 9)
    np.testing.assert_array_equal(found.index, ranked(squared(whole(5))))
    alone = nearest(FeatureRows(("image", whole(1))), 9)
    assert (alone.index.tolist(), alone.distance.tolist()) == ([[0]], [[0]])


def test_reranking_by_hand() -> None:
    # On a line: query 0; gallery 1, 10, 11. Nearest of each is its partner, so with k1 = 1 an
    # encoding holds the image itself and its partner; round(1/2) + 1 = 1 adds nobody.
    line = np.array([[0], [1], [10], [11]], dtype=np.float32)
    found = rerank(line[:1], line[1:], k1=1, k2=1, lambda_value=0.3)
    a, b = np.exp(-1 / 121), np.exp(-1 / 100)  # query and partner: 11 and 10 from their farthest
    overlap = min(1 / (1 + a), b / (1 + b)) + min(a / (1 + a), 1 / (1 + b))
    expected = [0.7 * (1 - overlap / (2 - overlap)) + 0.3 / 121, 0.7 + 0.3 * 100 / 121, 1.0]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected], atol=1e-6)


@pytest.mark.parametrize(
    ("k1", "k2", "lambda_value"), [(20, 6, 0.3), (5, 1, 0.0), (7, 7, 0.5), (12, 3, 1.0)]
)
def test_reranking_is_that_of_dense_matrices(k1: int, k2: int, lambda_value: float) -> None:
    for seed in range(2):
        features = clustered(130, seed=seed)
        found = rerank(features[:40], features[40:], k1=k1, k2=k2, lambda_value=lambda_value)
        expected = dense_rerank(features, 40, k1, k2, lambda_value)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_reranking_with_ties() -> None:
    features = whole(130)
    found = rerank(features[:40], features[40:], k1=8, k2=3)
    np.testing.assert_allclose(found, dense_rerank(features, 40, 8, 3, 0.3), rtol=0, atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_fewer_images_than_neighbours(n: int) -> None:
    features = clustered(n)
    found = rerank(features[:1], features[1:])
    np.testing.assert_allclose(found, dense_rerank(features, 1, 20, 6, 0.3), rtol=0, atol=1e-6)


def test_cosine_is_euclidean_of_features_of_length_1() -> None:
    features = clustered(130)
    longer = features * np.random.default_rng(1).uniform(0.5, 9, (130, 1)).astype(np.float32)
    expected = rerank(features[:40], features[40:])
    found = rerank(longer[:40], longer[40:], metric="cosine")
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert np.abs(rerank(longer[:40], longer[40:]) - expected).max() > 0.1
    longer[[3, 77]] = 0  # points nowhere: stays zero, at distance 1 from all but the other
    found = rerank(longer[:40], longer[40:], metric="cosine", lambda_value=1.0)
    assert found[3, 77 - 40] == 0
    np.testing.assert_allclose(np.delete(found[3], 77 - 40), 1, atol=1e-6)


def test_images_that_coincide_are_at_distance_0() -> None:
    ones = np.ones((9, 4), dtype=np.float32)
    np.testing.assert_allclose(rerank(ones[:2], ones[2:]), np.zeros((2, 7)), atol=1e-6)


def test_threads_change_nothing_and_inputs_are_left_alone() -> None:
    features = clustered(1300)
    query, gallery = features[:300].copy(), features[300:].copy()
    query.setflags(write=False)
    gallery.setflags(write=False)
    assert rerank(query, gallery).tobytes() == rerank(query, gallery, threads=3).tobytes()
    one, three = (jaccard_distances(features, threads=threads) for threads in (1, 3))
    assert one.data.tobytes() == three.data.tobytes()
    assert one.indices.tobytes() == three.indices.tobytes()


@pytest.mark.parametrize("make", [clustered, whole])
@pytest.mark.parametrize(("k1", "k2"), [(30, 6), (9, 1), (5, 5), (1, 1), (90, 20)])
def test_jaccard_distances_are_those_of_dense_matrices(make: Any, k1: int, k2: int) -> None:
    features = make(80)
    distances = squared(features)
    half = int(np.around(k1 / 2)) + 1
    encodings = dense_encodings(distances, ranked(distances)[:, :k1], k1, half, k2)
    found = jaccard_distances(features, k1=k1, k2=k2)
    dense = np.ones((80, 80))
    row = np.repeat(np.arange(80), np.diff(found.indptr))
    dense[row, found.indices] = found.data
    np.testing.assert_allclose(dense, dense_jaccard(encodings), rtol=0, atol=1e-6)
    assert found.has_sorted_indices
    assert (found.dtype, found.data.min() >= 0) == (np.float32, True)
    assert all(i in found.indices[found.indptr[i] : found.indptr[i + 1]] for i in range(80))
    assert not found.diagonal().any()


def test_memory_is_far_below_one_dense_matrix() -> None:
    features = clustered(5000, persons=400)
    tracemalloc.start()
    try:
        rerank(features[:200], features[200:])
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < 40  # one float32 matrix of 5,000 x 5,000 is 95 MB


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k1": 0}, "k1 is 0"),
        ({"k1": 5, "k2": 6}, r"k2 is 6; .* 1 to k1 \(5\)"),
        ({"k2": 0}, "k2 is 0"),
        ({"lambda_value": 1.5}, "lambda_value is 1.5"),
        ({"gallery_features": np.ones((3, 2), np.float32)}, "query: 4 and gallery: 2"),
        ({"gallery_features": np.full((3, 4), np.nan, np.float32)}, "gallery features are not"),
        ({"query_features": np.ones((0, 4), np.float32)}, "at least one image"),
    ],
)
def test_bad_input_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    good = {"query_features": np.ones((2, 4), np.float32)}
    good |= {"gallery_features": np.ones((3, 4), np.float32)}
    with pytest.raises(UserError, match=message):
        rerank(**{**good, **change})
