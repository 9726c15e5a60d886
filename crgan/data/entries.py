"""What a loader yields: the entries of a raw data set and a way to read their pixels.

Loaders know one on-disk layout each and nothing of image files; integrity checks know image files
and nothing of layouts. A `Listing` is what passes between them.

A pid means the same everywhere in the project, whatever numbers a layout uses on disk: 1 and above
is a person, `DISTRACTOR_PID`, `JUNK_PID` and `UNLABELLED_PID` are nobody in particular. Each layout
maps its own numbers into this; that 0 and -1 have a meaning on disk is Market-1501's affair alone.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.paths import is_clutter

SPLITS = ("train", "query", "gallery")
JUNK_PID = -1  # a wrong detection, removed from every ranking
DISTRACTOR_PID = 0  # someone who is nobody's true match
UNLABELLED_PID = -2  # not known who
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


@dataclass(frozen=True)
class Entry:
    """One image: `path` relative to the data set's root, the field's integers, its split."""

    path: str
    pid: int
    camid: int
    split: str


class Pixels(Protocol):
    """Reads the image of an entry: encoded file bytes, or an already decoded array."""

    def read(self, path: str) -> bytes | NDArray[np.generic]:
        """Bytes of the file, or the decoded array of a data set stored as arrays."""
        ...


class BadImage(Exception):
    """One image that cannot be used: `kind` is a key of the report, `detail` what was seen."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


class NoRegularFile(Exception):
    """A name behind which no regular file is: a pipe, a socket, a device, a folder."""


@dataclass(frozen=True)
class FilePixels:
    """Entries that are image files below `root`."""

    root: Path
    max_bytes: int = 1 << 26  # a person crop has kilobytes; never load a mislabelled video

    def read(self, path: str) -> bytes:
        """The file's bytes; at most `max_bytes + 1` of them, which is enough to refuse it.

        Raises:
            NoRegularFile: opening a pipe would wait for ever, so it is not even tried to read one.
        """
        handle = os.open(self.root / path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise NoRegularFile
            return file.read(self.max_bytes + 1)


@dataclass(frozen=True)
class Listing:
    """A scanned data set.

    Attributes:
        dataset: its name, for messages.
        root: where it was found.
        entries: in the manifest's order (split, then path).
        strangers: paths inside the data set's folders whose names were not understood, or that
            are no files (then with the reason in brackets).
        pixels: reads an entry's image.
        attributes: attribute name -> {pid: value}; values as published (1, 2, ...), 0 unknown.
        rule: what names the layout understands, for messages.
    """

    dataset: str
    root: Path
    entries: tuple[Entry, ...]
    strangers: tuple[str, ...]
    pixels: Pixels
    attributes: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    rule: str = ""


def in_order(entries: list[Entry]) -> tuple[Entry, ...]:
    """Entries in the manifest's order: train, query, gallery, and by path within each."""
    rank = {split: i for i, split in enumerate(SPLITS)}
    return tuple(sorted(entries, key=lambda e: (rank[e.split], e.path)))


def in_natural_order(entries: list[Entry]) -> tuple[Entry, ...]:
    """As `in_order`, with the numbers in paths compared as numbers: 9.jpg before 10.jpg."""
    rank = {split: i for i, split in enumerate(SPLITS)}
    return tuple(sorted(entries, key=lambda e: (rank[e.split], natural(e.path))))


def natural(text: str) -> tuple[list[str | int], str]:
    """Sort key under which cam2 comes before cam10."""
    parts = re.split(r"([0-9]+)", text)  # text and number in turns, so that like meets like
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], text


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Each distinct name's number, from 1 in natural order."""
    return {name: i for i, name in enumerate(sorted(set(names), key=natural), start=1)}


def is_image(name: str) -> bool:
    """Whether a file's name ends as an image's."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of `folder` that are not clutter, sorted by name.

    Raises:
        UserError: the folder cannot be listed, or holds a name that is not valid UTF-8.
    """
    try:
        with os.scandir(folder) as found:
            kept = sorted((e for e in found if not is_clutter(e.name)), key=lambda e: e.name)
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror})") from None
    for entry in kept:
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{folder}: file name {entry.name!r} is not UTF-8; rename it") from None
    return kept


def no_file(item: os.DirEntry[str]) -> str | None:
    """Why `item` cannot be an image, or None: a folder, a link to nothing, a pipe, a device."""
    try:
        mode = item.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:  # a link to itself, say
        return str(error.strerror).lower()
    if stat.S_ISDIR(mode):
        return "a folder"
    return None if stat.S_ISREG(mode) else "no regular file"


def find_root(source: Path, wanted: tuple[str, ...], dataset: str, depth: int = 2) -> Path:
    """The folder at or below `source` (at most `depth` levels) that holds all of `wanted`.

    Archives nest their content differently (`Market-1501-v15.09.15/`, `DukeMTMC-reID/`, one folder
    more after unpacking), so the place is looked for and must be unique.

    Raises:
        UserError: none or several such folders, saying what was found instead.
    """
    if not source.exists():
        raise UserError(f"{dataset}: {source} does not exist; set its source to your copy")
    level, found, partial = [source], [], []
    for _ in range(depth + 1):
        below: list[Path] = []
        for folder in level:
            present = [name for name in wanted if (folder / name).exists()]
            if len(present) == len(wanted):
                found.append(folder)
            elif present:
                partial.append((folder, sorted(set(wanted) - set(present))))
            else:
                below += [Path(e.path) for e in visible(folder) if e.is_dir()]
        if found:
            break
        level = below
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(str(f) for f in found)
        raise UserError(f"{dataset}: several copies below {source}: {listed}; name one of them")
    if partial:
        folder, missing = partial[0]
        raise UserError(f"{dataset}: {folder} lacks {', '.join(missing)}; copy the whole data set")
    raise UserError(
        f"{dataset}: no folder at or below {source} holds {', '.join(wanted)}; "
        "set its source to the unpacked data set"
    )
