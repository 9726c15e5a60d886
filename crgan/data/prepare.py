"""From a source to a manifest and an image store: the whole of stage `prepare_data`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, unwritable
from crgan.data.acquire import acquire, is_address
from crgan.data.counts import check_counts
from crgan.data.entries import Listing, is_clutter
from crgan.data.layout import layout_of, option_files, options_from
from crgan.data.manifest import Manifest, write_manifest
from crgan.data.usable import check_copies, check_usable

GENERATED = "generated"
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class Recipe:
    """Where a data set comes from and what it must be.

    Attributes:
        layout: how it lies on disk; a file of `crgan/data/layouts`.
        source: a folder, an archive, CUHK03's .mat, an http(s) address, or `generated`. `~` and
            `$VARIABLE` are filled in.
        sha256: of the file; needed for an address.
        expect: `published` counts, or `none` for a set that is different on purpose; None takes
            the published ones of a layout that has any.
        on_odd: greyscale, CMYK, 16-bit, palette and transparent pictures: `refuse` or `convert`.
        max_pixels: larger pictures are refused unseen.
        demo: settings of the demo benchmark's renderer, for source `generated`.
        options: the layout's own (its `Options`), such as CUHK03's protocol.
    """

    layout: str
    source: str
    sha256: str | None = None
    expect: str | None = None
    on_odd: Literal["refuse", "convert"] = "refuse"
    max_pixels: int = 1 << 24
    demo: Mapping[str, Any] = field(default_factory=dict)
    options: Any = None

    def __post_init__(self) -> None:
        layout = layout_of(self.layout)
        given = layout.options() if self.options is None else self.options
        if not isinstance(self.source, str) or not self.source:
            raise UserError(f"source is {self.source!r}; give a folder, an archive or an address")
        object.__setattr__(self, "options", given)
        object.__setattr__(self, "source", expanded(self.source))
        if self.expect is None:
            expect = "none" if layout.published(given) is None else "published"
            object.__setattr__(self, "expect", expect)

    @classmethod
    def of(cls, dataset: str, values: Mapping[str, Any]) -> Recipe:
        """From the parameters of a data set; an unknown or missing key is an error."""
        for key in ("layout", "source"):
            if key not in values:
                raise UserError(f"data.{dataset}.{key} is not set")
        options = layout_of(values["layout"]).options
        of_layout = {f.name for f in fields(options)}
        known = {f.name for f in fields(cls) if f.name != "options"} | of_layout
        if unknown := sorted(set(values) - known):
            raise UserError(
                f"data.{dataset}.{unknown[0]}: no such key; known: {', '.join(sorted(known))}"
            )
        own = {
            key: expanded(value) if isinstance(value, str) else value
            for key, value in values.items()
            if key in of_layout and value is not None
        }
        rest = {key: value for key, value in values.items() if key not in of_layout}
        made = options_from(values["layout"], own, f"data.{dataset}")
        return cls(**rest, options=made)


def expanded(path: str) -> str:
    """A path with `~` and `$VARIABLE` filled in; an address as it stands."""
    return path if is_address(path) else os.path.expanduser(os.path.expandvars(path))


def missing_source(dataset: str, recipe: Recipe) -> str | None:
    """What the user must still bring, in one line, or None; reads no data."""
    if recipe.source == GENERATED or is_address(recipe.source) or Path(recipe.source).exists():
        return None
    return f"{dataset}: {recipe.source} is not there. {layout_of(recipe.layout).how_to_get}"


def named_files(values: Mapping[str, Any], dataset: str = "data") -> list[Path]:
    """The files that a data set's parameters name beside its source (attributes, protocol, ...).

    Args:
        values: the parameters of the data set, as for `Recipe.of`.
        dataset: its name, for messages.
    """
    recipe = Recipe.of(dataset, values)
    return option_files(recipe.layout, recipe.options)


def fingerprint(dataset: str, values: Mapping[str, Any]) -> str:
    """What a change of the raw data changes: a digest of names, sizes and times of modification.

    Folders are followed to any depth, links are followed, and the clutter of file managers does not
    count. No file is opened; 100,000 of them take about a second.

    Args:
        dataset: its name, for messages.
        values: the parameters of the data set, as for `Recipe.of`.

    Returns:
        SHA-256 in hex; "" for what is generated or fetched from an address (its sha256 is a
        parameter), and for a source that is not there.
    """
    recipe = Recipe.of(dataset, values)
    if recipe.source == GENERATED or is_address(recipe.source):
        return ""
    source = Path(recipe.source)
    if not source.exists():
        return ""
    digest = hashlib.sha256()
    if source.is_dir():
        for line in sorted(_listed(str(source), "", frozenset())):
            digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    else:
        about = source.stat()
        digest.update(f"{about.st_size} {about.st_mtime_ns}".encode())
    return digest.hexdigest()


def _listed(root: str, below: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """A line for each file: its path, size and time; `above` are the folders it lies in."""
    try:
        found = list(os.scandir(os.path.join(root, below)))
    except OSError as error:
        yield f"{below}/ {error.errno}"
        return
    for item in found:
        if is_clutter(item.name):
            continue
        path = f"{below}/{item.name}" if below else item.name
        try:
            about = item.stat()
        except OSError as error:  # a link to nothing: a change when it leads somewhere again
            yield f"{path} {error.errno}"
            continue
        if not item.is_dir():
            yield f"{path} {about.st_size} {about.st_mtime_ns}"
        elif (place := (about.st_dev, about.st_ino)) not in above:
            yield from _listed(root, path, above | {place})


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
    # the decoders are loaded here: whoever only asks for a fingerprint does not wait for them
    from crgan.data.integrity import Checks
    from crgan.data.store import IMAGES, write_store

    out_dir = Path(out_dir)
    if recipe.source == GENERATED:
        root = _generate(dataset, recipe, Path(raw_dir))
    else:
        root = acquire(recipe.layout, recipe.source, raw_dir, recipe.sha256)
    layout = layout_of(recipe.layout)
    listing = layout.load(Path(root), recipe.options, dataset)
    check_counts(listing, str(recipe.expect), layout.published(recipe.options))
    check_usable(listing)
    attributes = _attribute_columns(listing)
    checks = Checks(on_odd=recipe.on_odd, max_pixels=recipe.max_pixels)
    with atomic_path(out_dir / IMAGES) as images:
        digests = write_store(images, listing, *size, checks, workers)
        check_copies(dataset, listing.entries, digests)
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

    if not layout_of(recipe.layout).generated:
        raise UserError(
            f"data.{dataset}: the demo benchmark has no data set of layout {recipe.layout}; give "
            "a source of your own"
        )
    known = {f.name for f in fields(DemoConfig)}
    if unknown := sorted(set(recipe.demo) - known):
        raise UserError(
            f"data.{dataset}.demo.{unknown[0]}: no such key; known: {', '.join(sorted(known))}"
        )
    config = DemoConfig(**recipe.demo)
    try:
        generate(dataset, raw_dir, config)
    except OSError as error:
        raise unwritable(raw_dir, error) or error from None
    return raw_dir
