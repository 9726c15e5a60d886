"""The nearest other rows of every row of a feature matrix, exact and without the N x N matrix.

Squared Euclidean distances are symmetric, so one block of them serves the rows of both its sides,
and half of the matrix product is enough. Of a block only what beats the k nearest found so far is
kept; after the blocks on the diagonal that is a handful a row.

Tie rule: of two rows equally far the one with the lower index is nearer, and a row itself is no
neighbour of its own. So the result depends neither on the order of the blocks nor on threads.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.metrics.inputs import Floats, Integers, checked_features, one_blas_thread

# Rows of a block. Below this the matrix product loses speed; above it nothing is won.
_BLOCK = 512

Keys: TypeAlias = NDArray[np.uint64]
_NOBODY = np.uint64((0x7F800000 << 32) | 0xFFFFFFFF)  # infinitely far


class FeatureRows:
    """The rows of several feature matrices, one below the other, none of them copied.

    Args:
        parts: (name, (N, D) float32) each; a name is for messages.
        unit: compare the rows as if each had length 1 (a zero row stays zero).

    Raises:
        UserError: features that are not finite or do not fit each other.
    """

    def __init__(self, *parts: tuple[str, NDArray[np.float32]], unit: bool = False) -> None:
        checked = [checked_features(*part) for part in parts]
        self._parts = [features for features, _ in checked]
        self._squares = np.concatenate([squares for _, squares in checked])
        self._scale: Floats | None = None
        if unit:
            lengths = np.sqrt(self._squares)
            self._scale = np.reciprocal(np.where(lengths > 0, lengths, 1), dtype=np.float32)
            self._squares = (lengths > 0).astype(np.float32)
        widths = [part.shape[1] for part in self._parts]
        if len(set(widths)) > 1:
            sizes = " and ".join(f"{name}: {w}" for (name, _), w in zip(parts, widths, strict=True))
            raise UserError(f"features differ in columns ({sizes}): extract all with one model")
        self.dims = widths[0]
        self.starts = np.cumsum([0, *map(len, self._parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def blocks(self) -> list[slice]:
        """Slices of at most `_BLOCK` rows, each within one part."""
        return [
            slice(row, min(row + _BLOCK, int(end)))
            for start, end in zip(self.starts, self.starts[1:], strict=False)
            for row in range(int(start), int(end), _BLOCK)
        ]

    def between(self, some: slice, others: slice) -> Floats:
        """Squared distances of two of the `blocks`."""
        distances = self._view(some) @ self._view(others).T
        if self._scale is not None:
            distances *= self._scale[some, None]
            distances *= self._scale[others]
        distances *= -2
        distances += self._squares[some, None]
        distances += self._squares[others]
        return np.maximum(distances, 0, out=distances)

    def of_pairs(self, some: Integers, others: Integers) -> Floats:
        """Squared distances (P,) of rows `some` to rows `others`, P each."""
        distances = np.empty(len(some), dtype=np.float32)
        step = max(1, (4 << 20) // (4 * self.dims))  # 4 MB of features at once
        for start in range(0, len(some), step):
            pairs = slice(start, start + step)
            a, b = some[pairs], others[pairs]
            products = np.einsum("ij,ij->i", self._take(a), self._take(b))
            if self._scale is not None:
                products *= self._scale[a] * self._scale[b]
            distances[pairs] = self._squares[a] + self._squares[b] - 2 * products
        return np.maximum(distances, 0, out=distances)

    def _view(self, rows: slice) -> Floats:
        part = int(np.searchsorted(self.starts, rows.start, side="right")) - 1
        start = self.starts[part]
        return self._parts[part][rows.start - start : rows.stop - start]

    def _take(self, rows: Integers) -> Floats:
        taken = np.empty((len(rows), self.dims), dtype=np.float32)
        for start, part in zip(self.starts, self._parts, strict=False):
            inside = (rows >= start) & (rows < start + len(part))
            taken[inside] = part[rows[inside] - start]
        return taken


@dataclass(frozen=True)
class Neighbours:
    """What `nearest` finds of N rows, K neighbours each.

    Attributes:
        index: int64 (N, K), nearest first; a row's first neighbour is itself, at distance 0.
        distance: float32 (N, K), squared.
        farthest: float32 (N,), the largest squared distance of each row to any.
    """

    index: Integers
    distance: Floats
    farthest: Floats


def nearest(
    rows: FeatureRows, count: int, *, threads: int = 1, first_to_second: Floats | None = None
) -> Neighbours:
    """Each row itself and its nearest others, `count` in all, or all rows where there are fewer.

    Args:
        rows: N features.
        count: 1 or more.
        threads: blocks worked on at once, each with one BLAS thread; changes nothing else.
        first_to_second: (Q, G), filled with the squared distances between the first and the
            second part of `rows` on the way.
    """
    n = len(rows)
    kept = _Kept(n, min(count, n) - 1)
    split = rows.starts[1]

    def work(pair: tuple[slice, slice]) -> None:
        some, others = pair
        distances = rows.between(some, others)
        if first_to_second is not None and some.stop <= split <= others.start:
            columns = slice(others.start - split, others.stop - split)
            first_to_second[some, columns] = distances
        kept.add(some, others, distances)

    blocks = rows.blocks()
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        # The diagonal first: once each row has neighbours, few of the other distances are kept.
        for pairs in ([(b, b) for b in blocks], combinations(blocks, 2)):
            for _ in pool.map(work, pairs):
                pass
    itself = np.arange(n)[:, None]
    index = np.concatenate((itself, kept.index()), axis=1)
    distance = np.concatenate((np.zeros((n, 1), np.float32), _distance(kept.keys)), axis=1)
    return Neighbours(index, distance, kept.farthest)


class _Kept:
    """The k nearest others of each of n rows so far, and how far its farthest is.

    A neighbour is one number: the bits of its distance, then its row. The bits of floats from 0 up
    are in the order of the floats, so numbers in order are neighbours in order, ties included.
    """

    def __init__(self, n: int, k: int) -> None:
        self.keys: Keys = np.full((n, k), _NOBODY)
        self.farthest = np.zeros(n, dtype=np.float32)
        self._bound = np.full(n, np.inf, dtype=np.float32)  # what is farther cannot be kept
        self._lock = threading.Lock()

    def index(self) -> Integers:
        """(n, k) rows."""
        return (self.keys & np.uint64(0xFFFFFFFF)).astype(np.int64)

    def add(self, some: slice, others: slice, distances: Floats) -> None:
        """Take in the squared distances between two blocks of rows; overwrites them."""
        self._measure(some, distances.max(axis=1))
        self._measure(others, distances.max(axis=0))
        k = self.keys.shape[1]
        if not k:
            return
        if some == others:
            np.fill_diagonal(distances, np.inf)
            if len(distances) > k:
                self._bound[some] = np.partition(distances, k - 1, axis=1)[:, k - 1]
        i, j = np.nonzero(distances <= self._bound[some, None])
        self._merge(some.start + i, _keys(distances[i, j], others.start + j))
        if some != others:
            j, i = np.nonzero((distances <= self._bound[others]).T)
            self._merge(others.start + j, _keys(distances[i, j], some.start + i))

    def _measure(self, rows: slice, most: Floats) -> None:
        with self._lock:
            np.maximum(self.farthest[rows], most, out=self.farthest[rows])

    def _merge(self, rows: Integers, keys: Keys) -> None:
        """Keep the best of what is there and `keys` (M,), found for `rows` (M,) in order."""
        touched, counts = np.unique(rows, return_counts=True)
        if not len(touched):
            return
        table = np.full((len(touched), int(counts.max())), _NOBODY)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        table[np.repeat(np.arange(len(touched)), counts), place] = keys
        with self._lock:
            best = np.concatenate((self.keys[touched], table), axis=1)
            best.sort(axis=1)
            self.keys[touched] = best[:, : self.keys.shape[1]]
            self._bound[touched] = np.minimum(
                self._bound[touched], _distance(self.keys[touched, -1])
            )


def _keys(distances: Floats, rows: Integers) -> Keys:
    return (distances.view(np.uint32).astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)


def _distance(keys: Keys) -> Floats:
    return (keys >> np.uint64(32)).astype(np.uint32).view(np.float32)
