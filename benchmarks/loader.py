"""Training batches: ours beside the usual way, one process, one run.

    python -m benchmarks.loader

Both give the same thing: shuffled batches of 128x64 images with re-id augmentation (mirror,
padding by 10 and random crop, random erasing), as normalised float tensors. The usual way is a
DataLoader over JPEG files with Pillow and torchvision's transforms, one image at a time; ours is
`TrainBatches` over the memory-mapped store. Rounds are interleaved; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.rounds import Timing, compare
from crgan.data.batches import Augmentation, TrainBatches, to_gan
from crgan.data.standins import draw

HEIGHT, WIDTH, PAD, BATCH = 128, 64, 10, 64
ERASING = Augmentation(flip=0.5, pad=PAD, erase=0.5)
PLAIN = Augmentation(flip=0.5, pad=PAD)


class Files(Dataset[tuple[torch.Tensor, int]]):
    """The usual way: open, decode, augment and normalise one file at a time."""

    def __init__(self, paths: list[Path], erasing: bool) -> None:
        steps: list[Callable[..., object]] = [
            transforms.RandomHorizontalFlip(),
            transforms.Pad(PAD),
            transforms.RandomCrop((HEIGHT, WIDTH)),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
        if erasing:
            steps.append(transforms.RandomErasing(0.5, scale=(0.02, 0.4), ratio=(0.3, 3.33)))
        self.paths = paths
        self.look = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.look(Image.open(self.paths[index]).convert("RGB")), index


def write_images(folder: Path, n: int) -> tuple[list[Path], np.ndarray]:
    """`n` JPEG files and the same images as a memory-mapped store."""
    rng = np.random.default_rng(0)
    store = np.lib.format.open_memmap(
        folder / "images.npy", mode="w+", dtype=np.uint8, shape=(n, HEIGHT, WIDTH, 3)
    )
    paths = []
    for i in range(n):
        data = simplejpeg.encode_jpeg(draw(rng, HEIGHT, WIDTH), quality=90)
        paths.append(folder / f"{i:05d}.jpg")
        paths[-1].write_bytes(data)
        store[i] = simplejpeg.decode_jpeg(data)
    store.flush()
    return paths, np.load(folder / "images.npy", mmap_mode="r")


def epoch_of_loader(loader: DataLoader[tuple[torch.Tensor, int]]) -> int:
    return sum(len(images) for images, _ in loader)


def epoch_of_ours(batches: TrainBatches, n: int) -> int:
    return sum(len(next(batches)[0]) for _ in range(n // BATCH))


def epoch_of_floor(images: np.ndarray) -> int:
    """What remains without any augmentation: gather and make float."""
    order = np.random.default_rng(0).permutation(len(images))
    starts = range(0, len(images) - BATCH + 1, BATCH)
    return sum(len(to_gan(images[order[start : start + BATCH]])) for start in starts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths, store = write_images(Path(folder), args.images)
        labels = np.arange(len(store))

        def usual(erasing: bool, workers: int) -> Callable[[], int]:
            loader = DataLoader(
                Files(paths, erasing), BATCH, shuffle=True, num_workers=workers,
                persistent_workers=workers > 0,
            )  # fmt: skip
            return lambda: epoch_of_loader(loader)

        def ours(how: Augmentation) -> Callable[[], int]:
            batches = TrainBatches(store, labels, BATCH, how, seed=0)
            return lambda: epoch_of_ours(batches, len(store))

        candidates = {
            "DataLoader, workers 0, erasing": usual(True, 0),
            "DataLoader, workers 2, erasing": usual(True, 2),
            "DataLoader, workers 0": usual(False, 0),
            "ours, erasing": ours(ERASING),
            "ours": ours(PLAIN),
            "floor: gather, make float": lambda: epoch_of_floor(store),
        }
        for run in candidates.values():
            run()  # starts workers, fills caches
        timings = compare(candidates, args.rounds)
    print(report(timings))


def report(timings: dict[str, Timing]) -> str:
    """Images a second by wall and by CPU time (medians), and the ratio to the first candidate."""
    rates = {
        name: (
            statistics.median(int(str(t.result)) / wall for wall in t.wall),
            statistics.median(int(str(t.result)) / cpu for cpu in t.cpu),
        )
        for name, t in timings.items()
    }
    base = next(iter(rates.values()))[0]
    lines = [f"{'':32} {'img/s':>9} {'x first':>8} {'img/cpu-s':>10}"]
    for name, (wall, cpu) in rates.items():
        # worker processes burn their time elsewhere, so theirs is not told
        burnt = "-" if "workers 2" in name else f"{cpu:,.0f}"
        lines.append(f"{name:32} {wall:9,.0f} {wall / base:8.1f} {burnt:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
