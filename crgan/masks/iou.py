"""Agreement of two mask files of one data set, by split: intersection over union.

The training split says most: the GAN reads masks of no other, and a Market-like gallery holds bad
detections, with hardly a person in them.

python -m crgan.masks.iou --manifest MANIFEST --masks MASKS.h5 --truth TRUTH.h5
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.data.manifest import read_manifest
from crgan.masks.store import MaskStore, open_masks


def intersection_over_union(
    masks: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU of each pair of masks, float64 (n,) in [0, 1]; 1 where both are empty.

    Args:
        masks, truth: bool (n, H, W).
    """
    both = np.count_nonzero(masks & truth, axis=(1, 2))
    either = np.count_nonzero(masks | truth, axis=(1, 2))
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def agreement(masks: MaskStore, truth: MaskStore) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The n manifest rows that two stores of one data set both have, and their IoU.

    Returns:
        rows, ascending int64 (n,), and float64 (n,).

    Raises:
        UserError: the stores differ in size, or have no row in common.
    """
    if (masks.height, masks.width) != (truth.height, truth.width):
        raise UserError(
            f"{masks.path} is {masks.height}x{masks.width}, {truth.path} is "
            f"{truth.height}x{truth.width}; extract both from one image store"
        )
    common = np.intersect1d(masks.rows, truth.rows, assume_unique=True)
    if not len(common):
        raise UserError(
            f"{masks.path} has masks of {', '.join(masks.splits)}, {truth.path} of "
            f"{', '.join(truth.splits)}; extract both of the same splits"
        )
    blocks = np.array_split(common, max(1, len(common) // 256))
    parts = [intersection_over_union(masks.read(rows), truth.read(rows)) for rows in blocks]
    return common, np.concatenate(parts)


def summary(values: NDArray[np.float64]) -> dict[str, float]:
    """Count, mean, standard deviation, 10th percentile, median and the share below one half."""
    return {
        "n": len(values),
        "mean": round(float(values.mean()), 4),
        "std": round(float(values.std()), 4),
        "p10": round(float(np.percentile(values, 10)), 4),
        "median": round(float(np.median(values)), 4),
        "below_half": round(float((values < 0.5).mean()), 4),
    }


def main(argv: list[str] | None = None) -> None:
    """Print one line of JSON: the backend, a summary of all common rows and of each split's."""
    parser = argparse.ArgumentParser(prog="python -m crgan.masks.iou", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    args = parser.parse_args(argv)
    try:
        masks, truth = (open_masks(path, args.manifest) for path in (args.masks, args.truth))
        rows, values = agreement(masks, truth)
        manifest = read_manifest(args.manifest)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    split_of = np.array(manifest.split)[rows]
    parts = {split: summary(values[split_of == split]) for split in dict.fromkeys(split_of)}
    print(json.dumps({"backend": masks.backend, "all": summary(values), **parts}))


if __name__ == "__main__":
    main()
