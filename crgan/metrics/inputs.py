"""What every comparison of features checks first, and how it shares the cores."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from crgan.common.errors import UserError

Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]


def one_blas_thread() -> AbstractContextManager[object]:
    """Several BLAS threads inside each of our threads would fight over the cores."""
    return threadpool_limits(limits=1, user_api="blas")


def checked_features(name: str, features: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """(N, D) float32 and the squared norm of each row; refuses what cannot be ranked."""
    features = np.asarray(features)
    if features.ndim != 2 or 0 in features.shape or features.dtype.kind != "f":
        raise UserError(
            f"{name} features are {features.dtype} {features.shape}: expected float32 (images, "
            "dimensions) with at least one image"
        )
    features = np.ascontiguousarray(features, dtype=np.float32)
    squares = np.einsum("ij,ij->i", features, features)
    bad = np.flatnonzero(~np.isfinite(squares))
    if len(bad):
        raise UserError(
            f"{len(bad)} of {len(features)} {name} features are not finite, the first in row "
            f"{bad[0]}: the model has diverged; retrain it with a lower learning rate"
        )
    return features, squares


def checked_labels(
    name: str, labels: NDArray[np.integer], count: int, *, least: int | None
) -> Integers:
    """(count,) int64 labels, none below `least`."""
    given = np.asarray(labels)
    if given.shape != (count,) or given.dtype.kind not in "iu":
        raise UserError(
            f"{name}: {given.dtype} {given.shape}, expected {count} integers, one per image"
        )
    checked: Integers = given.astype(np.int64)
    if least is not None and checked.min() < least:
        row = int(checked.argmin())
        raise UserError(
            f"{name} {checked[row]} in row {row}: the smallest allowed here is {least}; junk, "
            "distractors and unlabelled images cannot be evaluated as persons"
        )
    return checked
