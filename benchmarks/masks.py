"""Mask reading against the usual ways to keep masks, in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.masks

Every candidate reads the same 128x64 masks as bool arrays, in the same random order; the rounds of
the candidates are interleaved, so that other load on the machine falls on all alike. Prints masks a
second (median of the rounds), bytes a mask on disk, and the ratio to gzip-compressed bool.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from crgan.common.io import sha256_bytes, sha256_file
from crgan.data.manifest import Manifest, write_manifest
from crgan.masks.store import open_masks, write_masks

H, W = 128, 64
BATCH = 64
Masks = NDArray[np.bool_]
Reader = Callable[[NDArray[np.int64]], int]


def person_masks(n: int) -> Masks:
    """Masks with the outline length of people: a trunk, a head and two legs, bool (n, H, W)."""
    rng = np.random.default_rng(0)
    masks = np.zeros((n, H, W), dtype=np.uint8)
    for mask in masks:
        x, lean = rng.integers(26, 39), rng.integers(-6, 7)
        cv2.circle(mask, (int(x + lean), 16), int(rng.integers(7, 10)), 1, -1)
        cv2.ellipse(mask, (int(x), 48), (int(rng.integers(12, 20)), 26), int(lean), 0, 360, 1, -1)
        for foot in rng.integers(12, 52, 2):
            cv2.line(mask, (int(x), 66), (int(foot), 118), 1, int(rng.integers(6, 11)))
    return masks.astype(np.bool_)


def write_ours(folder: Path, masks: Masks) -> Path:
    """Our store, with a manifest that it belongs to."""
    n = len(masks)
    hashes = tuple(sha256_bytes(str(i).encode()) for i in range(n))
    ones = np.ones(n, dtype=np.int64)
    paths = tuple(f"{i:06d}.png" for i in range(n))
    manifest = Manifest(paths, ones, ones, ("train",) * n, hashes)
    write_manifest(folder / "manifest.csv", manifest)
    write_masks(
        folder / "ours.h5",
        masks,
        manifest_sha256=sha256_file(folder / "manifest.csv"),
        image_sha256s=hashes,
        shape=masks.shape,
        splits=["train"],
        backend="benchmark",
        weights_sha256=None,
        settings={},
    )
    return folder / "ours.h5"


def gzip_dataset_per_image(folder: Path, masks: Masks) -> tuple[Reader, float]:
    """One gzip-compressed bool dataset per image name."""
    path = folder / "per_image.h5"
    with h5py.File(path, "w") as file:
        for i, mask in enumerate(masks):
            file.create_dataset(f"{i:06d}", data=mask, compression="gzip")
    opened = h5py.File(path, "r")
    return lambda order: sum(len(opened[f"{i:06d}"][()]) for i in order), path.stat().st_size


def gzip_chunk_per_image(folder: Path, masks: Masks) -> tuple[Reader, float]:
    """One bool dataset, gzip-compressed, one chunk per image."""
    path = folder / "chunks.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("masks", data=masks, chunks=(1, H, W), compression="gzip")
    data = h5py.File(path, "r")["masks"]
    return lambda order: sum(len(data[i]) for i in order), path.stat().st_size


def png_per_image(folder: Path, masks: Masks) -> tuple[Reader, float]:
    """One PNG per image, read by OpenCV."""
    names = [str(folder / f"{i:06d}.png") for i in range(len(masks))]
    for name, mask in zip(names, masks, strict=True):
        cv2.imwrite(name, mask * np.uint8(255))
    stored = sum(Path(name).stat().st_size for name in names)
    grey = cv2.IMREAD_GRAYSCALE
    return lambda order: sum(len(cv2.imread(names[i], grey) > 0) for i in order), stored


def ours(folder: Path, masks: Masks) -> dict[str, tuple[Reader, float]]:
    """Our store: one by one, by batches, by batches at half the size, and with the opening."""
    path, manifest = write_ours(folder, masks), folder / "manifest.csv"
    store = open_masks(path, manifest)
    np.testing.assert_array_equal(store.read(range(len(masks))), masks)
    store.at(H // 2, W // 2)

    def batches(order: NDArray[np.int64], size: tuple[int, int] | None = None) -> int:
        starts = range(0, len(order), BATCH)
        return sum(len(store.read(order[s : s + BATCH], size)) for s in starts)

    def opening(order: NDArray[np.int64]) -> int:
        opened = open_masks(path, manifest)
        starts = range(0, len(order), BATCH)
        return sum(len(opened.read(order[s : s + BATCH])) for s in starts)

    readers: dict[str, Reader] = {
        "ours, one by one": lambda order: sum(len(store.read([i])) for i in order),
        f"ours, batches of {BATCH}": batches,
        f"ours, batches of {BATCH} at 64x32": lambda order: batches(order, (H // 2, W // 2)),
        "ours, opening, checking and one epoch": opening,
    }
    return {name: (reader, path.stat().st_size) for name, reader in readers.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.masks", description=__doc__)
    parser.add_argument("--masks", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    masks = person_masks(args.masks)
    order = np.random.default_rng(1).permutation(args.masks)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        candidates = {
            "bool + gzip, chunk per image": gzip_chunk_per_image(folder, masks),
            "bool + gzip, dataset per image": gzip_dataset_per_image(folder, masks),
            "PNG per image": png_per_image(folder, masks),
            **ours(folder, masks),
        }
        times: dict[str, list[float]] = {label: [] for label in candidates}
        for _ in range(args.rounds):
            for label, (reader, _size) in candidates.items():
                start = time.perf_counter()
                reader(order)
                times[label].append(time.perf_counter() - start)
    rates = {label: args.masks / statistics.median(values) for label, values in times.items()}
    base = rates["bool + gzip, chunk per image"]
    print(f"{'candidate':40} {'masks/s':>9} {'bytes/mask':>11} {'ratio':>7}")
    for label, (_reader, size) in candidates.items():
        rate = rates[label]
        print(f"{label:40} {rate:9,.0f} {size / args.masks:11,.0f} {rate / base:7.1f}")


if __name__ == "__main__":
    main()
