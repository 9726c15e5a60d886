"""How a target's unlabelled features lie: what a choice may look at when test labels may not be.

Soft neighbourhood density: Saito et al., "Tune it the Right Way: Unsupervised Validation of Domain
Adaptation via Soft Neighborhood Density", ICCV 2021. They compare classifiers' outputs, which a
matching of unseen people does not have; here the features themselves are compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError

_BLOCK = 1024  # rows of similarities at a time: 16,522 images of DukeMTMC are 68 MB


def soft_neighbourhood_density(features: NDArray[np.float32], temperature: float) -> float:
    """Mean entropy (nats) of each row's softmax over its cosine similarities to all others.

    Higher: more neighbours that are about as near, so denser neighbourhoods, which a model that
    fits the target makes. At most log(N - 1), where all others are equally far.

    Raises:
        UserError: fewer than two rows, or a temperature that is not positive.
    """
    rows = _unit(features)
    if temperature <= 0:
        raise UserError(f"selection.temperature is {temperature}; it must be positive")
    total = 0.0
    for start in range(0, len(rows), _BLOCK):
        similarity = (rows[start : start + _BLOCK] @ rows.T).astype(np.float64) / temperature
        own = np.arange(len(similarity))
        similarity[own, start + own] = -np.inf
        similarity -= similarity.max(axis=1, keepdims=True)
        weights = np.exp(similarity)
        sums = weights.sum(axis=1)
        similarity[own, start + own] = 0.0  # its weight is 0, and 0 * -inf would be none
        total += float((np.log(sums) - (weights * similarity).sum(axis=1) / sums).sum())
    return total / len(rows)


def camera_mixing(
    features: NDArray[np.float32], camid: NDArray[np.int64], neighbours: int
) -> float:
    """Share of each row's nearest others that other cameras took, by what chance would give.

    1: cameras do not show in the features; 0: an image's neighbours are of its own camera alone.
    Cameras of the target are known without labelling; people are not looked at.

    Raises:
        UserError: fewer than two rows, or one camera.
    """
    rows = _unit(features)
    k = min(neighbours, len(rows) - 1)
    cameras, counts = np.unique(camid, return_counts=True)
    if len(cameras) < 2:
        raise UserError("camera mixing needs images of two cameras and more")
    other = 0.0
    for start in range(0, len(rows), _BLOCK):
        similarity = rows[start : start + _BLOCK] @ rows.T
        own = np.arange(len(similarity))
        similarity[own, start + own] = -np.inf
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        other += float((camid[nearest] != camid[start + own][:, None]).sum())
    same_by_chance = float((counts * (counts - 1)).sum() / (len(rows) * (len(rows) - 1)))
    return other / (k * len(rows)) / (1 - same_by_chance)


def reciprocity(features: NDArray[np.float32], camid: NDArray[np.int64]) -> float:
    """Share of rows that are the nearest of their nearest, both sought before other cameras only.

    The reciprocal neighbours that re-ranking trusts (Zhong et al., "Re-ranking Person
    Re-identification with k-reciprocal Encoding", CVPR 2017), of one neighbour, as a measure. A
    model that finds a person again before another camera finds the way back; features that tell
    nothing, or have collapsed, do not.

    Raises:
        UserError: fewer than two rows, or one camera.
    """
    rows = _unit(features)
    if len(np.unique(camid)) < 2:
        raise UserError("reciprocity needs images of two cameras and more")
    nearest = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _BLOCK):
        stop = min(start + _BLOCK, len(rows))
        similarity = rows[start:stop] @ rows.T
        similarity[camid[start:stop, None] == camid] = -np.inf
        nearest[start:stop] = similarity.argmax(axis=1)
    return float((nearest[nearest] == np.arange(len(rows))).mean())


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    if features.ndim != 2 or len(features) < 2:
        raise UserError(f"features {features.shape}: at least two rows are needed")
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(length > 0, length, 1), dtype=np.float32)
