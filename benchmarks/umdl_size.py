"""UMDL at the real sets' size: what the dense way needs, what ours takes.

    python -m benchmarks.umdl_size                    # both directions, figures and a timed trial
    python -m benchmarks.umdl_size --share 0.1        # the trial with a tenth of the images

"dense" is counted, not run: the n x n matrices in double precision that the authors' functions hold
for the source and the target (affinity, its copy for the Laplacian, similarities), and for the
one-to-one assignment 2 n^3 operations at least. Ours is counted likewise (features, codes, graph),
and run on synthetic features of the size of params.yaml for a share of the images and a few
iterations, in processor time; iterations scale with the images (but for the atoms, so a small
share overstates), the graph with their square.
"""

from __future__ import annotations

import argparse
import functools
import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.rounds import compare
from crgan.common.settings import settings_from
from crgan.handcrafted import lomo
from crgan.handcrafted.umdl import Options, neighbour_graph
from crgan.handcrafted.umdl_dictionaries import (
    Problem,
    Weights,
    learn,
    random_dictionaries,
    zero_codes,
)
from crgan.pipeline.params import load

# training images, persons and cameras as published
SETS = {"market1501": (12_936, 751, 6), "dukemtmc": (16_522, 702, 8)}
GB, DENSE_MATRICES = 1e9, 3


@dataclass
class Trial:
    """Processor seconds of one iteration without and with a graph, and of making the graph."""

    plain: float
    graph: float
    making: float


def trial(source: str, target: str, options: Options, share: float, iterations: int) -> Trial:
    """Run a share of the images."""
    rng = np.random.default_rng(0)

    def features(images: int, persons: int) -> tuple[np.ndarray, np.ndarray]:
        person = rng.integers(persons, size=images)
        centres = rng.standard_normal((persons, options.components), dtype=np.float32)
        x = centres[person] + rng.standard_normal((images, options.components), dtype=np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True), person

    x_s, people = features(*(int(share * n) for n in SETS[source][:2]))
    x_t, _ = features(*(int(share * n) for n in SETS[target][:2]))
    weights = Weights(options.alpha, options.beta, options.gamma, options.source_weight)
    problem = Problem(x_s, people, x_t, weights)
    d = random_dictionaries(
        options.shared, options.unique, options.residual, options.components, rng
    )
    codes = zero_codes(problem, d)

    def seconds() -> float:
        start = time.process_time()
        learn(problem, d, codes, iterations, f"{source} to {target}")
        return (time.process_time() - start) / iterations

    plain = seconds()
    start = time.process_time()
    camid = rng.integers(SETS[target][2], size=len(x_t))
    problem.laplacian = neighbour_graph(codes.target, camid, options.neighbours, options.weakest)
    making = time.process_time() - start
    return Trial(plain, seconds(), making)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=0.1, help="of the images in the trial")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    section = dict(load()["handcrafted"]["umdl"])
    image = section.pop("image")
    options = settings_from(Options, section, "handcrafted.umdl")
    kept = options.shared + options.unique
    for source, target in (("market1501", "dukemtmc"), ("dukemtmc", "market1501")):
        n, m = SETS[source][0], SETS[target][0]
        dense = DENSE_MATRICES * 8 * (n**2 + m**2) / GB
        columns = options.components + options.residual
        ours = 4 * (n * (columns + options.shared) + m * (columns + kept)) / GB
        edges = 2 * options.neighbours * m + m
        # conjugate gradients hold six arrays like the codes
        ours += (6 * 4 * m * kept + 12 * edges) / GB
        print(f"{source} ({n:,}) to {target} ({m:,})")
        print(f"  dense: {dense:.1f} GB of n x n matrices; assignment {2 * m**3:.0e} operations")
        sample = 2 * options.pca_samples * lomo.dimension(options, *image) * 4 / GB
        print(
            f"  ours:  {ours:.2f} GB of features, codes and graph ({edges:,} entries of L); "
            f"before that {sample:.2f} GB of LOMO for the components"
        )
        with threadpool_limits(arguments.threads):
            run = functools.partial(
                trial, source, target, options, arguments.share, arguments.iterations
            )
            timing = compare({"trial": run}, 1)["trial"]
        seen = timing.result
        assert isinstance(seen, Trial)
        scale = 1 / arguments.share
        total = options.iterations * scale * (seen.plain + (options.rounds - 1) * seen.graph)
        total += (options.rounds - 1) * scale**2 * seen.making
        print(
            f"  trial with {arguments.share:g} of the images, {arguments.threads} threads: "
            f"{seen.plain:.2f} s an iteration, {seen.graph:.2f} s with the graph, "
            f"{seen.making:.2f} s to make it; {max(timing.extra_mb):.0f} MB"
        )
        print(
            f"  so {options.rounds} rounds of {options.iterations} iterations of all images take "
            f"about {total / 60:.0f} minutes of processor time"
        )


if __name__ == "__main__":
    main()
