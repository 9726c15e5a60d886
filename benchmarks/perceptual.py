"""LPIPS diversity, FID features and the Frechet distance: ours beside the packages, in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.perceptual
    OMP_NUM_THREADS=1 python -m benchmarks.perceptual --quick

Weights are random, which changes no time. How far the two results are apart is printed too.
"""

from __future__ import annotations

import argparse
import itertools
import os
import warnings
from collections.abc import Callable

import lpips
import numpy as np
import torch
from pytorch_fid.fid_score import calculate_frechet_distance

from benchmarks.rounds import compare, table
from crgan.metrics.fid import Dims, extract, load_inception, package_inception
from crgan.metrics.frechet import Moments, frechet_distance
from crgan.metrics.lpips_distance import diversity, load_lpips


def crops(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def report(
    title: str, ours: Callable[[], object], package: Callable[[], object], rounds: int
) -> None:
    """Print both times and how far the two results are apart."""
    timings = compare({"package": package, "ours": ours}, rounds)
    first, second = (np.asarray(timings[name].result) for name in ("ours", "package"))
    apart, size = np.abs(first - second).max(), np.abs(second).max()
    print(f"\n{title}\n{table(timings, relative_to='package')}")
    ratio = np.median(timings["package"].wall) / np.median(timings["ours"].wall)
    print(f"ours is {ratio:.1f} times as fast; results differ by {apart:.1e} of {size:.3g} at most")


def lpips_diversity(sources: int, rounds: int) -> None:
    """All 28 pairs among 8 renderings of each source, 128 x 64."""
    renderings = crops(sources, 8, 128, 64)
    net = load_lpips("random")
    package = load_lpips("random").model.to(memory_format=torch.contiguous_format)
    left, right = map(list, zip(*itertools.combinations(range(8), 2), strict=True))

    def by_package() -> list[float]:
        values = []
        for images in renderings:
            tensors = torch.cat([lpips.im2tensor(image) for image in images])
            with torch.no_grad():
                values.append(float(package(tensors[left], tensors[right]).mean()))
        return values

    report(
        f"LPIPS diversity, {sources} sources x 8 renderings, 128 x 64",
        lambda: diversity(net, renderings),
        by_package,
        rounds,
    )


def fid_features(count: int, dims: Dims, rounds: int) -> None:
    """Inception features of images of 128 x 64, batches of 8."""
    images = crops(count, 128, 64)
    net = load_inception("random", dims=dims)
    package = package_inception("random", dims=dims)

    def by_package() -> np.ndarray:
        batches = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div(255)
        with torch.no_grad():
            layers = [package(batch)[0].mean(dim=(2, 3)) for batch in batches.split(8)]
        return torch.cat(layers).numpy()

    report(
        f"FID features, {count} images, {dims}-d",
        lambda: extract(net, images, batch=8),
        by_package,
        rounds,
    )


def distance(count: int, dims: int, rounds: int) -> None:
    """The Frechet distance alone, from features or covariances already at hand."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(dims, dims)) * np.exp(-np.arange(dims) / (dims / 7))[:, None] / 20
    sets = [
        np.maximum(rng.normal(size=(count, dims)) @ mix + shift, 0).astype(np.float32)
        for shift in (0, 0.1)
    ]
    moments = [Moments.of(features) for features in sets]
    gaussians = [(f.astype(np.float64).mean(axis=0), np.cov(f.T)) for f in sets]

    report(
        f"Frechet distance, {dims}-d, {count} images a set",
        lambda: frechet_distance(*moments),
        lambda: calculate_frechet_distance(*gaussians[0], *gaussians[1]),
        rounds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="pytorch_fid")
    warnings.filterwarnings("ignore", message="Matrix is singular")
    if arguments.quick:
        lpips_diversity(2, 1)
        fid_features(8, 64, 1)
        distance(100, 256, 1)
        distance(600, 256, 1)
        return
    lpips_diversity(8, arguments.rounds)
    fid_features(32, 64, arguments.rounds)
    fid_features(32, 2048, arguments.rounds)
    for count in (1000, 1500, 2048, 5000):
        distance(count, 2048, arguments.rounds)


if __name__ == "__main__":
    main()
