"""What a target network of N pictures asks of each method: memory and time, by arithmetic.

    python -m benchmarks.capacity_million                  # 16,522 (DukeMTMC-reID), 10^5 and 10^6
    python -m benchmarks.capacity_million --pictures 3000000

Sizes follow from the code as it is (which file is said in each row), rates are measured ones
(docs/measurements.md) or --tflops; nothing is run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.capacity_shares import MASKS_A_SECOND, THREAD_FLOPS

PICTURE = 3 * 256 * 128  # bytes in the store
MASK = 256 * 128 / 8  # bytes, one bit a pixel, before compression
FEATURE = 2048 * 4
CNN_FLOPS = 5.34e9  # of one picture forward, counted by benchmarks.capacity_work
CAMERAS = 8


@dataclass(frozen=True)
class Row:
    """One need.

    Attributes:
        what: of which step, where it stands in the code.
        size: bytes for n pictures, None where only time matters.
        seconds: for n pictures and a GPU of so many operations a second.
        limit: bytes beyond which it stops working on a machine of 256 GB of memory and 10 TB of
            disk; None where it grows but does not stop.
    """

    what: str
    size: Callable[[float], float] | None
    seconds: Callable[[float, float], float] | None
    limit: float | None = None


def product(n: float, m: float) -> float:
    """Operations of all distances between n and m features."""
    return 2 * n * m * 2048


RAM, DISK = 256e9, 10e12
ROWS = (
    Row("pictures, a memory map (`data/store.py`)", lambda n: n * PICTURE, None, DISK),
    Row("masks, 8 threads (`parsing/extract.py`)", lambda n: n * MASK,
        lambda n, f: n / MASKS_A_SECOND / 8, RAM),
    Row("features of every picture (`reid/features.py`)", lambda n: n * FEATURE,
        lambda n, f: n * CNN_FLOPS / f, RAM),
    Row("one epoch of the CNN", None, lambda n, f: n * 3 * CNN_FLOPS / f),
    Row("scores of 3,368 queries (`metrics/ranking.py`, in blocks)", None,
        lambda n, f: product(3368, n) / THREAD_FLOPS / 8),
    Row("neighbours for re-ranking and Cluster-Contrast, one round on 8 threads "
        "(`metrics/neighbours.py`)", lambda n: n * FEATURE,
        lambda n, f: product(n, n) / THREAD_FLOPS / 8, RAM),
    Row("the same as usually coded: several N x N matrices", lambda n: 24 * n * n, None, RAM),
    Row("BUC: distances of all pairs at the first merge, float64, one thread a round "
        "(`adapt/buc.py`)", lambda n: 8 * n * (n - 1) / 2,
        lambda n, f: product(n, n) / THREAD_FLOPS, RAM),
    Row("PUL: k-means with N / 20 centres, 30 iterations, one thread a round (`adapt/pul.py`)",
        lambda n: n * FEATURE + n / 20 * FEATURE,
        lambda n, f: 30 * product(n, n / 20) / THREAD_FLOPS, RAM),
    Row("HHL: every picture in every camera's style, a file (`adapt/hhl.py`)",
        lambda n: n * CAMERAS * PICTURE, None, DISK),
)  # fmt: skip


def size(value: float) -> str:
    """Bytes as people write them."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value / 1e3:.3g} kB"


def duration(value: float) -> str:
    """Seconds as people write them."""
    for unit, name in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if value >= 2 * unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.2g} s"


def main(argv: list[str] | None = None) -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity_million",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--pictures", type=float, nargs="+", default=[16522, 1e5, 1e6])
    parser.add_argument("--tflops", type=float, default=40.0, help="sustained, of one GPU")
    args = parser.parse_args(argv)
    print(f"| what | {' | '.join(f'{n:,.0f}' for n in args.pictures)} |")
    print(f"|---|{'---:|' * len(args.pictures)}")
    for row in ROWS:
        cells = []
        for n in args.pictures:
            parts = [size(row.size(n))] if row.size else []
            parts += [duration(row.seconds(n, args.tflops * 1e12))] if row.seconds else []
            stops = row.size is not None and row.limit is not None and row.size(n) > row.limit
            cells.append(("**stops**, " if stops else "") + ", ".join(parts))
        print(f"| {row.what} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
