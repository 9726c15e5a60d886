"""UMDL's multi-task dictionaries (Peng et al. 2016): objective and alternating updates.

Rows are images here: X (n, d) is coded as A (n, K) on atoms D (K, d), X ~ A D. All data sets
share D_s; the target has D_u of its own; what neither explains goes to a residual dictionary D_r of
each data set, so that it does not spoil the others. With |.| the Frobenius norm,

    source  w^2 [ |X - A_s D_s|^2 + b^2 (|X - A_s D_s - A_r D_r|^2 + g |A_r|^2)
                  + g |A_s|^2 + a tr(A_s' L A_s) ]
    target  |X - A_s D_s|^2 + |X - A D|^2 + b^2 (|X - A D - A_r D_r|^2 + g |A_r|^2)
                  + g |A|^2 + a tr(A' L A)            with A = [A_s A_u], D = [D_s; D_u]

and every atom no longer than 1. (a, b, g, w: alpha, beta, gamma, source_weight.) L = Deg - W is the
Laplacian of a graph W: images it joins shall have like codes. The terms are those the authors'
functions minimise; here each update is the exact minimum of all that its variable stands in, so the
objective never rises.

Those functions hold W as a dense n x n matrix and code one image after another. Here nothing is
n x n: the source's graph joins all images of a person, so L is block-diagonal and its inverse is
known in closed form (`code_people`); the target's has a few neighbours an image, and is solved by
conjugate gradients (`code_graph`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crgan.pipeline.progress import bar_range

Matrix = NDArray[Any]  # float32 where it is as long as the images, float64 where it is small


@dataclass(frozen=True)
class Weights:
    """The objective's alpha, beta, gamma and w."""

    alpha: float
    beta: float
    gamma: float
    source_weight: float


@dataclass
class Dictionaries:
    """Atoms (K, d), none longer than 1.

    Attributes:
        shared: D_s.
        unique: D_u.
        residual_source, residual_target: D_r.
    """

    shared: Matrix
    unique: Matrix
    residual_source: Matrix
    residual_target: Matrix

    @property
    def target(self) -> Matrix:
        """D = [D_s; D_u]."""
        return np.concatenate((self.shared, self.unique))


@dataclass
class Codes:
    """A_s of the source, A = [A_s A_u] of the target, and A_r of both; 0 before any update."""

    source: Matrix
    target: Matrix
    residual_source: Matrix
    residual_target: Matrix


@dataclass
class Problem:
    """What is learned from: source X (n, d) with people (n,), target X (m, d) with its graph L.

    Attributes:
        laplacian: sparse (m, m); None for a graph without edges.
    """

    source: Matrix
    people: NDArray[np.int64]
    target: Matrix
    weights: Weights
    laplacian: sparse.csr_array | None = None
    objective: list[float] = field(default_factory=list)


def random_dictionaries(
    shared: int, unique: int, residual: int, dims: int, rng: np.random.Generator
) -> Dictionaries:
    """Random atoms of mean 0 and length 1."""

    def atoms(count: int) -> Matrix:
        values = rng.random((count, dims)) - 0.5
        values -= values.mean(axis=1, keepdims=True)
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    return Dictionaries(atoms(shared), atoms(unique), atoms(residual), atoms(residual))


def zero_codes(problem: Problem, d: Dictionaries) -> Codes:
    """Where codes start."""

    def zeros(x: Matrix, atoms: Matrix) -> Matrix:
        return np.zeros((len(x), len(atoms)), dtype=np.float32)

    return Codes(
        zeros(problem.source, d.shared),
        zeros(problem.target, d.target),
        zeros(problem.source, d.residual_source),
        zeros(problem.target, d.residual_target),
    )


def learn(problem: Problem, d: Dictionaries, codes: Codes, iterations: int, name: str) -> None:
    """Alternate between codes and dictionaries, both changed in place; the objective after each
    iteration goes to `problem.objective`.
    """
    progress = bar_range(iterations, desc=name, unit="it")
    for step in progress:
        update_codes(problem, d, codes)
        update_dictionaries(problem, d, codes)
        problem.objective.append(objective(problem, d, codes))
        progress.note(step + 1, {"objective": problem.objective[-1]})


def update_codes(problem: Problem, d: Dictionaries, codes: Codes) -> None:
    """Codes of both data sets, the dictionaries fixed."""
    w = problem.weights
    both = 1 + w.beta**2
    x = problem.source
    wanted = _mixed(x, codes.residual_source, d.residual_source, w.beta)
    codes.source = code_people(
        both * _gram(d.shared), _times(wanted, d.shared.T), problem.people, w.alpha, w.gamma
    )
    rest = x - _times(codes.source, d.shared)
    codes.residual_source = ridge(rest, d.residual_source, w.gamma)

    x, atoms, k = problem.target, d.target, len(d.shared)
    wanted = _mixed(x, codes.residual_target, d.residual_target, w.beta)
    gram, products = both * _gram(atoms), _times(wanted, atoms.T)
    gram[:k, :k] += _gram(d.shared)
    products[:, :k] += _times(x, d.shared.T)
    codes.target = code_graph(
        gram, products, problem.laplacian, w.alpha, w.gamma, start=codes.target
    )
    codes.residual_target = ridge(x - _times(codes.target, atoms), d.residual_target, w.gamma)


