"""D_id's training step and feature extraction beside the plain torch loop, in one run.

    python -m benchmarks.reid_step                        # ResNet50 at 128x64, 1 thread
    python -m benchmarks.reid_step --backbone small --height 64 --width 32 --batch 32

"plain" is what re-id code usually runs: NCHW order, Adam as it comes, `loss.item()` and an accuracy
after every iteration; for features `net.eval()` under `no_grad`. Both get the same ready batches;
the share of the loader is measured apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from typing import Any

os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.rounds import Timing, compare, table
from crgan.data.batches import TrainBatches, in_order
from crgan.nets.reid import ReidNet
from crgan.reid.features import extract, local_max_pool
from crgan.train.classifier import Recipe, train

CLASSES = 751


class Ready:
    """The same batch again and again, so that only the step is timed."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.batch = images, labels

    def __next__(self) -> tuple[Tensor, Tensor]:
        return self.batch

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def plain_training(net: nn.Module, images: Tensor, labels: Tensor, steps: int) -> None:
    """The usual loop."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    for _ in range(steps):
        logits = net(images)
        loss = criterion(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item(), (logits.argmax(1) == labels).float().mean().item()


@torch.no_grad()
def plain_features(net: ReidNet, crops: np.ndarray, parts: int) -> tuple[Tensor, Tensor]:
    """The usual loop: a forward for the pooled features and one for LMP."""
    net.eval()
    pooled = torch.cat([net.features(batch) for batch in in_order(crops, 32)])
    lmp = [local_max_pool(net.feature_map(batch), parts) for batch in in_order(crops, 32)]
    return pooled, torch.cat(lmp)


@torch.no_grad()
def plain_pooled(net: ReidNet, crops: np.ndarray) -> Tensor:
    """The usual loop, pooled features only."""
    net.eval()
    return torch.cat([net.features(batch) for batch in in_order(crops, 32)])


def candidates(args: argparse.Namespace) -> dict[str, dict[str, Callable[[], object]]]:
    """What is compared, by table."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    shape = (args.height, args.width, 3)
    crops = rng.integers(0, 256, (args.images, *shape), dtype=np.uint8)
    width = {"resnet50": 64, "mobilenetv2": 32, "small": 16}[args.backbone]
    ours, plain, scored = (ReidNet(args.backbone, width, CLASSES) for _ in range(3))
    recipe = Recipe(args.steps, args.batch, 1e-4, weight_decay=5e-4, label_smoothing=0.1,
                    flip=0.5, crop_padding=0.08)  # fmt: skip
    labels = rng.integers(0, CLASSES, args.images)
    loader = TrainBatches(crops, labels, args.batch, recipe.augmentation(args.height), seed=0)
    images, classes = next(loader)
    parts = scored.feature_map(images[:1]).shape[2]
    return {
        "training": {
            "plain": lambda: plain_training(plain.train(), images, classes, args.steps),
            "ours": lambda: train(ours.train(), Ready(images, classes), recipe),
            "loader alone": lambda: [next(loader) for _ in range(args.steps)],
        },
        "features": {
            "plain": lambda: plain_pooled(scored, crops),
            "plain, then LMP": lambda: plain_features(scored, crops, parts),
            "ours, pooled and LMP": lambda: extract(scored, crops),
        },
    }


def report(name: str, timings: dict[str, Timing], images: int) -> None:
    """Print a table and its rates."""
    print(f"\n{name}, {images} images a round")
    print(table(timings, relative_to="plain"))
    for key, timing in timings.items():
        print(f"{key}: {images / statistics.median(timing.cpu):.1f} images per CPU second")


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reid_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--backbone", choices=("resnet50", "mobilenetv2", "small"), default="resnet50"
    )
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3, help="iterations in a round")
    parser.add_argument("--images", type=int, default=256, help="images to extract from")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    tables = candidates(args)
    training = compare(tables["training"], args.rounds)
    report("training", training, args.steps * args.batch)
    features = compare(tables["features"], args.rounds)
    report("features", features, args.images)
    reference, _ = features["plain, then LMP"].result  # type: ignore[misc]
    ours = features["ours, pooled and LMP"].result
    scale = float(reference.abs().max())
    difference = float(np.abs(ours.pooled - reference.numpy()).max()) / scale  # type: ignore[attr-defined]
    print(f"largest difference of the pooled features: {difference:.1e} of the largest value")


if __name__ == "__main__":
    main()
