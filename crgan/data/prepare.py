"""From a source to a manifest and an image store: the whole of stage `prepare_data`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, unwritable
from crgan.common.paths import expanded, is_address
from crgan.common.settings import Count
from crgan.data.acquire import acquire
from crgan.data.counts import check_counts
from crgan.data.entries import Listing
from crgan.data.layout import layout_of, options_from
from crgan.data.manifest import Manifest, write_manifest
from crgan.data.usable import check_copies, check_usable

GENERATED = "generated"
MANIFEST = "manifest.csv"


@dataclass(frozen=True)
class DataSpec:
    """Where a data set comes from and what it must be.

    Attributes:
        layout: how it lies on disk; a file of `crgan/data/layouts`.
        source: a folder, an archive, CUHK03's .mat, an http(s) address, or `generated`. `~` and
            `$VARIABLE` are filled in.
        sha256: of the file; needed for an address.
        expect: `published` counts, or `none` for a set that is different on purpose; None takes
            the published ones of a layout that has any.
        on_odd: greyscale, CMYK, 16-bit, palette and transparent images: `refuse` or `convert`.
        max_pixels: larger images are refused unseen.
        demo: settings of the demo benchmark's renderer, for source `generated`.
        options: the layout's own (its `Options`), such as CUHK03's protocol.
    """

    layout: str
    source: str
    sha256: str | None = None
    expect: Literal["published", "none"] | None = None
    on_odd: Literal["refuse", "convert"] = "refuse"
    max_pixels: Count = 1 << 24
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
    def of(cls, dataset: str, values: Mapping[str, Any]) -> DataSpec:
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


def missing_source(dataset: str, spec: DataSpec) -> str | None:
    """What the user must still bring, in one line, or None; reads no data."""
    if spec.source == GENERATED or is_address(spec.source) or Path(spec.source).exists():
        return None
    return f"{dataset}: {spec.source} is not there. {layout_of(spec.layout).how_to_get}"


def prepare(
    dataset: str,
    spec: DataSpec,
    out_dir: str | Path,
    raw_dir: str | Path,
    size: tuple[int, int],
    workers: int = 1,
) -> Manifest:
    """Write `manifest.csv` and `images.npy` of a data set into `out_dir`.

    Every count and every image is checked before either file appears.

    Args:
        dataset: its name.
        spec: source and expectations.
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
    if spec.source == GENERATED:
        root = _generate(dataset, spec, Path(raw_dir))
    else:
        root = acquire(spec.layout, spec.source, raw_dir, spec.sha256)
    layout = layout_of(spec.layout)
    listing = layout.load(Path(root), spec.options, dataset)
    check_counts(listing, str(spec.expect), layout.published(spec.options))
    check_usable(listing)
    attributes = _attribute_columns(listing)
    checks = Checks(on_odd=spec.on_odd, max_pixels=spec.max_pixels)
    with atomic_path(out_dir / IMAGES) as images:
        digests = write_store(images, listing, *size, checks, workers)
        check_copies(dataset, listing.entries, np.load(images, mmap_mode="r"))
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


def _generate(dataset: str, spec: DataSpec, raw_dir: Path) -> Path:
    """The demo benchmark's raw data; drawn unless the same are there already."""
    from crgan.synth import DemoConfig, generate

    if not layout_of(spec.layout).generated:
        raise UserError(
            f"data.{dataset}: the demo benchmark has no data set of layout {spec.layout}; give "
            "a source of your own"
        )
    known = {f.name for f in fields(DemoConfig)}
    if unknown := sorted(set(spec.demo) - known):
        raise UserError(
            f"data.{dataset}.demo.{unknown[0]}: no such key; known: {', '.join(sorted(known))}"
        )
    config = DemoConfig(**spec.demo)
    try:
        generate(dataset, raw_dir, config)
    except OSError as error:
        raise unwritable(raw_dir, error) or error from None
    return raw_dir
