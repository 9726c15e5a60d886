"""Masks of a whole data set: the images through a backend into a mask file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from crgan.data.store import Dataset, open_dataset
from crgan.parsing.backend import Batch, MaskBackend
from crgan.parsing.store import write_masks
from crgan.run.io import sha256_file

_BATCH = 64  # images handed to a backend at a time; bounds memory whatever the data set's size


def extract_masks(manifest_path: str | Path, backend: MaskBackend, out: str | Path) -> None:
    """Write the masks of every image of a data set, in manifest order and at the store's size.

    Args:
        manifest_path: the manifest, with its image store beside it.
        backend: finds the masks.
        out: the mask file.

    Raises:
        UserError: the data set cannot be read, or the backend's reason; nothing is left at `out`.
    """
    dataset = open_dataset(manifest_path)
    manifest = dataset.manifest
    write_masks(
        out,
        _masks(dataset, backend),
        manifest_sha256=sha256_file(manifest_path),
        image_sha256s=manifest.sha256,
        shape=(len(manifest), *dataset.size),
        backend=backend.name,
        weights_sha256=backend.weights_sha256,
        settings=backend.settings,
    )


def _masks(dataset: Dataset, backend: MaskBackend) -> Iterator[NDArray[np.bool_]]:
    paths = dataset.manifest.paths
    with tqdm(total=len(paths), desc=f"{backend.name} masks", unit="img") as progress:
        for start in range(0, len(paths), _BATCH):
            batch = Batch(
                np.ascontiguousarray(dataset.store[start : start + _BATCH]),
                paths[start : start + _BATCH],
            )
            yield from backend.masks(batch)
            progress.update(len(batch.paths))
