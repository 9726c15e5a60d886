"""What methods on features ask for, by their parameters, and the measured rates that go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

MASKS_A_SECOND = 31.0  # MediaPipe Pose, one thread (776 pictures in 25 s)
THREAD_FLOPS = 8e10  # of numpy's products on one thread (3,368 x 19,732 x 2048 on two in 1.7 s)


def _pul(s: Mapping[str, Any], n: int) -> tuple[float, float, float]:
    lloyd = 30 * 2 * n * (n / s["pictures_per_cluster"]) * 2048  # 30 iterations, on one thread
    rounds = s["rounds"]
    return rounds * s["epochs"] * n, rounds * n, rounds * lloyd / THREAD_FLOPS


def _buc(s: Mapping[str, Any], n: int) -> tuple[float, float, float]:
    rounds = s["rounds"]
    trained = (s["first_epochs"] + (rounds - 1) * s["epochs"]) * n
    return trained, rounds * n, rounds * 2 * n**2 * 2048 / THREAD_FLOPS  # on one thread


def _cluster_contrast(s: Mapping[str, Any], n: int) -> tuple[float, float, float]:
    rounds = s["rounds"]
    neighbours = 2 * n**2 * 2048 / (8 * THREAD_FLOPS)  # on eight threads
    return rounds * s["iterations"] * s["batch"], rounds * n, rounds * neighbours


# model: (options, the target's training pictures) -> pictures trained on, pictures looked at, and
# seconds on the processor. PUL counts every picture as trusted, so it is an upper bound.
SHARES: dict[str, Callable[[Mapping[str, Any], int], tuple[float, float, float]]] = {
    "pul": _pul,
    "buc": _buc,
    "cluster_contrast": _cluster_contrast,
    "taudl": lambda s, n: (s["iterations"] * s["batch"], 0, 0),
    # two CNNs on the source, one of them alone on the target
    "tjaidl": lambda s, n: (
        (2 * s["iterations"] + s["target_iterations"]) * s["batch"],
        s["target_iterations"] * s["batch"],
        0,
    ),
    "mmfa": lambda s, n: (2 * s["iterations"] * s["batch"], 0, 0),
    # a batch for the labels, P x K source people, and target pictures with their renderings
    "hhl": lambda s, n: (
        s["iterations"] * (s["batch"] + s["people"] * s["pictures"] + 9 * s["target_batch"]),
        0,
        0,
    ),
}

# Pictures whose activations are kept at once, where that is not the batch.
HELD: dict[str, Callable[[Mapping[str, Any]], int]] = {
    "tjaidl": lambda s: 2 * s["batch"],
    "mmfa": lambda s: 2 * s["batch"],
    "hhl": lambda s: s["batch"] + s["people"] * s["pictures"] + 9 * s["target_batch"],
}
