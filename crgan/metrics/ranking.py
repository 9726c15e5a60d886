"""Ranking a gallery: CMC and mAP under the single-query protocol, exact and in little memory.

Protocol (Market-1501 and DukeMTMC-reID, the one behind the paper's Tables 2, 3 and 5-7): for each
query, gallery images with its pid *and* its camid are removed, as is Market's junk (pid -1);
distractors (pid 0) are ordinary wrong answers. Queries left without a true match are dropped.

Two definitions of average precision are in use, and they differ by about a point of mAP. With R
true matches at ranks r_1 < ... < r_R:

* ``step``: mean of i / r_i. scikit-learn's average precision; open-reid's and torchreid's mAP.
* ``trapezoid``: mean of ((i - 1) / (r_i - 1) + i / r_i) / 2, the first fraction read as 1 where
  r_i = 1. The data sets' official MATLAB evaluation.

Tie rule: a wrong image exactly as near as a true match is ranked before it. Then the numbers do not
depend on the order of the gallery, and features that collapse to one point score the worst that can
be, not whatever the order of file names happens to give.

Why no sort: only the ranks of a query's few true matches matter, and the rank of a match is the
count of images nearer than it. So one block of scores at a time is enough, and no index matrix.
Distances that do not come from features alone (`crgan.metrics.reranking`) are ranked by
`evaluate_distances` under the same rules.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.metrics.inputs import checked_features, checked_labels, one_blas_thread

ApDefinition = Literal["step", "trapezoid"]
Metric = Literal["euclidean", "cosine"]

JUNK_PID = -1
DISTRACTOR_PID = 0

# A block of scores stays below this whatever the gallery's size; at Market's 19,732 gallery images
# it holds 256 queries, below which the matrix product loses speed.
_BLOCK_BYTES = 20 << 20

Scores: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """Result of `evaluate`. Rates are percent over the evaluated queries (`queries - dropped`)."""

    cmc: dict[int, float]
    """Percent of queries with a true match among the first k, for each k asked for."""
    mAP: float
    """Mean of the average precisions, percent."""
    ap: NDArray[np.float64]
    """(Q,) average precision of each query in 0..1; NaN where the query was dropped."""
    first_match: Integers
    """(Q,) rank of the nearest true match, from 1; 0 where the query was dropped."""
    nearest: Integers
    """(Q, keep) rows of the gallery, nearest first; -1 past the end of a small gallery."""
    nearest_right: NDArray[np.bool_]
    """(Q, keep) whether that image shows the query's person."""
    queries: int
    dropped_queries: int
    """Queries without a true match in another camera."""
    gallery: int
    """Gallery images, junk included."""
    junk: int
    """Gallery images of pid -1."""
    ap_definition: ApDefinition
    metric: Metric | Literal["given"]
    """What the features were compared by; "given" where distances were given."""

    @property
    def rank1(self) -> float:
        return self.cmc[1]

    @property
    def rank5(self) -> float:
        return self.cmc[5]

    @property
    def rank10(self) -> float:
        return self.cmc[10]

    def to_dict(self) -> dict[str, float | int | str]:
        """Plain values for a score file: rank<k> and mAP (percent), counts, definitions."""
        return {
            **{f"rank{k}": value for k, value in self.cmc.items()},
            "mAP": self.mAP,
            "queries": self.queries,
            "dropped_queries": self.dropped_queries,
            "gallery": self.gallery,
            "junk": self.junk,
            "ap_definition": self.ap_definition,
            "metric": self.metric,
        }


