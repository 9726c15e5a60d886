"""What data sets are known, which of them are here, and how to get the others: `crgan datasets`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.paths import is_address
from crgan.data.counts import SplitCount, count, differences
from crgan.data.layout import layout_of, names
from crgan.data.prepare import GENERATED, DataSpec

RESOURCES = Path("resources")


@dataclass(frozen=True)
class Known:
    """A data set of the parameters, or a layout that none of them has.

    Attributes:
        name: the data set's, or the layout's.
        layout: its layout.
        label: as shown in tables.
        source: where it is looked for; "" where nothing says so.
        state: `found`, `found, not as published`, `broken`, `packed`, `generated`, `address` or
            `missing`.
        counts: what was found, by split.
        note: what is wrong, or how to get it.
    """

    name: str
    layout: str
    label: str
    source: str
    state: str
    counts: Mapping[str, SplitCount] = field(default_factory=dict)
    note: str = ""


def known(params: Mapping[str, Any], resources: Path = RESOURCES) -> list[Known]:
    """Look at every data set of the parameters, in every profile, and at every other layout.

    Folders are listed and no image is opened: seconds for the largest set.

    Args:
        params: the parameters; their sections `data` and `profiles`.
        resources: where the data sets without a source are looked for, in a folder of their name.
    """
    found: dict[tuple[str, str], Known] = {}
    for dataset, shared in params["data"].items():
        for profile in params["profiles"].values():
            values = {**shared, **profile.get("data", {}).get(dataset, {})}
            if "source" in values:
                key = (dataset, str(values["source"]))
                found[key] = found.get(key) or _of_values(dataset, values)
    taken = {entry.layout for entry in found.values()}
    for name in names():
        if name not in taken:
            place = resources / name
            values = {"layout": name, "source": str(place)}
            entry = _of_values(name, values)
            found[name, ""] = entry if place.exists() else _missing(name, name, "")
    return list(found.values())


def _of_values(dataset: str, values: Mapping[str, Any]) -> Known:
    layout, source = str(values["layout"]), str(values["source"])
    label = layout_of(layout).label
    if source == GENERATED:
        return Known(dataset, layout, label, source, "generated", note="drawn when it is needed")
    if is_address(source):
        return Known(dataset, layout, label, source, "address", note="fetched when it is needed")
    try:
        spec = DataSpec.of(dataset, values)
        place = Path(spec.source)
        if not place.exists():
            return _missing(dataset, layout, source)
        if place.is_file() and place.suffix.lower() != ".mat":
            return Known(dataset, layout, label, source, "packed", note="unpacked when needed")
        listing = layout_of(layout).load(place, spec.options, dataset)
    except UserError as error:
        return Known(dataset, layout, label, source, "broken", note=str(error))
    counts = count(listing.entries)
    published = layout_of(layout).published(spec.options)
    lines = differences(listing.entries, published) if published else []
    state = "found, not as published" if lines else "found"
    return Known(dataset, layout, label, source, state, counts, "; ".join(lines[:3]))


def _missing(dataset: str, layout: str, source: str) -> Known:
    about = layout_of(layout)
    return Known(dataset, layout, about.label, source, "missing", note=about.how_to_get)


def as_text(entries: list[Known]) -> str:
    """The listing for a terminal: a line a data set, its counts and notes below it."""
    lines = []
    for entry in entries:
        where = f" in {entry.source}" if entry.source and entry.state != "generated" else ""
        lines.append(f"{entry.name} ({entry.label}, layout {entry.layout}): {entry.state}{where}")
        for split, found in entry.counts.items():
            seen = sum(images > 0 for images in found.cameras)
            people = f"{found.ids:,} people" if found.ids else "no labels"
            lines.append(f"    {split:8}{found.images:>8,} images  {people:>14}  {seen} cameras")
        if entry.note:
            lines += textwrap.wrap(entry.note, 96, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)
