"""The Frechet distance between two Gaussians fitted to features, exact and without a matrix root.

    d^2 = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

(Heusel et al. 2017, eq. 6). The last trace needs only eigenvalues. With S1 = A A^T and S2 = B B^T
it is the sum of the singular values of A^T B; and S1 S2 has the eigenvalues of A^T S2 A. So:

* both sets small: A and B are the centred features themselves, A^T B an N x M matrix, and no
  covariance is formed. Exact where the product S1 S2 is singular and an iterative root struggles;
* one set small: eigenvalues of an N x N matrix;
* neither: A is the Cholesky factor of S1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from crgan.common.errors import UserError

Matrix = NDArray[np.float64]

# Rows turned to float64 at once when a covariance is summed.
_ROWS = 2048

# Up to here singular values are taken directly; beyond, as roots of eigenvalues, four times as fast
# and good to 1e-8 of the largest where one is zero.
_SVD_ROWS = 1200


@dataclass(frozen=True)
class Moments:
    """A set of N features of D dimensions, by what determines its Gaussian.

    N <= D: the features; the covariance would be larger and singular. Else the covariance.
    """

    n: int
    mean: Matrix
    """(D,)"""
    features: NDArray[np.float32] | None
    """(N, D), or None"""
    cov: Matrix | None
    """(D, D) with denominator N - 1, or None"""

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Moments:
        """Moments of (N, D) features, N >= 2."""
        if features.ndim != 2 or len(features) < 2:
            raise UserError(f"features {features.shape}: two or more rows are needed to fit to")
        count, dims = features.shape
        mean = features.mean(axis=0, dtype=np.float64)
        if not np.isfinite(mean).all():
            raise UserError("features are not finite: check the network's weights and the images")
        if count <= dims:
            return cls(count, mean, np.asarray(features, dtype=np.float32), None)
        cov = np.zeros((dims, dims))
        for start in range(0, count, _ROWS):
            centred = features[start : start + _ROWS] - mean
            cov += centred.T @ centred
        return cls(count, mean, None, cov / (count - 1))

    @property
    def dims(self) -> int:
        return len(self.mean)

    def trace(self) -> float:
        """Trace of the covariance."""
        if self.cov is not None:
            return float(np.trace(self.cov))
        return float(np.square(self.factor()).sum())

    def factor(self) -> Matrix:
        """(N, D) A^T with covariance A A^T: the scaled centred features of a small set."""
        assert self.features is not None
        return (self.features - self.mean) / np.sqrt(self.n - 1)


def frechet_distance(first: Moments, second: Moments) -> float:
    """Squared Frechet distance (what is called FID) between the two sets' Gaussians."""
    if first.dims != second.dims:
        raise UserError(f"features of {first.dims} and {second.dims} dimensions: use one layer")
    shift = first.mean - second.mean
    return float(shift @ shift + first.trace() + second.trace() - 2 * _trace_of_root(first, second))


def _trace_of_root(first: Moments, second: Moments) -> float:
    """tr (S1 S2)^(1/2)."""
    if first.cov is not None and second.cov is not None:
        product = _congruent(first.cov, second.cov)
    elif second.cov is not None:
        product = _projected(first, second.cov)
    elif first.cov is not None:
        product = _projected(second, first.cov)
    else:
        cross = first.factor() @ second.factor().T
        if min(cross.shape) <= _SVD_ROWS:
            return float(np.linalg.svd(cross, compute_uv=False).sum())
        product = cross @ cross.T if len(cross) <= cross.shape[1] else cross.T @ cross
    # Rounding leaves the zero eigenvalues slightly to either side.
    return float(np.sqrt(np.maximum(np.linalg.eigvalsh(product), 0)).sum())


def _projected(small: Moments, cov: Matrix) -> Matrix:
    """(N, N): A^T S A for the small set's A; its eigenvalues are the product's that are not 0."""
    factor = small.factor()
    return factor @ cov @ factor.T


def _congruent(first: Matrix, second: Matrix) -> Matrix:
    """(D, D), lower triangle: symmetric, with the eigenvalues of `first @ second`."""
    lower, failed = lapack.dpotrf(np.asfortranarray(first), lower=1)
    if not failed:
        # LAPACK's reduction of a generalised eigenproblem: L^T S2 L at half the cost of a product.
        product, _ = lapack.dsygst(np.asfortranarray(second), lower, itype=2, lower=1)
        return product
    # Singular, as with channels that are always zero: the root by eigenvectors needs no full rank.
    values, vectors = np.linalg.eigh(first)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    return factor.T @ second @ factor