def evaluate(
    query_features: NDArray[np.float32],
    gallery_features: NDArray[np.float32],
    q_pid: NDArray[np.integer],
    q_camid: NDArray[np.integer],
    g_pid: NDArray[np.integer],
    g_camid: NDArray[np.integer],
    *,
    ap: ApDefinition,
    topk: Sequence[int] = (1, 5, 10),
    metric: Metric = "euclidean",
    keep: int = 0,
    chunk: int = 256,
    threads: int = 2,
) -> Ranking:
    """CMC and mAP of a gallery ranked by distance to each query (single query).

    Args:
        query_features: (Q, D) float32, used as given: normalise before, or ask for ``cosine``.
        gallery_features: (G, D) float32; a memory-mapped array is read block-wise and not copied.
        q_pid, q_camid, g_pid, g_camid: (Q,) and (G,) integers of the manifest.
        ap: the definition of average precision (see the module).
        topk: the ranks at which CMC is read.
        metric: ``cosine`` ranks by the angle between features.
        keep: nearest gallery images listed for each query, as `top_matches` lists them.
        chunk: most queries in one block of scores; fewer are taken where the gallery is large.
        threads: blocks worked on at once, each with one BLAS thread and one block of memory.

    Raises:
        UserError: shapes that do not fit, values that are not finite, a query without an identity
            (pid <= 0), an unlabelled gallery, no query with a true match.
    """
    _check_request(ap, topk, keep)
    search = _Search(
        query_features, gallery_features, q_pid, q_camid, g_pid, g_camid, metric=metric
    )
    tally = _Tally(search.labels, ap, keep)
    search.visit(tally.add, chunk=chunk, threads=threads)
    return tally.ranking(topk, metric)


def evaluate_distances(
    distances: NDArray[np.float32],
    q_pid: NDArray[np.integer],
    q_camid: NDArray[np.integer],
    g_pid: NDArray[np.integer],
    g_camid: NDArray[np.integer],
    *,
    ap: ApDefinition,
    topk: Sequence[int] = (1, 5, 10),
    keep: int = 0,
) -> Ranking:
    """CMC and mAP of a gallery ranked by given distances, with `evaluate`'s protocol and tie rule.

    Args:
        distances: (Q, G) float32, read a row at a time and left as they are; may be memory-mapped.
        q_pid, q_camid, g_pid, g_camid, ap, topk, keep: as in `evaluate`.

    Raises:
        UserError: as `evaluate`.
    """
    _check_request(ap, topk, keep)
    given = np.asarray(distances)
    if given.ndim != 2 or 0 in given.shape or given.dtype.kind != "f":
        raise UserError(
            f"distances are {given.dtype} {given.shape}: expected float32 (queries, gallery)"
        )
    tally = _Tally(_Labels(q_pid, q_camid, g_pid, g_camid, *given.shape), ap, keep)
    for query, row in enumerate(given):
        scores = np.negative(row, dtype=np.float32)
        if not np.isfinite(scores).all():
            raise UserError(f"distances of query {query} are not finite: has the model diverged?")
        tally.add(query, scores)
    return tally.ranking(topk, "given")


def average_precision(ranks: Integers, definition: ApDefinition) -> float:
    """Average precision in 0..1 of all R true matches at `ranks` (R,), ascending and from 1."""
    found = np.arange(1, len(ranks) + 1)
    precision = found / ranks
    if definition == "step":
        return float(precision.mean())
    # Precision just before each match; the official code starts at 1 before the first image.
    before = np.where(ranks > 1, (found - 1) / np.maximum(ranks - 1, 1), 1.0)
    return float((before + precision).mean() / 2)


def top_matches(
    query_features: NDArray[np.float32],
    gallery_features: NDArray[np.float32],
    q_pid: NDArray[np.integer],
    q_camid: NDArray[np.integer],
    g_pid: NDArray[np.integer],
    g_camid: NDArray[np.integer],
    *,
    k: int = 10,
    metric: Metric = "euclidean",
    chunk: int = 256,
    threads: int = 2,
) -> tuple[Integers, NDArray[np.bool_]]:
    """The first k gallery images of each query, nearest first, as `evaluate` ranks them.

    Ties follow the module's rule, then gallery order.

    Returns:
        indices: (Q, k) rows of the gallery; -1 past the end of a small gallery.
        is_right: (Q, k) whether that image shows the query's person.

    Raises:
        UserError: as `evaluate`, but queries without a true match are listed like any other.
    """
    if k < 1:
        raise UserError(f"k {k}: ask for at least one gallery image")
    search = _Search(
        query_features, gallery_features, q_pid, q_camid, g_pid, g_camid, metric=metric
    )
    nearest = _Nearest(search.labels, k)
    search.visit(nearest.add, chunk=chunk, threads=threads)
    return nearest.indices, nearest.is_right


