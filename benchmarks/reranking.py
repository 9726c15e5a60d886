"""Features to re-ranked distances: ours beside the usual dense way, in one run.

    python -m benchmarks.reranking                 # 200 x 1,000 and 1,000 x 5,000, 2 threads
    python -m benchmarks.reranking --threads 1

"dense" is the algorithm as torchreid, fast-reid and the paper's authors run it, written out
plainly: the matrix of all distances, argsort of every row, the neighbour sets of one image after
another, encodings as an N x N matrix, one loop over each encoding's weights. It is fed Euclidean
distances, so that both compute the same thing. Features are synthetic, as in benchmarks.ranking.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.ranking import Features, market_like
from benchmarks.rounds import compare
from crgan.metrics.reranking import rerank

K1, K2, LAMBDA = 20, 6, 0.3
SIZES = ((200, 1000, 150), (1000, 5000, 750))  # queries, gallery, persons


def dense(query: Features, gallery: Features) -> Features:
    """Re-ranked distances (Q, G) by dense matrices and loops."""
    features = np.concatenate((query, gallery))
    squares = np.square(features).sum(axis=1)
    original = squares[:, None] + squares - 2 * (features @ features.T)
    original = (original / original.max(axis=0)).T
    order = np.argsort(original, axis=1).astype(np.int32)
    total, half = len(features), int(np.around(K1 / 2)) + 1

    def reciprocal(image: int, k: int) -> np.ndarray:
        forward = order[image, :k]
        backward = order[forward, :k]
        return forward[np.where(backward == image)[0]]

    encodings = np.zeros_like(original)
    for image in range(total):
        mine = reciprocal(image, K1 + 1)
        members = mine
        for candidate in mine:
            theirs = reciprocal(candidate, half)
            if len(np.intersect1d(theirs, mine)) > 2 / 3 * len(theirs):
                members = np.append(members, theirs)
        members = np.unique(members)
        weights = np.exp(-original[image, members])
        encodings[image, members] = weights / weights.sum()
    expanded = np.zeros_like(encodings)
    for image in range(total):
        expanded[image] = encodings[order[image, :K2]].mean(axis=0)
    holders = [np.where(expanded[:, column] != 0)[0] for column in range(total)]
    jaccard = np.zeros((len(query), total), dtype=np.float32)
    for image in range(len(query)):
        overlap = np.zeros(total, dtype=np.float32)
        for column in np.where(expanded[image] != 0)[0]:
            rows = holders[column]
            overlap[rows] += np.minimum(expanded[image, column], expanded[rows, column])
        jaccard[image] = 1 - overlap / (2 - overlap)
    final = jaccard * (1 - LAMBDA) + original[: len(query)] * LAMBDA
    return final[:, len(query) :]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    for queries, gallery, persons in SIZES:
        case = market_like(queries, gallery, 2048, persons)
        candidates: dict[str, Callable[[], object]] = {
            "ours": lambda case=case: rerank(
                case.query, case.gallery, k1=K1, k2=K2, lambda_value=LAMBDA,
                threads=arguments.threads,
            ),
            "dense": lambda case=case: dense(case.query, case.gallery),
        }  # fmt: skip
        with threadpool_limits(limits=arguments.threads, user_api="blas"):
            timings = compare(candidates, arguments.rounds)
        ours, theirs = timings["ours"], timings["dense"]
        wall, peer_wall, cpu, peer_cpu = (
            statistics.median(seconds) for seconds in (ours.wall, theirs.wall, ours.cpu, theirs.cpu)
        )
        memory, peer_memory = max(ours.extra_mb), max(theirs.extra_mb)
        apart = float(np.abs(np.subtract(ours.result, theirs.result)).max())
        print(
            f"{queries} x {gallery} x 2048, {arguments.threads} threads: "
            f"{wall:.2f} s ({wall / peer_wall:.3f} of dense {peer_wall:.2f} s), "
            f"cpu {cpu:.2f} s ({cpu / peer_cpu:.3f}), "
            f"{memory:.0f} MB ({memory / peer_memory:.3f} of {peer_memory:.0f} MB), "
            f"at most {apart:.0e} apart"
        )


if __name__ == "__main__":
    main()
