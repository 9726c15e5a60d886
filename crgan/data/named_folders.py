"""What Market-1501 and DukeMTMC-reID share: three folders of files whose names hold the labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from crgan.common.errors import UserError
from crgan.data.attributes import read_attributes
from crgan.data.entries import Entry, FilePixels, Listing, find_root, in_order, visible

FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}


def load(
    dataset: str,
    source: Path,
    name: re.Pattern[str],
    attribute_variable: str,
    attributes: Path | None,
) -> Listing:
    """Scan the three folders of a data set.

    Args:
        dataset: its name.
        source: its folder, or one above it.
        name: pattern of a file name with the groups `pid` and `camid`.
        attribute_variable: the struct's name in the attribute file, and the file's stem.
        attributes: the attribute file; None looks for it in the root and in `attribute/`.

    Raises:
        UserError: the folders are not there.
    """
    root = find_root(source, tuple(FOLDERS), dataset)
    entries: list[Entry] = []
    strangers: list[str] = []
    for folder, split in FOLDERS.items():
        for item in visible(root / folder):
            match = name.fullmatch(item.name)
            path = f"{folder}/{item.name}"
            if match is None or item.is_dir():
                strangers.append(path)
            else:
                entries.append(Entry(path, int(match["pid"]), int(match["camid"]), split))
    if not entries:
        raise UserError(f"{dataset}: the folders of {root} hold no image; copy the whole data set")
    table: Mapping[str, Mapping[int, int]] = {}
    if path_of := _attribute_file(root, attribute_variable, attributes):
        table = read_attributes(path_of, attribute_variable)
    return Listing(dataset, root, in_order(entries), tuple(strangers), FilePixels(root), table)


def _attribute_file(root: Path, stem: str, given: Path | None) -> Path | None:
    if given is not None:
        if not given.is_file():
            raise UserError(f"{given}: no such attribute file")
        return given
    places = [root / "attribute" / f"{stem}.mat", root / f"{stem}.mat"]
    return next((place for place in places if place.is_file()), None)