class _Labels:
    """Checked labels of Q queries and G gallery images, and what the protocol makes of them."""

    def __init__(
        self,
        q_pid: NDArray[np.integer],
        q_camid: NDArray[np.integer],
        g_pid: NDArray[np.integer],
        g_camid: NDArray[np.integer],
        queries: int,
        gallery: int,
    ) -> None:
        self.queries, self.gallery = queries, gallery
        self.q_pid = checked_labels("query pid", q_pid, queries, least=DISTRACTOR_PID + 1)
        self.g_pid = checked_labels("gallery pid", g_pid, gallery, least=JUNK_PID)
        self.q_camid = checked_labels("query camid", q_camid, queries, least=None)
        self.g_camid = checked_labels("gallery camid", g_camid, gallery, least=None)
        self.junk = np.flatnonzero(self.g_pid == JUNK_PID)
        self._by_pid = np.argsort(self.g_pid, kind="stable")
        sorted_pid = self.g_pid[self._by_pid]
        self._start = np.searchsorted(sorted_pid, self.q_pid, side="left")
        self._stop = np.searchsorted(sorted_pid, self.q_pid, side="right")

    def split(self, query: int) -> tuple[Integers, Integers]:
        """Gallery rows with the query's pid: of its camera (removed), and the true matches."""
        same = self._by_pid[self._start[query] : self._stop[query]]
        here = self.g_camid[same] == self.q_camid[query]
        return same[here], same[~here]

    def match_ranks(self, query: int, scores: Scores) -> Integers:
        """Ranks of the query's true matches, ascending, from 1; `scores` (G,) are overwritten."""
        removed, matches = self.split(query)
        right = np.sort(scores[matches])[::-1]
        # What is no wrong image must never be counted as nearer.
        for rows in (self.junk, removed, matches):
            scores[rows] = -np.inf
        wrong_before = np.fromiter(
            (np.count_nonzero(scores >= score) for score in right), np.int64, len(right)
        )
        return wrong_before + np.arange(1, len(right) + 1)


class _Nearest:
    """The first k gallery images, query by query."""

    def __init__(self, labels: _Labels, k: int) -> None:
        self._labels, self._k = labels, k
        self.indices = np.full((labels.queries, k), -1, dtype=np.int64)
        self.is_right = np.zeros((labels.queries, k), dtype=bool)

    def add(self, query: int, scores: Scores) -> None:
        """List a query's nearest; of `scores` (G,) those of removed images are overwritten."""
        removed, matches = self._labels.split(query)
        scores[self._labels.junk] = -np.inf
        scores[removed] = -np.inf
        cut = np.partition(scores, -self._k)[-self._k] if len(scores) >= self._k else -np.inf
        near = np.flatnonzero((scores >= cut) & (scores > -np.inf))
        right = np.isin(near, matches)
        order = np.lexsort((near, right, -scores[near]))[: self._k]
        self.indices[query, : len(order)] = near[order]
        self.is_right[query, : len(order)] = right[order]


