"""Search among many features: ours beside the whole matrix and argsort, in one run.

    python -m benchmarks.search               # a million features of 512, 20 queries
    python -m benchmarks.search --quick

The features lie in a file and are read as `crgan search` reads them. Both candidates must find the
same images.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.rounds import compare, table
from crgan.deploy.nearest import top_k

Features = NDArray[np.float32]


def drawn(rows: int, dims: int, path: Path) -> Features:
    """Random features of length 1 in a file, as a memory map."""
    rng = np.random.default_rng(0)
    made = np.memmap(path, dtype=np.float32, mode="w+", shape=(rows, dims))
    for start in range(0, rows, 8192):
        part = rng.standard_normal(made[start : start + 8192].shape, dtype=np.float32)
        made[start : start + 8192] = part / np.linalg.norm(part, axis=1, keepdims=True)
    made.flush()
    return np.memmap(path, dtype=np.float32, mode="r", shape=(rows, dims))


def full_sort(queries: Features, gallery: Features, k: int) -> NDArray[np.int64]:
    """The whole matrix, every row sorted."""
    return np.argsort(-(queries @ gallery.T), axis=1, kind="stable")[:, :k]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth of the size")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for the features; a temporary one by default")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows, dims, k = (50_000 if arguments.quick else 1_000_000), 512, 10
    with (
        tempfile.TemporaryDirectory(dir=arguments.folder) as folder,
        threadpool_limits(limits=arguments.threads, user_api="blas"),
    ):
        gallery = drawn(rows, dims, Path(folder) / "features.f32")
        queries = np.array(gallery[:: rows // arguments.queries][: arguments.queries])
        timings = compare(
            {
                "ours": lambda: top_k(queries, gallery, k)[0],
                "full matrix and argsort": lambda: full_sort(queries, gallery, k),
            },
            arguments.rounds,
        )
    found = [timing.result for timing in timings.values()]
    print(f"{len(queries)} queries x {rows} features x {dims}, {arguments.threads} threads")
    print(table(timings, relative_to="full matrix and argsort"))
    print(f"the same images: {np.array_equal(*found)}")  # type: ignore[arg-type]
    print(f"a query: {1000 * statistics.median(timings['ours'].wall) / len(queries):.0f} ms")


if __name__ == "__main__":
    main()
