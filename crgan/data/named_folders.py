"""What Market-1501 and sets in its form share: three folders of files whose names hold labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from crgan.common.errors import UserError
from crgan.data.attributes import read_attributes
from crgan.data.entries import (
    Entry,
    FilePixels,
    Listing,
    find_root,
    in_natural_order,
    in_order,
    no_file,
    visible,
)

FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
Understood = Callable[[re.Match[str], str], tuple[int, int]]
"""(match of a name, its split) -> (pid, camid), in the project's meaning."""


def by_number(match: re.Match[str], split: str) -> tuple[int, int]:
    """The numbers as they stand in the name: for sets that count people and cameras from 1."""
    return int(match["pid"]), int(match["camid"])


def load(
    dataset: str,
    source: Path,
    name: re.Pattern[str],
    rule: str,
    understood: Understood = by_number,
    natural_order: bool = False,
) -> Listing:
    """Scan the three folders of a data set.

    Args:
        dataset: its name.
        source: its folder, or one above it.
        name: pattern of a file name.
        rule: the same in words, for messages.
        understood: makes labels of a match; what it raises ValueError for is not understood.
        natural_order: of the paths; the published sets are in plain order.

    Raises:
        UserError: the folders are not there, or hold no image.
    """
    root = find_root(source, tuple(FOLDERS), dataset)
    entries: list[Entry] = []
    strangers: list[str] = []
    for folder, split in FOLDERS.items():
        for item in visible(root / folder):
            path = f"{folder}/{item.name}"
            match = name.fullmatch(item.name)
            reason = no_file(item)
            if reason or match is None:
                strangers.append(f"{path} ({reason})" if reason else path)
                continue
            try:
                entries.append(Entry(path, *understood(match, split), split))
            except ValueError:
                strangers.append(path)
    if not entries:
        raise nothing_understood(dataset, root, strangers, rule)
    ordered = in_natural_order(entries) if natural_order else in_order(entries)
    return Listing(dataset, root, ordered, tuple(strangers), FilePixels(root), rule=rule)


def nothing_understood(dataset: str, root: Path, strangers: list[str], rule: str) -> UserError:
    """For folders without a single image by the layout's rule."""
    if not strangers:
        return UserError(f"{dataset}: the folders of {root} hold no image; fill them")
    return UserError(
        f"{dataset}: the folders of {root} hold {len(strangers):,} names, for example "
        f"{', '.join(strangers[:3])}, and none is understood: this layout reads {rule}. Rename "
        "them, or choose the layout they have (`crgan datasets` lists the layouts)"
    )


def attribute_table(
    root: Path, variable: str, given: str | None
) -> Mapping[str, Mapping[int, int]]:
    """The attributes of a set, from the file given or from the usual places; {} without one.

    Args:
        root: the set's folder; the file is looked for in it and in `attribute/`.
        variable: the struct's name in the file, and the file's stem.
        given: the file.

    Raises:
        UserError: the given file is not there, or what is there cannot be used.
    """
    if given is not None:
        if not Path(given).is_file():
            raise UserError(f"{given}: no such attribute file")
        return read_attributes(given, variable)
    places = [root / "attribute" / f"{variable}.mat", root / f"{variable}.mat"]
    found = next((place for place in places if place.is_file()), None)
    return read_attributes(found, variable) if found else {}
