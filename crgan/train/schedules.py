"""Learning rates by iteration: all schedules that the methods use.

Each gives the rate of iteration t, from 0, of `total`, for a highest rate `lr`.
"""

from __future__ import annotations

import math


def linear_decay(lr: float, t: int, total: int, constant_share: float = 0.5) -> float:
    """Constant for a share of the iterations, then linearly to 0 (section 4.1: a half)."""
    left, falling = 1 - t / total, 1 - constant_share
    return lr * (min(1.0, left / falling) if falling else 1.0)


def step_decay(lr: float, t: int, total: int, at: float) -> float:
    """A tenth from a share `at` of the iterations on."""
    return lr * (0.1 if t >= at * total else 1.0)


def exponential_decay(
    lr: float, t: int, total: int, constant_share: float, last_rate: float
) -> float:
    """Constant for a share of the iterations, then exponentially to `last_rate` times `lr`."""
    falling = t / total - constant_share
    if falling <= 0:
        return lr
    return float(lr * last_rate ** (falling / (1 - constant_share)))


def in_warmup(t: int, total: int, share: float) -> bool:
    """Whether iteration t belongs to the warm-up of a share of the iterations."""
    return t / total < share


def warmup(lr: float, t: int, total: int, share: float) -> float:
    """Linearly from 0 to `lr` over a share of the iterations; to be asked there only."""
    return lr * (t + 1) / math.ceil(share * total)
