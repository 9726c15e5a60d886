"""From a source to a manifest and an image store: the whole of stage `prepare_data`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.data import cuhk03, dukemtmc, folder, market1501
from crgan.data.acquire import acquire, how_to_get, is_address
from crgan.data.counts import check_counts
from crgan.data.entries import Listing
from crgan.data.integrity import Checks, OnOdd
from crgan.data.manifest import Manifest, write_manifest
from crgan.data.store import IMAGES, write_store

LAYOUTS = ("market1501", "dukemtmc", "cuhk03", "folder")
GENERATED = "generated"
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Recipe:
    """Where a data set comes from and what it must be.

    Attributes:
        layout: market1501, dukemtmc, cuhk03, or folder (`<site>/<camera>/*`, no labels).
        source: a folder, an archive, CUHK03's .mat, an http(s) address, or `generated`.
        sha256: of the file; needed for an address.
        expect: `published` counts, or `none` for a set that is different on purpose.
        protocol: CUHK03 only; `all` 1,467 identities to train, or the `new` 767/700 split.
        protocol_file: the new protocol's .mat; None looks beside cuhk-03.mat.
        attributes: an attribute .mat; None looks in the data set's folder.
        on_odd: greyscale, CMYK, 16-bit, palette and transparent pictures: `refuse` or `convert`.
        max_pixels: larger pictures are refused unseen.
        demo: settings of the demo benchmark's renderer, for source `generated`.
    """

    layout: str
    source: str
    sha256: str | None = None
    expect: str = "published"
    protocol: str = "all"
    protocol_file: str | None = None
    attributes: str | None = None
    on_odd: OnOdd = "refuse"
    max_pixels: int = 1 << 24
    demo: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise UserError(f"layout is {self.layout!r}; use one of {', '.join(LAYOUTS)}")

    @classmethod
    def of(cls, dataset: str, values: Mapping[str, Any]) -> Recipe:
        """From the parameters of a data set; an unknown or missing key is an error."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UserError(
                f"data.{dataset}.{unknown[0]}: no such key; known: {', '.join(sorted(known))}"
            )
        if missing := [name for name in ("layout", "source") if name not in values]:
            raise UserError(f"data.{dataset}.{missing[0]} is not set")
        return cls(**values)


def missing_source(dataset: str, recipe: Recipe) -> str | None:
    """What the user must still bring, in one line, or None; reads no data."""
    if recipe.source == GENERATED or is_address(recipe.source) or Path(recipe.source).exists():
        return None
    return f"{dataset}: {recipe.source} is not there. {how_to_get(recipe.layout)}"


def prepare(
    dataset: str,
    recipe: Recipe,
    out_dir: str | Path,
    raw_dir: str | Path,
    size: tuple[int, int],
    workers: int = 1,
) -> Manifest:
    """Write `manifest.csv` and `images.npy` of a data set into `out_dir`.

    Every count and every image is checked before either file appears.

    Args:
        dataset: its name.
        recipe: source and expectations.
        out_dir: where the two files go.
        raw_dir: where downloads, unpacked archives or the generated raw data are kept.
        size: (H, W) of the store.
        workers: threads that decode; the result does not depend on it.

    Raises:
        UserError: naming what is missing, extra, unsafe or broken.
    """
    out_dir = Path(out_dir)
    if recipe.source == GENERATED:
        root = _generate(dataset, recipe, Path(raw_dir))
    else:
        root = acquire(recipe.layout, recipe.source, raw_dir, recipe.sha256)
    listing = load(dataset, recipe, root)
    key = f"cuhk03/{recipe.protocol}" if recipe.layout == "cuhk03" else recipe.layout
    check_counts(listing, recipe.expect, key if recipe.layout != "folder" else None)
    attributes = _attribute_columns(listing)
    checks = Checks(on_odd=recipe.on_odd, max_pixels=recipe.max_pixels)
    with atomic_path(out_dir / IMAGES) as images:
        digests = write_store(images, listing, *size, checks, workers)
        manifest = Manifest(
            paths=tuple(entry.path for entry in listing.entries),
            pid=np.array([entry.pid for entry in listing.entries], dtype=np.int64),
            camid=np.array([entry.camid for entry in listing.entries], dtype=np.int64),
            split=tuple(entry.split for entry in listing.entries),
            sha256=digests,
            attributes=attributes,
        )
        write_manifest(out_dir / MANIFEST, manifest)
    return manifest


def load(dataset: str, recipe: Recipe, root: Path) -> Listing:
    """List raw data with the loader of the recipe's layout."""
    if recipe.layout == "market1501":
        return market1501.load(root, recipe.attributes, dataset)
    if recipe.layout == "dukemtmc":
        return dukemtmc.load(root, recipe.attributes, dataset)
    if recipe.layout == "cuhk03":
        return cuhk03.load(root, recipe.protocol, recipe.protocol_file, dataset)
    return folder.load(root, dataset)


def _attribute_columns(listing: Listing) -> dict[str, np.ndarray]:
    """Attributes by row; 0 for people the attribute file says nothing of (distractors, junk)."""
    pids = [entry.pid for entry in listing.entries]
    trained = {entry.pid for entry in listing.entries if entry.split == "train" and entry.pid > 0}
    columns = {}
    for name, values in listing.attributes.items():
        columns[name] = np.array([values.get(pid, 0) for pid in pids], dtype=np.int64)
    known = set().union(*listing.attributes.values()) if columns else trained
    if lacking := sorted(trained - known):
        raise UserError(
            f"{listing.dataset}: {len(lacking)} training identities are not in the attribute file "
            f"(for example {lacking[0]}); it belongs to another data set, or remove it"
        )
    return columns


def _generate(dataset: str, recipe: Recipe, raw_dir: Path) -> Path:
    """The demo benchmark's raw data; drawn unless the same are there already."""
    from crgan.synth import DemoConfig, generate

    known = {f.name for f in fields(DemoConfig)}
    if unknown := sorted(set(recipe.demo) - known):
        raise UserError(
            f"data.{dataset}.demo.{unknown[0]}: no such key; known: {', '.join(sorted(known))}"
        )
    generate(dataset, raw_dir, DemoConfig(**recipe.demo))
    return raw_dir
