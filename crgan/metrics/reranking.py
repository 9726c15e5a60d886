"""k-reciprocal encoding (Zhong et al., CVPR 2017): re-ranked distances, and those for clustering.

An image's encoding is a row of weights over all images: the k-reciprocal neighbours of eq. (3),
expanded by those of its neighbours (eq. 5), weighted by nearness (eq. 7), averaged over its k2
nearest (eq. 11). Two images are as far apart as their encodings overlap little (Jaccard, eq. 10).

Encodings have some tens of weights each, so everything after the neighbours is sparse; the usual
code holds several N x N matrices (24 N^2 bytes) and walks them in Python.

Two definitions are in use, and both are here as their authors run them:

* `rerank`, the paper's: k1 neighbours beside the image itself; weights exp(-d / m) of the squared
  Euclidean distance d and its maximum m over all images. (torchreid's command squares its squared
  distances a second time; its function fed with Euclidean distances gives what this gives.)
* `jaccard_distances`, SpCL's and cluster-contrast's: k1 neighbours with the image itself; weights
  exp(-d).

Neighbours equally far are taken in the order of their rows, and an image is its own first; the
usual code leaves the order of ties to its sort.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crgan.common.errors import UserError
from crgan.metrics.inputs import Floats, Integers
from crgan.metrics.neighbours import FeatureRows, Neighbours, nearest
from crgan.metrics.ranking import Metric


def check_parameters(k1: int, k2: int, lambda_value: float = 0.0) -> None:
    """Refuse what re-ranking cannot be done with.

    Raises:
        UserError: naming the parameter.
    """
    if k1 < 1:
        raise UserError(f"k1 is {k1}; at least 1 neighbour is needed")
    if not 1 <= k2 <= k1:
        raise UserError(f"k2 is {k2}; the query expansion takes 1 to k1 ({k1}) neighbours")
    if not 0 <= lambda_value <= 1:
        raise UserError(f"lambda_value is {lambda_value}; it is a share, 0 to 1")


def rerank(
    query_features: NDArray[np.float32],
    gallery_features: NDArray[np.float32],
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    metric: Metric = "euclidean",
    threads: int = 1,
) -> Floats:
    """Final distances (Q, G) float32 of eq. (12): (1 - lambda) Jaccard + lambda original.

    The original distance of a query is squared Euclidean, divided by its largest to any image;
    it is 0 where all images coincide.

    Args:
        query_features: (Q, D) float32, L2-normalised as a rule.
        gallery_features: (G, D) float32; a memory-mapped array is read block-wise.
        k1: neighbours looked at; all there are, where there are fewer.
        k2: neighbours whose encodings are averaged, the image itself among them; 1 for none.
        lambda_value: share of the original distance.
        metric: ``euclidean`` uses the features as given, ``cosine`` as if they had length 1.
        threads: of the search for neighbours; changes no value.

    Raises:
        UserError: parameters of `check_parameters`, or features that are not finite or do not fit.
    """
    check_parameters(k1, k2, lambda_value)
    parts = ("query", query_features), ("gallery", gallery_features)
    rows = FeatureRows(*parts, unit=metric == "cosine")
    queries = int(rows.starts[1])
    final = np.empty((queries, len(rows) - queries), dtype=np.float32)
    near = nearest(rows, k1 + 1, threads=threads, first_to_second=final)
    largest = np.where(near.farthest > 0, near.farthest, 1)
    encoding = _encoding(rows, near, _half(k1), k2, largest)
    final *= (lambda_value / largest[:queries, None]).astype(np.float32)
    for query, overlap in enumerate(_overlaps(encoding, queries)):
        final[query] += (1 - lambda_value) * _jaccard(overlap[queries:])
    return final


def jaccard_distances(
    features: NDArray[np.float32], *, k1: int = 30, k2: int = 6, threads: int = 1
) -> sparse.csr_matrix:
    """Jaccard distances (N, N) float32 for clustering; a pair that is not stored is at distance 1.

    The diagonal is stored, as 0. scikit-learn's DBSCAN takes the matrix with
    metric="precomputed" and any eps below 1.

    Args:
        features: (N, D) float32, used as given: L2-normalised, as a rule.
        k1: neighbours looked at, the image itself among them.
        k2, threads: as in `rerank`.

    Raises:
        UserError: as `rerank`.
    """
    check_parameters(k1, k2)
    rows = FeatureRows(("image", features))
    near = nearest(rows, k1, threads=threads)
    encoding = _encoding(rows, near, _half(k1), k2, np.ones(len(rows), np.float32))
    columns, values = [], []
    for row, overlap in enumerate(_overlaps(encoding, len(rows))):
        stored = np.flatnonzero(overlap)
        distances = _jaccard(overlap[stored]).astype(np.float32)
        distances[np.searchsorted(stored, row)] = 0  # rounding leaves some 1e-7
        columns.append(stored.astype(np.int32))
        values.append(np.maximum(distances, 0))
    ends = np.cumsum([0, *map(len, columns)])
    parts = (np.concatenate(values), np.concatenate(columns), ends)
    return sparse.csr_matrix(parts, shape=(len(rows), len(rows)))


def _half(k1: int) -> int:
    """Neighbours of a neighbour that are looked at, itself among them; 2.5 is rounded to 2."""
    return int(np.around(k1 / 2)) + 1


def _encoding(
    rows: FeatureRows, near: Neighbours, half: int, k2: int, scale: Floats
) -> sparse.csr_matrix:
    """The encodings (N, N), one a row; each sums to 1.

    Args:
        near: the k1 nearest.
        half: how many of a candidate's nearest may be added for it.
        scale: (N,), what a row's distances are divided by.
    """
    members = _expanded(_reciprocal(near.index), _reciprocal(near.index[:, :half]))
    lengths = np.diff(members.indptr)
    distances = _distances(members, rows, near) / np.repeat(scale, lengths)
    weights = np.exp(-distances)
    totals = np.add.reduceat(weights, members.indptr[:-1])  # no row is empty: each has itself
    members.data = weights / np.repeat(totals, lengths)
    averaged = near.index[:, :k2]
    mean = _selection(averaged)
    mean.data = np.full(mean.nnz, 1 / averaged.shape[1], dtype=np.float32)
    return (mean @ members).tocsr()


def _selection(index: Integers) -> sparse.csr_matrix:
    """(N, N) with a 1 in row i at each of index[i], (N, K)."""
    n, k = index.shape
    ones = np.ones(n * k, dtype=np.int32)
    parts = (ones, index.astype(np.int32).ravel(), np.arange(0, n * k + 1, k))
    return sparse.csr_matrix(parts, shape=(n, n))


def _reciprocal(index: Integers) -> sparse.csr_matrix:
    """Eq. (3): (N, N) with a 1 where two rows are among each other's neighbours index (N, K)."""
    forward = _selection(index)
    return forward.multiply(forward.T).tocsr()