def update_dictionaries(problem: Problem, d: Dictionaries, codes: Codes) -> None:
    """Atoms of all dictionaries, the codes fixed."""
    w, k = problem.weights, len(d.shared)
    both = 1 + w.beta**2
    x_s, x_t = problem.source, problem.target
    a_s, a_u = codes.target[:, :k], codes.target[:, k:]

    wanted = _mixed(x_s, codes.residual_source, d.residual_source, w.beta)
    gram = w.source_weight**2 * both * _gram(codes.source.T)
    products = w.source_weight**2 * _product(codes.source, wanted)
    unique = _times(a_u, d.unique)
    wanted = _mixed(x_t - unique, codes.residual_target, d.residual_target, w.beta)
    gram += (1 + both) * _gram(a_s.T)
    products += _product(a_s, wanted + x_t)
    d.shared = bounded_atoms(gram, products, d.shared)

    rest = x_t - _times(a_s, d.shared)
    wanted = _mixed(rest, codes.residual_target, d.residual_target, w.beta)
    d.unique = bounded_atoms(both * _gram(a_u.T), _product(a_u, wanted), d.unique)

    for name, unexplained in (
        ("residual_source", x_s - _times(codes.source, d.shared)),
        ("residual_target", rest - _times(a_u, d.unique)),
    ):
        a_r = getattr(codes, name)
        atoms = bounded_atoms(_gram(a_r.T), _product(a_r, unexplained), getattr(d, name))
        setattr(d, name, atoms)


def objective(problem: Problem, d: Dictionaries, codes: Codes) -> float:
    """The value that is minimised."""
    w, k = problem.weights, len(d.shared)

    def residual(rest: Matrix, a_r: Matrix, d_r: Matrix) -> float:
        return w.beta**2 * (_square(rest - _times(a_r, d_r)) + w.gamma * _square(a_r))

    rest = problem.source - _times(codes.source, d.shared)
    source = (
        _square(rest)
        + residual(rest, codes.residual_source, d.residual_source)
        + w.gamma * _square(codes.source)
        + w.alpha * _people_energy(codes.source, problem.people)
    )
    rest = problem.target - _times(codes.target[:, :k], d.shared)
    target = _square(rest)
    rest = rest - _times(codes.target[:, k:], d.unique)
    target += (
        _square(rest)
        + residual(rest, codes.residual_target, d.residual_target)
        + w.gamma * _square(codes.target)
    )
    if problem.laplacian is not None:
        a = codes.target
        target += w.alpha * float(np.sum(a * (problem.laplacian @ a), dtype=np.float64))
    return w.source_weight**2 * source + target


def ridge(x: Matrix, atoms: Matrix, gamma: float) -> Matrix:
    """Codes (n, K) that minimise |X - A D|^2 + gamma |A|^2."""
    return _times(x, ridge_map(atoms, gamma))


def ridge_map(atoms: Matrix, gamma: float) -> Matrix:
    """The matrix (d, K) that takes an image to its ridge code."""
    gram = _gram(atoms) + gamma * np.eye(len(atoms))
    return np.linalg.solve(gram, atoms).T


def code_people(
    gram: Matrix, products: Matrix, people: NDArray[np.int64], alpha: float, gamma: float
) -> Matrix:
    """Codes where all n images of a person are joined by edges of weight 1.

    Solves A (gram + gamma) + alpha L A = products. A person's block of L is n I - 1 1', which takes
    the mean of the person's codes to 0 and multiplies what is left by n; so mean and rest are each
    divided by a diagonal, in the basis of the eigenvectors of `gram`.

    Args:
        gram: (K, K); products: (N, K); people: (N,).
    """
    values, vectors = np.linalg.eigh(gram)
    rotated = _times(products, vectors)
    _, index, counts = np.unique(people, return_inverse=True, return_counts=True)
    means = _sums(rotated, index, len(counts)) / counts[:, None].astype(np.float32)
    stiff = (values + gamma).astype(np.float32)
    mean = means[index]
    n = counts[index][:, None].astype(np.float32)
    codes = mean / stiff + (rotated - mean) / (stiff + np.float32(alpha) * n)
    return _times(codes, vectors.T)


