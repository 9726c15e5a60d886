"""FID of two data sets by each of pytorch-fid's four layers: which has the paper's magnitude?

    python -m benchmarks.fid_layers \\
        --source artifacts/demo/data/market1501/manifest.csv \\
        --target artifacts/demo/data/dukemtmc/manifest.csv --size 64 32

Images of both training splits, chosen evenly over them. Beside the two sets' FID stands that of
the source's own two halves, which the layer should find near: with few images it is far from 0 in
the 2048-d layer. Table 1 prints 0.330 for the two real sets.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from crgan.common.errors import UserError
from crgan.data.store import open_dataset
from crgan.metrics.fid import LAYERS, FidNet, load_inception
from crgan.metrics.frechet import Moments, frechet_distance
from crgan.metrics.measurement import Images, WeightsFrom, checked_images, to_float
from crgan.weights.registry import ROOT, weights_path

PRINTED = 0.330
_BATCH = 16

Features = dict[int, NDArray[np.float32]]


def load_all_layers(weights: WeightsFrom) -> FidNet:
    """The Inception that gives every block's output, not the last one's alone."""
    net = load_inception(weights, dims=2048)
    net.model.output_blocks = [0, 1, 2, 3]  # type: ignore[assignment]
    return net


@torch.inference_mode()
def features_of(net: FidNet, images: Images, name: str) -> Features:
    """(N, dims) features by layer, as `crgan.metrics.fid.extract` has them of one."""
    images = checked_images(name, images, least=4)
    parts: dict[int, list[NDArray[np.float32]]] = {dims: [] for dims in LAYERS}
    for start in tqdm(range(0, len(images), _BATCH), desc=name, unit="batch"):
        batch = to_float(images[start : start + _BATCH], net.device) / 255
        for layer in net.model(batch):
            parts[layer.shape[1]].append(layer.mean(dim=(2, 3)).cpu().numpy())
    return {dims: np.concatenate(found) for dims, found in parts.items()}


def distances(source: Features, target: Features) -> dict[int, tuple[float, float]]:
    """By layer: FID of source and target, and of the source's even and odd rows."""
    return {
        dims: (
            frechet_distance(Moments.of(source[dims]), Moments.of(target[dims])),
            frechet_distance(Moments.of(source[dims][::2]), Moments.of(source[dims][1::2])),
        )
        for dims in LAYERS
    }


def spread(images: Images, count: int) -> Images:
    """`count` images spread evenly over the set, or all of them."""
    rows = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int))
    return images[rows]


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fid_layers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--source", type=Path, required=True, help="manifest, images beside it")
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"),
                        help="images are shrunk to this; default: as stored")  # fmt: skip
    parser.add_argument("--images", type=int, default=500, help="of each set")
    parser.add_argument("--weights", type=Path, help="default: fid_inception of resources/weights")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the weight files")
    args = parser.parse_args(argv)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    try:
        weights = args.weights or weights_path("fid_inception", args.root)
        net = load_all_layers(weights)
        size = tuple(args.size) if args.size else None
        found = []
        for name in (args.source, args.target):
            images = open_dataset(name, size).split("train").images
            found.append(features_of(net, spread(images, args.images), name.parent.name))
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    n, m = (len(features[64]) for features in found)
    print(f"{n} and {m} images; Table 1 prints {PRINTED:.3f}")
    print(f"{'layer':>6} {'FID':>10} {'/ printed':>10} {'halves':>10}")
    for dims, (apart, halves) in distances(*found).items():
        print(f"{dims:6} {apart:10.4f} {apart / PRINTED:10.2f} {halves:10.4f}")


if __name__ == "__main__":
    main()