class _Tally:
    """First match and average precision, query by query, and what they come to."""

    def __init__(self, labels: _Labels, ap: ApDefinition, keep: int) -> None:
        self._labels, self._definition, self._keep = labels, ap, keep
        self._nearest = _Nearest(labels, keep)
        self._average = np.full(labels.queries, np.nan)
        self._first = np.zeros(labels.queries, dtype=np.int64)

    def add(self, query: int, scores: Scores) -> None:
        """Note a query's result; `scores` (G,), higher is nearer, are overwritten."""
        if self._keep:
            self._nearest.add(query, scores)
        ranks = self._labels.match_ranks(query, scores)
        if len(ranks):
            self._average[query] = average_precision(ranks, self._definition)
            self._first[query] = ranks[0]

    def ranking(self, topk: Sequence[int], metric: Metric | Literal["given"]) -> Ranking:
        """The result over all queries that have a true match."""
        evaluated = self._first > 0
        count = int(evaluated.sum())
        if count == 0:
            raise UserError(
                "no query has a true match in another camera of the gallery: check that query and "
                "gallery belong to one data set and that camids were read"
            )
        first = self._first[evaluated]
        return Ranking(
            cmc={int(k): 100.0 * int((first <= k).sum()) / count for k in topk},
            mAP=100.0 * float(self._average[evaluated].mean()),
            ap=self._average,
            first_match=self._first,
            nearest=self._nearest.indices,
            nearest_right=self._nearest.is_right,
            queries=self._labels.queries,
            dropped_queries=self._labels.queries - count,
            gallery=self._labels.gallery,
            junk=len(self._labels.junk),
            ap_definition=self._definition,
            metric=metric,
        )


class _Search:
    """Checked inputs, and the walk over blocks of scores; a higher score is a smaller distance."""

    def __init__(
        self,
        query_features: NDArray[np.float32],
        gallery_features: NDArray[np.float32],
        q_pid: NDArray[np.integer],
        q_camid: NDArray[np.integer],
        g_pid: NDArray[np.integer],
        g_camid: NDArray[np.integer],
        *,
        metric: Metric,
    ) -> None:
        if metric not in get_args(Metric):
            raise UserError(f"metric {metric!r}: choose one of {', '.join(get_args(Metric))}")
        self.metric = metric
        self.query_features, _ = checked_features("query", query_features)
        self.gallery_features, squares = checked_features("gallery", gallery_features)
        if self.query_features.shape[1] != self.gallery_features.shape[1]:
            raise UserError(
                f"query features have {self.query_features.shape[1]} columns, gallery features "
                f"{self.gallery_features.shape[1]}: extract both with one model"
            )
        self.queries, self.gallery = len(self.query_features), len(self.gallery_features)
        self.labels = _Labels(q_pid, q_camid, g_pid, g_camid, self.queries, self.gallery)
        if metric == "cosine":
            # A zero feature points nowhere: similarity 0 to everything.
            norms = np.sqrt(squares)
            self._scale = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
        else:
            self._half_squares = squares / 2

    def visit(self, use: Callable[[int, Scores], None], *, chunk: int, threads: int) -> None:
        """Call `use(query, scores)` for each query, in any order; `use` may write into `scores`."""
        if chunk < 1 or threads < 1:
            raise UserError(f"chunk {chunk}, threads {threads}: both must be 1 or more")
        rows = max(1, min(chunk, self.queries, _BLOCK_BYTES // (4 * self.gallery)))
        starts = range(0, self.queries, rows)
        threads = min(threads, len(starts))
        blocks: queue.SimpleQueue[Scores] = queue.SimpleQueue()
        for _ in range(threads):
            blocks.put(np.empty((rows, self.gallery), dtype=np.float32))

        def work(start: int) -> None:
            block = blocks.get()
            try:
                features = self.query_features[start : start + rows]
                products = np.matmul(features, self.gallery_features.T, out=block[: len(features)])
                for query, scores in enumerate(products, start):
                    self._to_score(scores)
                    use(query, scores)
            finally:
                blocks.put(block)

        with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(work, starts):
                pass

    def _to_score(self, products: Scores) -> None:
        # ||q - g||^2 = ||q||^2 - 2 (q.g - ||g||^2 / 2); ||q|| changes no order.
        if self.metric == "cosine":
            products *= self._scale
        else:
            products -= self._half_squares


def _check_request(ap: str, topk: Sequence[int], keep: int) -> None:
    if ap not in get_args(ApDefinition):
        raise UserError(f"AP definition {ap!r}: choose one of {', '.join(get_args(ApDefinition))}")
    if not topk or min(topk) < 1:
        raise UserError(f"topk {tuple(topk)}: give at least one rank, each 1 or more")
    if keep < 0:
        raise UserError(f"keep {keep}: a number of gallery images, 0 for none")