def code_graph(
    gram: Matrix,
    products: Matrix,
    laplacian: sparse.csr_array | None,
    alpha: float,
    gamma: float,
    *,
    start: Matrix,
    tolerance: float = 1e-4,
    most: int = 200,
) -> Matrix:
    """Codes under a sparse graph: A with A (gram + gamma) + alpha L A = products.

    In the basis of the eigenvectors of `gram` each of the K columns is an equation of its own,
    (value + gamma) a + alpha L a = p. All are solved together by conjugate gradients,
    preconditioned by the diagonal, from `start` on; however early it stops, the objective is not
    above that of `start`.

    Args:
        gram: (K, K); products, start: (N, K); laplacian: (N, N), symmetric.
        tolerance: of the residual's length, relative to that of the column of `products`.
        most: iterations.
    """
    values, vectors = np.linalg.eigh(gram)
    stiff = (values + gamma).astype(np.float32)
    wanted = _times(products, vectors)
    if laplacian is None:
        return _times(wanted / stiff, vectors.T)
    scaled = (np.float32(alpha) * laplacian).astype(np.float32).tocsr()
    diagonal = scaled.diagonal()[:, None] + stiff
    codes = _times(start, vectors)
    residual = wanted - codes * stiff - scaled @ codes
    limit = tolerance**2 * np.maximum(_column_dots(wanted, wanted), np.float32(1e-12))
    step = residual / diagonal
    fit = _column_dots(residual, step)
    for _ in range(most):
        if (_column_dots(residual, residual) <= limit).all():
            break
        image = step * stiff + scaled @ step
        curvature = _column_dots(step, image)
        length = np.where(curvature > 0, fit / np.where(curvature > 0, curvature, 1), 0)
        codes += length * step
        residual -= length * image
        nearer = residual / diagonal
        previous, fit = fit, _column_dots(residual, nearer)
        step = nearer + np.where(previous > 0, fit / np.where(previous > 0, previous, 1), 0) * step
    return _times(codes, vectors.T)


def bounded_atoms(
    gram: Matrix, products: Matrix, atoms: Matrix, *, tolerance: float = 1e-4, most: int = 20
) -> Matrix:
    """Atoms D (K, d) of length 1 at most that minimise |X - A D|^2, from A'A and A'X.

    One atom after another is put where it is best, the others fixed (the problem is convex and the
    bounds are each atom's own, so this ends at the minimum), until none moves by `tolerance`. An
    atom that no image uses stays.
    """
    atoms = atoms.copy()
    used = np.flatnonzero(np.diag(gram) > 1e-10 * max(float(np.diag(gram).max()), 1e-10))
    for _ in range(most):
        moved = 0.0
        for j in used:
            best = atoms[j] + (products[j] - gram[j] @ atoms) / gram[j, j]
            best /= max(1.0, float(np.linalg.norm(best)))
            moved = max(moved, float(np.abs(best - atoms[j]).max()))
            atoms[j] = best
        if moved < tolerance:
            break
    return atoms


def _mixed(x: Matrix, a_r: Matrix, d_r: Matrix, beta: float) -> Matrix:
    """X + beta^2 (X - A_r D_r): what a code that stands in both terms is to explain."""
    return (1 + beta**2) * x - beta**2 * _times(a_r, d_r)


def _times(x: Matrix, small: Matrix) -> Matrix:
    """A product as long as the images, float32."""
    return x.astype(np.float32, copy=False) @ small.astype(np.float32)


def _product(a: Matrix, x: Matrix) -> Matrix:
    """A'X (K, d)."""
    return (a.T @ x).astype(np.float64)


def _gram(atoms: Matrix) -> Matrix:
    """D D' (K, K)."""
    return (atoms @ atoms.T).astype(np.float64)


def _square(x: Matrix) -> float:
    return float(np.einsum("nk,nk->", x, x, dtype=np.float64))


def _column_dots(x: Matrix, y: Matrix) -> Matrix:
    return np.einsum("nk,nk->k", x, y)


def _sums(values: Matrix, index: NDArray[np.intp], groups: int) -> Matrix:
    """Sums (groups, K) of the rows (N, K) of each group."""
    joined = (np.ones(len(index), np.float32), (index, np.arange(len(index))))
    return sparse.csr_array(joined, shape=(groups, len(index))) @ values


def _people_energy(a: Matrix, people: NDArray[np.int64]) -> float:
    """tr(A' L A) of the people's graph: n |A|^2 - |sum of A|^2 of each person."""
    _, index, counts = np.unique(people, return_inverse=True, return_counts=True)
    squares = np.einsum("nk,nk->n", a, a, dtype=np.float64)
    sums = _sums(a, index, len(counts)).astype(np.float64)
    return float((counts[index] * squares).sum() - np.square(sums).sum())
