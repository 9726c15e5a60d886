"""Work on many images, some at a time: bounded memory, several threads, one bar."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from crgan.pipeline.progress import Bar

Features = NDArray[np.float32]
Images = NDArray[np.uint8]


def in_chunks(
    describe: Callable[[Images], Features],
    images: Images,
    dims: int,
    *,
    chunk: int,
    threads: int,
    description: str,
) -> Features:
    """Describe all images, `chunk` at a time on each of `threads` threads.

    Every image is described alone, so neither number changes a result by more than rounding.

    Args:
        describe: uint8 (b, H, W, 3) to float32 (b, dims); NumPy and OpenCV leave the interpreter
            free for the other threads during most of it.
        images: uint8 (n, H, W, 3).
        description: of the progress bar.

    Returns:
        float32 (n, dims).
    """
    result = np.empty((len(images), dims), dtype=np.float32)

    def work(start: int) -> int:
        part = images[start : start + chunk]
        result[start : start + chunk] = describe(part)
        return len(part)

    progress = Bar(total=len(images), desc=description, unit="img")
    with progress, ThreadPoolExecutor(threads) as pool:
        for done in pool.map(work, range(0, len(images), chunk)):
            progress.update(done)
    return result
