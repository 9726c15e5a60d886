"""CMC, mAP and rank lists: answers worked out by hand, and a brute-force sort on random data."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.metrics.ranking import average_precision, evaluate, evaluate_distances, top_matches

STEP_AND_TRAPEZOID = ("step", "trapezoid")


def line(*positions: float) -> np.ndarray:
    """Images as points on a line, so that distances can be read off."""
    return np.array(positions, dtype=np.float32)[:, None]


# One query, person 1 seen by camera 1, at position 0. Its ranked list, by hand:
#   0.1 person 1, camera 1   removed: same person, same camera
#   0.2 junk                 removed
#   0.3 distractor           rank 1, wrong
#   0.4 person 1, camera 2   rank 2, right
#   0.5 person 2, camera 1   rank 3, wrong (same camera, another person: stays)
#   0.6 person 1, camera 3   rank 4, right
EXAMPLE: dict[str, Any] = {
    "query_features": line(0),
    "gallery_features": line(0.6, 0.5, 0.4, 0.3, 0.2, 0.1),
    "q_pid": np.array([1]),
    "q_camid": np.array([1]),
    "g_pid": np.array([1, 2, 1, 0, -1, 1]),
    "g_camid": np.array([3, 1, 2, 2, 2, 1]),
}


def test_worked_example_step() -> None:
    result = evaluate(**EXAMPLE, ap="step")
    assert result.first_match.tolist() == [2]
    assert result.mAP == pytest.approx(100 * (1 / 2 + 2 / 4) / 2)
    assert (result.rank1, result.rank5, result.rank10) == (0.0, 100.0, 100.0)
    assert (result.queries, result.dropped_queries, result.gallery, result.junk) == (1, 0, 6, 1)


def test_worked_example_trapezoid() -> None:
    # Recall rises by 1/2 at ranks 2 and 4; precision goes 0/1 -> 1/2 and 1/3 -> 2/4.
    expected = 0.5 * (0 + 1 / 2) / 2 + 0.5 * (1 / 3 + 2 / 4) / 2
    assert evaluate(**EXAMPLE, ap="trapezoid").mAP == pytest.approx(100 * expected)


@pytest.mark.parametrize(
    ("ranks", "step", "trapezoid"),
    [
        ([1], 1.0, 1.0),
        ([1, 2, 3], 1.0, 1.0),
        ([2], 1 / 2, 1 / 4),
        ([10], 1 / 10, 1 / 20),
        ([1, 3], (1 + 2 / 3) / 2, (1 + (1 / 2 + 2 / 3) / 2) / 2),
        ([3, 4], (1 / 3 + 2 / 4) / 2, ((0 + 1 / 3) / 2 + (1 / 3 + 2 / 4) / 2) / 2),
    ],
)
def test_average_precision_by_hand(ranks: list[int], step: float, trapezoid: float) -> None:
    assert average_precision(np.array(ranks), "step") == pytest.approx(step)
    assert average_precision(np.array(ranks), "trapezoid") == pytest.approx(trapezoid)


def test_junk_and_same_camera_images_change_nothing() -> None:
    bare = [0, 1, 2, 3]
    without = evaluate(
        line(0),
        EXAMPLE["gallery_features"][bare],
        EXAMPLE["q_pid"],
        EXAMPLE["q_camid"],
        EXAMPLE["g_pid"][bare],
        EXAMPLE["g_camid"][bare],
        ap="step",
    )
    assert without.mAP == evaluate(**EXAMPLE, ap="step").mAP


def test_distractors_are_wrong_answers() -> None:
    result = evaluate(
        line(0),
        line(0.1, 0.2, 0.3),
        np.array([7]),
        np.array([1]),
        np.array([0, 0, 7]),
        np.array([1, 2, 2]),
        ap="step",
    )
    assert result.first_match.tolist() == [3]
    assert result.mAP == pytest.approx(100 / 3)


def test_query_without_true_match_is_dropped() -> None:
    # Person 2 is in the gallery only under the query's own camera; person 3 not at all.
    result = evaluate(
        line(0, 0, 0),
        line(0.1, 0.2),
        np.array([1, 2, 3]),
        np.array([1, 1, 1]),
        np.array([1, 2]),
        np.array([2, 1]),
        ap="step",
    )
    assert result.dropped_queries == 2
    assert result.first_match.tolist() == [1, 0, 0]
    assert np.isnan(result.ap).tolist() == [False, True, True]
    assert (result.rank1, result.mAP) == (100.0, 100.0)


def test_no_true_match_at_all_is_an_error() -> None:
    one = np.array([1])
    with pytest.raises(UserError, match="no query has a true match"):
        evaluate(line(0), line(0), one, one, one, one, ap="step")


def test_a_tie_counts_against_the_true_match() -> None:
    # Wrong image and true match both at distance 1: the wrong one is ranked first, wherever it is.
    for pids in ([5, 6], [6, 5]):
        result = evaluate(
            line(0),
            line(1, -1),
            np.array([5]),
            np.array([1]),
            np.array(pids),
            np.array([2, 2]),
            ap="step",
        )
        assert result.first_match.tolist() == [2]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_collapsed_features_score_the_worst_possible(metric: Any) -> None:
    result = evaluate(
        np.zeros((1, 4), np.float32),
        np.zeros((12, 4), np.float32),
        np.array([1]),
        np.array([1]),
        np.array([1, 1] + [2] * 10),
        np.full(12, 2),
        ap="step",
        metric=metric,
    )
    assert result.first_match.tolist() == [11]
    assert result.rank10 == 0.0


def test_cosine_ignores_length_and_euclidean_does_not() -> None:
    query = np.array([[1, 0]], dtype=np.float32)
    gallery = np.array([[10, 1], [1, 0.5]], dtype=np.float32)  # nearer in angle, nearer in length
    labels = (np.array([1]), np.array([1]), np.array([1, 2]), np.array([2, 2]))
    assert evaluate(query, gallery, *labels, ap="step", metric="cosine").rank1 == 100.0
    assert evaluate(query, gallery, *labels, ap="step", metric="euclidean").rank1 == 0.0


def random_case(seed: int, *, whole: bool, queries: int = 40, gallery: int = 300) -> dict[str, Any]:
    """Random benchmark; whole-numbered features make distances exact and ties common."""
    rng = np.random.default_rng(seed)
    pids = rng.integers(-1, 9, gallery)
    draw = (lambda n: rng.integers(-2, 3, (n, 4))) if whole else (lambda n: rng.normal(size=(n, 8)))
    return {
        "query_features": draw(queries).astype(np.float32),
        "gallery_features": draw(gallery).astype(np.float32),
        "q_pid": rng.integers(1, 10, queries),
        "q_camid": rng.integers(1, 4, queries),
        "g_pid": pids,
        "g_camid": rng.integers(1, 4, gallery),
    }


def brute_force(case: dict[str, Any], ap: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """First-match rank and AP of each query by a full sort and a walk down the list."""
    query, gallery = (case[k].astype(np.float64) for k in ("query_features", "gallery_features"))
    if metric == "cosine":
        query = query / np.linalg.norm(query, axis=1, keepdims=True)
        gallery = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
    first, average = np.zeros(len(query), int), np.full(len(query), np.nan)
    for i, feature in enumerate(query):
        distance = ((gallery - feature) ** 2).sum(axis=1)
        right = case["g_pid"] == case["q_pid"][i]
        keep = (case["g_pid"] != -1) & ~(right & (case["g_camid"] == case["q_camid"][i]))
        order = np.lexsort((right[keep], distance[keep]))
        hits = right[keep][order]
        if not hits.any():
            continue
        first[i] = hits.argmax() + 1
        found, area, recall, precision = 0, 0.0, 0.0, 1.0
        for rank, hit in enumerate(hits, start=1):
            found += int(hit)
            new_recall, new_precision = found / hits.sum(), found / rank
            height = new_precision if ap == "step" else (precision + new_precision) / 2
            area += (new_recall - recall) * height
            recall, precision = new_recall, new_precision
        average[i] = area
    return first, average


@pytest.mark.parametrize("ap", STEP_AND_TRAPEZOID)
@pytest.mark.parametrize(
    ("metric", "whole"), [("euclidean", True), ("euclidean", False), ("cosine", False)]
)
def test_agrees_with_a_full_sort(ap: Any, metric: Any, whole: bool) -> None:
    for seed in range(3):
        case = random_case(seed, whole=whole)
        first, average = brute_force(case, ap, metric)
        result = evaluate(**case, ap=ap, metric=metric)
        np.testing.assert_array_equal(result.first_match, first)
        np.testing.assert_allclose(result.ap, average, rtol=1e-12)
        valid = first > 0
        assert valid.sum() > 0
        assert result.rank5 == pytest.approx(100 * (first[valid] <= 5).mean())
        assert result.mAP == pytest.approx(100 * average[valid].mean())


LABELS = ("q_pid", "q_camid", "g_pid", "g_camid")


@pytest.mark.parametrize("ap", STEP_AND_TRAPEZOID)
def test_given_distances_of_the_worked_example(ap: Any) -> None:
    distances = np.abs(EXAMPLE["gallery_features"].T)
    before = distances.copy()
    result = evaluate_distances(distances, *(EXAMPLE[key] for key in LABELS), ap=ap)
    expected = {"step": (1 / 2 + 2 / 4) / 2, "trapezoid": (1 / 4 + (1 / 3 + 2 / 4) / 2) / 2}
    assert result.mAP == pytest.approx(100 * expected[ap])
    assert (result.first_match.tolist(), result.metric) == ([2], "given")
    assert (result.rank1, result.rank5, result.junk, result.dropped_queries) == (0, 100, 1, 0)
    np.testing.assert_array_equal(distances, before)


def test_given_distances_tie_against_the_true_match() -> None:
    one, two = np.array([1]), np.array([2, 2])
    distances = np.array([[0.5, 0.5]], dtype=np.float32)
    for pids in ([5, 6], [6, 5]):
        result = evaluate_distances(distances, np.array([5]), one, np.array(pids), two, ap="step")
        assert result.first_match.tolist() == [2]


def test_given_distances_agree_with_features() -> None:
    case = random_case(8, whole=True)
    query, gallery = case["query_features"], case["gallery_features"]
    distances = np.square(query[:, None] - gallery[None]).sum(axis=2)
    labels = [case[key] for key in LABELS]
    found = evaluate_distances(distances, *labels, ap="step", topk=(1, 3)).to_dict()
    assert found == evaluate(**case, ap="step", topk=(1, 3)).to_dict() | {"metric": "given"}


def test_kept_ranks_are_those_of_top_matches() -> None:
    case = random_case(8, whole=True)
    indices, is_right = top_matches(**case, k=20)
    query, gallery = case["query_features"], case["gallery_features"]
    distances = np.square(query[:, None] - gallery[None]).sum(axis=2)
    by_features = evaluate(**case, ap="step", keep=20)
    given = evaluate_distances(distances, *(case[key] for key in LABELS), ap="step", keep=20)
    for found in (by_features, given):
        np.testing.assert_array_equal(found.nearest, indices)
        np.testing.assert_array_equal(found.nearest_right, is_right)
    assert by_features.to_dict() == evaluate(**case, ap="step").to_dict()
    assert evaluate(**case, ap="step").nearest.shape == (len(query), 0)


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        (np.zeros((1, 5), np.float32), "gallery pid: .* expected 5 integers"),
        (np.zeros((2, 6), np.float32), "query pid: .* expected 2 integers"),
        (np.zeros(6, np.float32), r"expected float32 \(queries, gallery\)"),
        (np.full((1, 6), np.nan, np.float32), "distances of query 0 are not finite"),
    ],
)
def test_bad_distances_are_refused(distances: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate_distances(distances, *(EXAMPLE[key] for key in LABELS), ap="step")


def test_block_size_and_threads_change_nothing() -> None:
    case = random_case(3, whole=True)
    reference = evaluate(**case, ap="step", chunk=256, threads=1)
    for chunk, threads in [(1, 1), (7, 2), (16, 3), (1000, 2)]:
        result = evaluate(**case, ap="step", chunk=chunk, threads=threads)
        assert result.to_dict() == reference.to_dict()
        np.testing.assert_array_equal(result.ap, reference.ap)
        np.testing.assert_array_equal(result.first_match, reference.first_match)


def test_gallery_order_changes_nothing() -> None:
    case = random_case(4, whole=True)
    order = np.random.default_rng(0).permutation(len(case["g_pid"]))
    shuffled = case | {k: case[k][order] for k in ("gallery_features", "g_pid", "g_camid")}
    assert evaluate(**shuffled, ap="step").to_dict() == evaluate(**case, ap="step").to_dict()


@pytest.mark.parametrize(
    ("gallery", "chunk", "limit_mb"),
    # Two blocks of 64 x 10,000 scores are 5 MB; the whole matrix would be 24 MB.
    # Two blocks of 20 MB, whatever chunk asks for; the whole matrix would be 96 MB.
    [(10_000, 64, 9), (40_000, 600, 50)],
)
def test_memory_is_bounded_by_the_block(gallery: int, chunk: int, limit_mb: int) -> None:
    case = random_case(5, whole=False, queries=600, gallery=gallery)
    case["g_pid"] = np.arange(gallery) // 4 + 1  # few true matches, as in a real gallery
    tracemalloc.start()
    try:
        evaluate(**case, ap="step", chunk=chunk, threads=2)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < limit_mb


def test_top_matches_lists_what_evaluate_ranks() -> None:
    indices, is_right = top_matches(**EXAMPLE, k=5)
    assert indices.tolist() == [[3, 2, 1, 0, -1]]  # rows by distance; removed rows are not listed
    assert is_right.tolist() == [[False, True, False, True, False]]


@pytest.mark.parametrize("whole", [True, False])
def test_top_matches_agrees_with_first_match(whole: bool) -> None:
    case = random_case(6, whole=whole)
    result = evaluate(**case, ap="step")
    indices, is_right = top_matches(**case, k=20, chunk=16)
    assert indices.shape == is_right.shape == (40, 20)
    found = np.where(is_right.any(axis=1), is_right.argmax(axis=1) + 1, 0)
    within = (result.first_match > 0) & (result.first_match <= 20)
    assert within.sum() > 5
    np.testing.assert_array_equal(found[within], result.first_match[within])
    assert not is_right[~within].any()
    assert (indices >= 0).all()
    np.testing.assert_array_equal(case["g_pid"][indices] == case["q_pid"][:, None], is_right)


def test_top_matches_puts_the_wrong_image_of_a_tie_first() -> None:
    indices, is_right = top_matches(
        line(0),
        line(1, 1, 1),
        np.array([5]),
        np.array([1]),
        np.array([5, 6, 7]),
        np.array([2, 2, 2]),
        k=2,
    )
    assert indices.tolist() == [[1, 2]]
    assert not is_right.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gallery_features": line(0.1, np.nan, 0, 0, 0, 0)}, "row 1"),
        ({"gallery_features": np.zeros((6, 3), np.float32)}, "3"),
        ({"query_features": np.zeros((0, 1), np.float32)}, "at least one image"),
        ({"query_features": np.zeros((1, 1), np.int64)}, "float32"),
        ({"q_pid": np.array([0])}, "query pid 0 in row 0"),
        ({"q_pid": np.array([1, 2])}, "expected 1 integers"),
        ({"g_pid": np.array([1, 2, -2, 0, -1, 1])}, "gallery pid -2 in row 2"),
        ({"g_camid": np.array([1.5] * 6)}, "integers"),
        ({"ap": "interpolated"}, "trapezoid"),
        ({"metric": "manhattan"}, "cosine"),
        ({"topk": (0, 5)}, "at least one rank"),
        ({"chunk": 0}, "1 or more"),
    ],
)
def test_bad_input_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(**{**EXAMPLE, "ap": "step", **change})
