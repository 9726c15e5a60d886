"""UMDL: unsupervised multi-task dictionary learning (Peng et al. 2016) on LOMO.

A labelled source and an unlabelled target are coded on a dictionary they share, the target also on
one of its own (`crgan.handcrafted.umdl_dictionaries` has the objective). At first nothing is known
of who is whom in the target; after each round of learning, every image is joined to those in
other cameras whose codes are most like its own, and the next round learns with that graph. A
image is described by its ridge code on all of the target's atoms, of which the shared and the
unique part are kept, and ranked by cosine.

Two things differ from the authors' functions, both for size: their one-to-one assignment of all
images to all (Hungarian, n^3) is a graph of nearest neighbours, the other graph that stands in
those functions, and features are LOMO by principal components instead of a descriptor that is not
described. `python -m benchmarks.umdl_size` shows what that saves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from crgan.common.settings import Count, NonNegative, Positive, settings_from
from crgan.data.store import Split
from crgan.handcrafted import lomo
from crgan.handcrafted.base import Describe
from crgan.handcrafted.chunks import Features, Images, in_chunks
from crgan.handcrafted.umdl_dictionaries import (
    Problem,
    Weights,
    learn,
    random_dictionaries,
    ridge_map,
    zero_codes,
)

_CHUNK = 64  # images whose LOMO is held by a thread: 7 MB
_ROWS = 1024  # of the similarities that are held at once


@dataclass(frozen=True)
class Options(lomo.Options):
    """Section `handcrafted.umdl` of the parameters: LOMO's, and UMDL's own.

    Attributes:
        components: principal components of LOMO; fewer, where there are fewer images.
        pca_samples: training images of each data set that they are computed from.
        shared, unique, residual: atoms of D_s, D_u and each D_r.
        alpha, beta, gamma, source_weight: weights of the objective.
        iterations: of each round.
        rounds: of learning; the first has no graph of the target.
        neighbours: images in other cameras that an image is joined to.
        weakest: least weight of an edge.
        ridge_graph, ridge_test: ridge of the codes that make the graph and describe images.
    """

    components: Count
    pca_samples: Count
    shared: Count
    unique: Count
    residual: Count
    alpha: NonNegative
    beta: NonNegative
    gamma: Positive
    source_weight: NonNegative
    iterations: Count
    rounds: Count
    neighbours: Count
    weakest: NonNegative
    ridge_graph: Positive
    ridge_test: Positive


def fit(
    source: Split,
    target: Split,
    options: Mapping[str, Any],
    *,
    seed: int,
    threads: int,
) -> Describe:
    """Learn components and dictionaries (`crgan.handcrafted.base.Fit`).

    Raises:
        UserError: bad options, or images too small for LOMO.
    """
    settings = settings_from(Options, options, "handcrafted.umdl")
    size = target.images.shape[1:3]
    lomo.dimension(settings, *size)  # refuses what is too small
    describe = lomo.plain(settings, *size)
    rng = np.random.default_rng(seed)
    sample = np.concatenate(
        [_drawn(split.images, settings.pca_samples, rng) for split in (source, target)]
    )
    with threadpool_limits(threads):
        project = components(_all(describe, sample, threads, "LOMO"), settings.components)

    def compact(images: Images) -> Features:
        return _all(lambda part: project(describe(part)), images, threads, "LOMO, components")

    with threadpool_limits(threads):
        transform = transfer(
            compact(source.images), source.pid, compact(target.images), target.camid, settings, rng
        )
    return lambda images: compact(images) @ transform


def transfer(
    source: Features,
    pid: NDArray[np.int64],
    target: Features,
    camid: NDArray[np.int64],
    options: Options,
    rng: np.random.Generator,
) -> Features:
    """The matrix (d, shared + unique) that takes features to UMDL's codes.

    Args:
        source, target: features (n, d) and (m, d), of length 1.
        pid: people of the source (n,); camid: cameras of the target (m,).
    """
    names = [field.name for field in fields(Weights)]
    problem = Problem(
        source, pid, target, Weights(**{name: getattr(options, name) for name in names})
    )
    d = random_dictionaries(options.shared, options.unique, options.residual, source.shape[1], rng)
    codes = zero_codes(problem, d)
    kept = options.shared + options.unique

    def coding(ridge: float) -> Features:
        return ridge_map(np.concatenate((d.target, d.residual_target)), ridge)[:, :kept].astype(
            np.float32
        )

    for index in range(options.rounds):
        if index:
            like = target @ coding(options.ridge_graph)
            problem.laplacian = neighbour_graph(like, camid, options.neighbours, options.weakest)
        learn(problem, d, codes, options.iterations, f"UMDL round {index + 1}/{options.rounds}")
    return coding(options.ridge_test)


def neighbour_graph(
    features: Features, camid: NDArray[np.int64], neighbours: int, weakest: float
) -> sparse.csr_array | None:
    """Laplacian (m, m) of the graph that joins each image to its nearest in other cameras.

    An edge's weight is the cosine of the two, `weakest` at least; it is there when either image
    is among the other's nearest. Similarities are held for some rows at a time.

    Returns:
        None where there is one camera only, and so no edge.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    m = len(unit)
    near = min(neighbours, m)
    rows, columns, weights = [], [], []
    for start in range(0, m, _ROWS):
        cosines = unit[start : start + _ROWS] @ unit.T
        cosines[camid[start : start + _ROWS, None] == camid] = -np.inf
        best = np.argpartition(-cosines, near - 1, axis=1)[:, :near]
        value = np.take_along_axis(cosines, best, axis=1)
        row, place = np.nonzero(np.isfinite(value))
        rows.append(row + start)
        columns.append(best[row, place])
        weights.append(np.maximum(value[row, place], weakest))
    directed = sparse.csr_array(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(m, m)
    )
    if not directed.nnz:
        return None
    joined = directed.maximum(directed.T).tocsr()
    degree = sparse.diags_array(np.asarray(joined.sum(axis=1)).reshape(-1))
    return (degree - joined).tocsr().astype(np.float32)


def components(sample: Features, count: int) -> Callable[[Features], Features]:
    """Principal components of a sample (n, D): a function from (b, D) to (b, count) of length 1.

    The sample has fewer rows than columns, so they are found from its (n, n) matrix of products.
    It is changed: its mean is taken away in place, since at full size it is half a gigabyte.
    """
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    sample -= mean
    values, vectors = np.linalg.eigh((sample @ sample.T).astype(np.float64))
    kept = np.flatnonzero(values > 1e-6 * values[-1])[-count:][::-1]
    basis = sample.T @ (vectors[:, kept] / np.sqrt(values[kept])).astype(np.float32)

    def project(features: Features) -> Features:
        values = (features - mean) @ basis
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        return values / np.maximum(lengths, np.finfo(np.float32).tiny)

    return project


def _drawn(images: Images, count: int, rng: np.random.Generator) -> Images:
    rows = np.sort(rng.choice(len(images), min(count, len(images)), replace=False))
    return images[rows]


def _all(
    describe: Callable[[Images], Features], images: Images, threads: int, name: str
) -> Features:
    dims = describe(images[:1]).shape[1]
    return in_chunks(describe, images, dims, chunk=_CHUNK, threads=threads, description=name)
