"""Masks of a whole data set: the images through a backend into a mask file.

The stage `extract_masks` does this with the profile's backend; by hand, for trying another one:

python -m crgan.masks.extract --manifest MANIFEST --backend grabcut --out MASKS.h5
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import sha256_file
from crgan.data.entries import SPLITS
from crgan.data.store import Dataset, open_dataset
from crgan.masks.backend import Batch, MaskBackend, Resources, make_backend, names
from crgan.masks.store import rows_of_splits, write_masks
from crgan.pipeline.progress import Bar

_BATCH = 64  # images handed to a backend at a time; bounds memory whatever the data set's size


def extract_masks(
    manifest_path: str | Path,
    backend: MaskBackend,
    out: str | Path,
    splits: Sequence[str] = SPLITS,
) -> None:
    """Write the masks of a data set's images, in manifest order and at the store's size.

    Args:
        manifest_path: the manifest, with its image store beside it.
        backend: finds the masks.
        out: the mask file.
        splits: whose images; any of train, query, gallery.

    Raises:
        UserError: no such splits or no image of them, the data set cannot be read, or the
            backend's reason; nothing is left at `out`.
    """
    dataset = open_dataset(manifest_path)
    rows = _rows(dataset, splits)
    write_masks(
        out,
        _masks(dataset, backend, rows),
        manifest_sha256=sha256_file(manifest_path),
        image_sha256s=dataset.manifest.sha256,
        shape=(len(rows), *dataset.size),
        splits=splits,
        backend=backend.name,
        weights_sha256=backend.weights_sha256,
        settings=backend.settings,
    )


def _rows(dataset: Dataset, splits: Sequence[str]) -> NDArray[np.int64]:
    if isinstance(splits, str) or not splits or set(splits) - set(SPLITS):
        raise UserError(f"masks.splits is {splits!r}; give a list of any of {', '.join(SPLITS)}")
    rows = rows_of_splits(dataset.manifest, splits)
    if not len(rows):
        raise UserError(
            f"{dataset.path}: no images in {', '.join(splits)}; choose others in masks.splits"
        )
    return rows


def _masks(
    dataset: Dataset, backend: MaskBackend, rows: NDArray[np.int64]
) -> Iterator[NDArray[np.bool_]]:
    paths = dataset.manifest.paths
    with Bar(total=len(rows), desc=f"{backend.name} masks", unit="img") as progress:
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            yield from backend.masks(Batch(dataset.store[some], tuple(paths[i] for i in some)))
            progress.update(len(some))


def main(argv: list[str] | None = None) -> None:
    """Write the mask file that the command line asks for, with the backend's default settings."""
    parser = argparse.ArgumentParser(prog="python -m crgan.masks.extract", description=__doc__)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--backend", required=True, help=", ".join(names()))
    parser.add_argument("--weights", type=Path, help="the backend's weights file")
    parser.add_argument("--raw", type=Path, help="the demo data set's raw folder, for truth")
    parser.add_argument("--splits", nargs="+", default=SPLITS, choices=SPLITS, help="of these only")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(argv)
    try:
        resources = Resources(args.weights, args.raw, args.threads)
        backend = make_backend(args.backend, {}, resources)
        extract_masks(args.manifest, backend, args.out, args.splits)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
