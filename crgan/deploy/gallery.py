"""A folder of images with their features, which are kept beside the images.

`<folder>/.crgan/<model>.json` lists the images with sizes and times, `.f32` beside it has their
features. Only images that were added or changed since are looked at again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, canonical_json, read_json, sha256_bytes, write_json
from crgan.deploy.listing import camera_of, list_images
from crgan.deploy.model import ReidModel, as_array
from crgan.pipeline.progress import Bar

CACHE = ".crgan"
_COPIED = 65536  # rows at a time


@dataclass(frozen=True)
class Gallery:
    """Images of a folder.

    Attributes:
        root: the folder.
        names: paths below it, with `/`; a row of `features` each.
        cameras: the camera of each, by `camera_of`; "" where unknown.
        features: float32 (N, D) of length 1, a memory map where they are kept.
        skipped: images that cannot be used: name -> why.
        computed: how many features were made now, and not taken from the cache.
    """

    root: Path
    names: list[str]
    cameras: list[str]
    features: NDArray[np.float32]
    skipped: Mapping[str, str]
    computed: int


def open_gallery(root: str | Path, model: ReidModel) -> Gallery:
    """The features of all images below a folder, by this model; what is not kept yet is made.

    Raises:
        UserError: no such folder, or no image in it that can be used.
    """
    root = Path(root)
    listing = list_images(root)
    index = root / CACHE / f"{model.digest[:16]}.json"
    old = _read_cache(index)
    names, skipped = [n for n in old.names if listing.get(n) == old.listing[n]], {}
    skipped = {n: why for n, why in old.skipped.items() if listing.get(n) == old.listing[n]}
    known = {*names, *skipped}
    new = [name for name in listing if name not in known]
    if not new and len(known) == len(old.listing):
        return _gallery(root, names, old.features, skipped, 0)
    rows = np.flatnonzero([listing.get(n) == old.listing[n] for n in old.names])
    text = canonical_json([model.digest, listing])
    path = index.with_name(f"{model.digest[:16]}-{sha256_bytes(text.encode())[:16]}.f32")
    usable: list[str] = []

    def pixels() -> Iterator[NDArray[np.uint8]]:
        for name in Bar(new, desc=f"features of {root.name}", unit="img"):
            try:
                image = as_array(root / name, model.size)
            except UserError as error:
                skipped[name] = str(error).removeprefix(f"{root / name}: ")
            else:
                usable.append(name)
                yield image

    kept = (old.features[rows[i : i + _COPIED]] for i in range(0, len(rows), _COPIED))
    parts = (part for source in (kept, model.batches(pixels())) for part in source)
    features = _store(path, parts)
    names += usable
    if not names:
        listed = "; ".join(f"{name}: {why}" for name, why in list(skipped.items())[:3])
        raise UserError(f"{root}: no image that can be used ({listed})")
    if path.is_file():
        write_json(index, {"listing": listing, "names": names, "skipped": skipped,
                           "features": path.name, "dims": features.shape[1]})  # fmt: skip
        for other in index.parent.glob(f"{model.digest[:16]}-*.f32"):
            if other != path:
                other.unlink(missing_ok=True)
    return _gallery(root, names, features, skipped, len(usable))


def _gallery(
    root: Path,
    names: list[str],
    features: NDArray[np.float32],
    skipped: Mapping[str, str],
    computed: int,
) -> Gallery:
    return Gallery(root, names, [camera_of(n) for n in names], features, skipped, computed)


def _store(path: Path, parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Features written as they come; held in memory where the folder may not be written."""
    try:
        path.parent.mkdir(exist_ok=True)
        writable = os.access(path.parent, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        held = [np.asarray(part) for part in parts]
        return np.concatenate(held) if held else np.empty((0, 0), dtype=np.float32)
    dims = rows = 0
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        for part in parts:
            dims, rows = part.shape[1], rows + len(part)
            file.write(np.ascontiguousarray(part).data)
    return _mapped(path, rows, dims)


@dataclass(frozen=True)
class _Cache:
    listing: Mapping[str, Any]
    names: list[str]
    skipped: Mapping[str, str]
    features: NDArray[np.float32]


def _read_cache(index: Path) -> _Cache:
    """What was kept; nothing, where that is missing or does not fit together."""
    nothing = _Cache({}, [], {}, np.empty((0, 0), dtype=np.float32))
    try:
        facts = read_json(index)
        names, dims, path = facts["names"], facts["dims"], index.with_name(facts["features"])
        if path.stat().st_size != 4 * len(names) * dims or path.parent != index.parent:
            return nothing
        features = _mapped(path, len(names), dims)
        cache = _Cache(facts["listing"], names, facts["skipped"], features)
    except (UserError, OSError, KeyError, TypeError, ValueError):
        return nothing
    whole = set(cache.names) | set(cache.skipped) == set(cache.listing)
    return cache if whole else nothing


def _mapped(path: Path, rows: int, dims: int) -> NDArray[np.float32]:
    if not rows:
        return np.empty((0, dims), dtype=np.float32)
    return np.memmap(path, dtype=np.float32, mode="r", shape=(rows, dims))
