"""CMC and mAP from features: ours, torchreid's way, and the bare matrix product, in one run.

    python -m benchmarks.ranking            # Market-1501's size, 2 threads
    python -m benchmarks.ranking --quick

"full sort" is torchreid's algorithm written out plainly: whole distance matrix, argsort of every
row, matrix of matches, one pass per query. Where torchreid's compiled module can be imported (as
`torchreid.metrics.rank_cylib.rank_cy`, or built alone, as `rank_cy`), it runs beside. Features are
synthetic, with the numbers of images, persons and distractors of Market-1501.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.rounds import compare, table
from crgan.metrics.ranking import evaluate

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """Features (L2-normalised) and labels of a benchmark."""

    query: Features
    gallery: Features
    q_pid: Labels
    q_camid: Labels
    g_pid: Labels
    g_camid: Labels


def market_like(queries: int, gallery: int, dims: int, persons: int) -> Case:
    """Six cameras, a third of the gallery distractors, noise that puts R1 between 50 and 80."""
    signal = np.float32(1.8 / dims**0.25)  # keeps the difficulty much the same at any width
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((persons + 1, dims), dtype=np.float32)
    cameras = rng.standard_normal((7, dims), dtype=np.float32)

    def features(pid: Labels, camid: Labels) -> Features:
        value = rng.standard_normal((len(pid), dims), dtype=np.float32)
        value += np.where(pid > 0, signal, 0)[:, None].astype(np.float32) * centres[pid]
        value += signal / 3 * cameras[camid]
        return value / np.linalg.norm(value, axis=1, keepdims=True)

    distractors = gallery // 3
    q_pid = rng.integers(1, persons + 1, queries)
    g_pid = np.concatenate(
        [np.zeros(distractors, np.int64), rng.integers(1, persons + 1, gallery - distractors)]
    )
    q_camid, g_camid = rng.integers(1, 7, queries), rng.integers(1, 7, gallery)
    return Case(features(q_pid, q_camid), features(g_pid, g_camid), q_pid, q_camid, g_pid, g_camid)


def distance_matrix(case: Case) -> Features:
    """Squared Euclidean distances, as torchreid makes them with torch."""
    query, gallery = torch.from_numpy(case.query), torch.from_numpy(case.gallery)
    squares = query.square().sum(1)[:, None] + gallery.square().sum(1)[None, :]
    return squares.addmm_(query, gallery.T, beta=1, alpha=-2).numpy()


def full_sort(case: Case) -> tuple[float, float]:
    """R1 and mAP in percent by sorting every row."""
    order = np.argsort(distance_matrix(case), axis=1)
    matches = (case.g_pid[order] == case.q_pid[:, None]).astype(np.int32)
    first, precisions = [], []
    for query in range(len(order)):
        removed = (matches[query] == 1) & (case.g_camid[order[query]] == case.q_camid[query])
        hits = matches[query][~removed]
        if hits.any():
            ranks = np.flatnonzero(hits) + 1
            first.append(ranks[0] == 1)
            precisions.append((hits.cumsum()[ranks - 1] / ranks).mean())
    return 100 * float(np.mean(first)), 100 * float(np.mean(precisions))


def compiled_ranker() -> Callable[..., Any] | None:
    """torchreid's compiled function, where it is installed or built."""
    for name in ("torchreid.metrics.rank_cylib.rank_cy", "rank_cy"):
        try:
            ranker: Callable[..., Any] = importlib.import_module(name).evaluate_cy
        except ImportError:
            continue
        return ranker
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sizes = (700, 4000, 512, 150) if arguments.quick else (3368, 19732, 2048, 750)
    case = market_like(*sizes)
    labels = (case.q_pid, case.q_camid, case.g_pid, case.g_camid)

    def ours(threads: int) -> tuple[float, float]:
        result = evaluate(case.query, case.gallery, *labels, ap="step", threads=threads)
        return result.rank1, result.mAP

    def compiled() -> tuple[float, float]:
        assert ranker is not None
        cmc, mean_ap = ranker(
            distance_matrix(case), case.q_pid, case.g_pid, case.q_camid, case.g_camid, 50
        )
        return 100 * float(cmc[0]), 100 * float(mean_ap)

    candidates: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(arguments.threads),
        "ours, 1 thread": lambda: ours(1),
        "bare product (numpy)": lambda: (case.query @ case.gallery.T).shape,
        "full sort": lambda: full_sort(case),
    }
    ranker = compiled_ranker()
    if ranker is not None:
        candidates["torchreid, compiled"] = compiled
    with threadpool_limits(limits=arguments.threads, user_api="blas"):
        timings = compare(candidates, arguments.rounds)

    queries, gallery, dims, _ = sizes
    print(f"{queries} queries x {gallery} gallery x {dims}, {arguments.threads} threads")
    print(table(timings, relative_to="full sort" if ranker is None else "torchreid, compiled"))
    for name, timing in timings.items():
        if name != "bare product (numpy)":
            print(f"{name}: R1, mAP = {timing.result}")


if __name__ == "__main__":
    main()