def _expanded(reciprocal: sparse.csr_matrix, of_half: sparse.csr_matrix) -> sparse.csr_matrix:
    """Eq. (5): R*, entries not 0; a candidate's set joins where over 2/3 of it is there already."""
    shared = reciprocal.multiply(reciprocal @ of_half.T).tocsr()
    sizes = np.diff(of_half.indptr)
    shared.data = (3 * shared.data > 2 * sizes[shared.indices]).astype(np.int32)
    shared.eliminate_zeros()
    members = (reciprocal + shared @ of_half).tocsr()
    members.sort_indices()
    return members


def _distances(members: sparse.csr_matrix, rows: FeatureRows, near: Neighbours) -> Floats:
    """Squared distances of all entries of `members`: known ones looked up, the rest computed."""
    n, k = near.index.shape
    # 64 bits: N^2 goes beyond 32
    known = np.arange(n)[:, None] * n + near.index
    order = np.argsort(known, axis=1)
    known = np.take_along_axis(known, order, axis=1).ravel()
    distance = np.take_along_axis(near.distance, order, axis=1).ravel()
    row = np.repeat(np.arange(n), np.diff(members.indptr))
    wanted = row * n + members.indices
    place = np.minimum(np.searchsorted(known, wanted), n * k - 1)
    found = distance[place]
    missing = np.flatnonzero(known[place] != wanted)
    found[missing] = rows.of_pairs(row[missing], members.indices[missing].astype(np.int64))
    return found


def _overlaps(encoding: sparse.csr_matrix, count: int) -> Iterator[NDArray[np.float64]]:
    """For each of the first `count` rows: its sum of minima with every row, (N,)."""
    of_column = encoding.tocsc()
    starts, lengths = of_column.indptr[:-1], np.diff(of_column.indptr)
    for row in range(count):
        own = slice(encoding.indptr[row], encoding.indptr[row + 1])
        columns = encoding.indices[own]
        many = lengths[columns]
        # the entries of these columns, one column behind the other
        entries = np.arange(many.sum()) + np.repeat(starts[columns] - np.cumsum(many) + many, many)
        minima = np.minimum(np.repeat(encoding.data[own], many), of_column.data[entries])
        sums = np.bincount(of_column.indices[entries], weights=minima, minlength=encoding.shape[0])
        yield np.asarray(sums, dtype=np.float64)


def _jaccard(overlap: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eq. (10) from sums of minima: encodings sum to 1, so the sum of maxima is 2 - overlap."""
    return 1 - overlap / (2 - overlap)
