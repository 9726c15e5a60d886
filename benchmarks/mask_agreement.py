"""Every mask backend on the same images: time a crop, what they cover, how far they agree.

    python -m benchmarks.mask_agreement --images FOLDER --sheet sheet.png
    python -m benchmarks.mask_agreement --images FOLDER --sheet sheet.png --disagreement

Backends whose weights are in `--root` take part (`python -m stages.fetch_weights
mediapipe_pose_full mediapipe_pose_heavy`; the third is LIP-JPPNet, which takes seconds a crop and
only comes with `--jppnet FILE`). No backend is the truth here: the sheet, of images spread over
the folder or of those the backends disagree on most, is there to be looked at.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.rounds import Timing, compare
from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.data.integrity import resize
from crgan.looks.masks import overlay
from crgan.masks.backend import Batch, MaskBackend, Resources, make_backend
from crgan.masks.iou import intersection_over_union, summary
from crgan.weights.registry import ROOT, missing, weights_path

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
SIDES = {"mediapipe_pose_full": "pose, full", "mediapipe_pose_heavy": "pose, heavy"}
SCALE = 30_000  # crops of the three training and test sets are of this order
_BATCH = 64  # as `crgan.masks.extract`

Masks = NDArray[np.bool_]


def read_images(folder: Path, height: int, width: int) -> Batch:
    """Every image in a folder, at one size.

    Raises:
        UserError: fewer than two, or one that cannot be read.
    """
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
    if len(paths) < 2:
        raise UserError(f"{folder}: {len(paths)} images, at least 2 are needed")
    images = []
    for path in paths:
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise UserError(f"{path}: not readable as an image")
        rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
        images.append(resize(rgb, height, width))
    return Batch(np.stack(images), tuple(path.name for path in paths))


def backends(root: Path, jppnet: Path | None, threads: int) -> dict[str, MaskBackend]:
    """The backends that can run here, by the name they are printed under."""
    found = {"grabcut": make_backend("grabcut", {}, Resources(threads=threads))}
    for weights, label in SIDES.items():
        if problem := missing([weights], root):
            print(f"without {label}: {problem[0]}", file=sys.stderr)
            continue
        resources = Resources(weights_path(weights, root), threads=threads)
        found[label] = make_backend("mediapipe_pose", {}, resources)
    if jppnet is not None:
        found["jppnet"] = make_backend("jppnet", {}, Resources(jppnet, threads=threads))
    return found


def all_masks(backend: MaskBackend, crops: Batch) -> Masks:
    """Masks (n, H, W), in the batches of the stage."""
    starts = range(0, len(crops.paths), _BATCH)
    parts = [Batch(crops.images[s : s + _BATCH], crops.paths[s : s + _BATCH]) for s in starts]
    return np.concatenate([backend.masks(part) for part in parts])


def agreement(masks: Mapping[str, Masks]) -> dict[tuple[str, str], NDArray[np.float64]]:
    """IoU (n,) of each pair of backends."""
    return {
        (a, b): intersection_over_union(masks[a], masks[b])
        for a, b in itertools.combinations(masks, 2)
    }


def comparison_sheet(
    images: NDArray[np.uint8], masks: Mapping[str, Masks], columns: int = 16
) -> NDArray[np.uint8]:
    """Pixels, then its overlay by each backend below it; a line of labels on the left."""
    kinds = {"image": images, **{name: overlay(images, m) for name, m in masks.items()}}
    n, height, width = images.shape[:3]
    margin, gap = 88, 6
    lines = -(-n // columns)
    block = len(kinds) * height + gap
    sheet = np.full((lines * block, margin + columns * width, 3), 255, dtype=np.uint8)
    for row, (name, crops) in enumerate(kinds.items()):
        for i, image in enumerate(crops):
            line, column = divmod(i, columns)
            top, left = line * block + row * height, margin + column * width
            sheet[top : top + height, left : left + width] = image
        for line in range(lines):
            at = (4, line * block + row * height + height // 2)
            cv2.putText(sheet, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return sheet


def print_times(timings: Mapping[str, Timing], masks: Mapping[str, Masks]) -> None:
    """Time a crop, what 30,000 take, and how much of the image is person."""
    print(f"{'backend':12} {'cpu ms':>7} {'wall ms':>8} {'30,000':>8} {'person':>7} {'empty':>6}")
    for name, timing in timings.items():
        n = len(masks[name])
        cpu, wall = statistics.median(timing.cpu) / n, statistics.median(timing.wall) / n
        covered = masks[name].mean(axis=(1, 2))
        print(
            f"{name:12} {cpu * 1e3:7.1f} {wall * 1e3:8.1f} {wall * SCALE / 60:4.0f} min "
            f"{covered.mean():7.1%} {np.count_nonzero(covered < 0.02):6}"
        )


def print_agreement(
    pairs: Mapping[tuple[str, str], NDArray[np.float64]], names: tuple[str, ...]
) -> None:
    """IoU of each pair, and the images they agree on least."""
    print(f"\n{'pair':26} {'mean':>6} {'median':>7} {'p10':>6} {'< 0.5':>6}")
    for (a, b), values in pairs.items():
        told = summary(values)
        print(
            f"{a + ' / ' + b:26} {told['mean']:6.3f} {told['median']:7.3f} {told['p10']:6.3f} "
            f"{told['below_half']:6.1%}"
        )
    least = np.argsort(np.mean(list(pairs.values()), axis=0))[:8]
    print("least agreement:", ", ".join(names[i] for i in least))


def main(argv: list[str] | None = None) -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mask_agreement",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of person crops")
    parser.add_argument("--size", type=int, nargs=2, default=(128, 64), metavar=("H", "W"))
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the weight files")
    parser.add_argument("--jppnet", type=Path, help="converted weights; adds LIP-JPPNet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sheet", type=Path, help="PNG to write")
    parser.add_argument("--count", type=int, default=48, help="images on the sheet")
    parser.add_argument("--disagreement", action="store_true", help="the sheet shows the worst")
    args = parser.parse_args(argv)
    cv2.setNumThreads(args.threads)
    try:
        crops = read_images(args.images, *args.size)
        runs: dict[str, Callable[[], object]] = {
            name: partial(all_masks, backend, crops)
            for name, backend in backends(args.root, args.jppnet, args.threads).items()
        }
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    timings = compare(runs, args.rounds)
    masks = {name: np.asarray(timing.result) for name, timing in timings.items()}
    pairs = agreement(masks)
    print(f"{len(crops.paths)} crops of {args.size[0]}x{args.size[1]}, {args.threads} thread(s)")
    print_times(timings, masks)
    if pairs:
        print_agreement(pairs, crops.paths)
    if args.sheet:
        n = len(crops.paths)
        rows = np.unique(np.linspace(0, n - 1, min(args.count, n)).round().astype(int))
        if args.disagreement and pairs:
            rows = np.argsort(np.mean(list(pairs.values()), axis=0))[: args.count]
        sheet = comparison_sheet(crops.images[rows], {k: m[rows] for k, m in masks.items()})
        with atomic_path(args.sheet) as temporary:
            cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
