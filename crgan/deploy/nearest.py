"""Exact search among a million features and more, in memory that does not grow with their number.

The gallery is read in chunks, as a memory map if it is one; of each chunk only what beats the best
found so far is looked at. Tie rule: of two rows equally similar the one with the lower index first.
"""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Keys = NDArray[np.uint64]

_ROWS = 8192  # of the gallery at once: 64 MB of 2048 dimensions
_QUERIES = 256  # at once
_NOBODY = np.uint64(0xFFFFFFFFFFFFFFFF)
_SIGN = np.uint32(0x80000000)


def top_k(
    queries: Floats,
    gallery: Floats,
    k: int,
    *,
    cameras: tuple[Integers, Integers] | None = None,
    itself: Integers | None = None,
    matrix: Floats | None = None,
) -> tuple[Integers, Floats]:
    """The `k` gallery rows most similar to each query, best first.

    Args:
        queries: (Q, D), of length 1.
        gallery: (N, D), of length 1; N below 2^32.
        k: 1 or more.
        cameras: of the queries (Q,) and of the gallery (N,): rows of a query's own camera are left
            out; negative numbers are of no camera.
        itself: (Q,), a gallery row that is not to be found, -1 for none.
        matrix: (Q, N), filled with all similarities on the way.

    Returns:
        Rows int64 (Q, k), -1 where the gallery ends before, and similarities float32 (Q, k), -inf.

    Raises:
        UserError: features of two models.
    """
    if queries.shape[1] != gallery.shape[1]:
        raise UserError(
            f"features of {queries.shape[1]} and {gallery.shape[1]} dimensions: use one model"
        )
    best = np.full((len(queries), k), _NOBODY)
    for start in range(0, len(gallery), _ROWS):
        rows = slice(start, start + _ROWS)
        chunk = _read(gallery, rows)
        for first in range(0, len(queries), _QUERIES):
            some = slice(first, first + _QUERIES)
            scores = queries[some] @ chunk.T
            if matrix is not None:
                matrix[some, rows] = scores
            if cameras is not None:
                own = cameras[0][some]
                scores[(own[:, None] == cameras[1][rows]) & (own >= 0)[:, None]] = -np.inf
            if itself is not None:
                place = itself[some] - start
                here = (place >= 0) & (place < scores.shape[1])
                scores[here, place[here]] = -np.inf
            _take_in(best[some], scores, start)
    return _decoded(best)


def _read(gallery: Floats, rows: slice) -> Floats:
    """Some rows; those of a memory map as a copy, since pages of a map count as ours once read."""
    if not isinstance(gallery, np.memmap) or not isinstance(gallery.base, mmap.mmap):
        return gallery[rows]
    count = min(rows.stop, len(gallery)) - rows.start
    width = gallery.shape[1]
    begin = gallery.offset + rows.start * width * gallery.itemsize
    flat = np.fromfile(str(gallery.filename), gallery.dtype, count * width, offset=begin)
    return flat.reshape(count, width)


def _take_in(best: Keys, scores: Floats, start: int) -> None:
    """Put what `scores` (q, n) of rows from `start` on has better than `best` (q, k) into it."""
    k = best.shape[1]
    scores += 0.0  # -0 becomes 0
    # rows of this chunk come after all before it, so a tie with the last of `best` is no entry
    bound = np.nextafter(_scores(best[:, -1]), np.float32(np.inf))
    bound = np.where(best[:, -1] == _NOBODY, np.finfo(np.float32).min, bound)
    open_rows = np.flatnonzero(best[:, -1] == _NOBODY)
    if len(open_rows) and scores.shape[1] > k:
        kth = np.partition(scores[open_rows], -k, axis=1)[:, -k]
        bound[open_rows] = np.maximum(bound[open_rows], kth)
    i, j = np.nonzero(scores >= bound[:, None])
    if not len(i):
        return
    touched, counts = np.unique(i, return_counts=True)
    table = np.full((len(touched), int(counts.max())), _NOBODY)
    place = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    table[np.repeat(np.arange(len(touched)), counts), place] = _keys(scores[i, j], start + j)
    both = np.concatenate((best[touched], table), axis=1)
    both.sort(axis=1)
    best[touched] = both[:, :k]


def _keys(scores: Floats, rows: Integers) -> Keys:
    """One number of a score and its row: smaller ones are better."""
    bits = scores.view(np.uint32)
    # bits of floats in the order of the floats, the largest first
    falling = np.where(bits & _SIGN, bits, ~(bits | _SIGN))
    return (falling.astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)


def _scores(keys: Keys) -> Floats:
    falling = (keys >> np.uint64(32)).astype(np.uint32)
    return np.where(falling & _SIGN, falling, ~falling & ~_SIGN).view(np.float32)


def _decoded(best: Keys) -> tuple[Integers, Floats]:
    rows = (best & np.uint64(0xFFFFFFFF)).astype(np.int64)
    nobody = best == _NOBODY
    return np.where(nobody, -1, rows), np.where(nobody, -np.float32(np.inf), _scores(best))
