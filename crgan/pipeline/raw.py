"""Raw data as an input: what lies in a folder, and whether it has changed.

Which files are raw data is a parameter, and there may be hundreds of thousands. So one digest
stands for all their names and contents; they are read again only where one of them has been
written since, which a listing of sizes, times and inodes tells in a second.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crgan.common.io import sha256_file
from crgan.common.paths import expanded, is_clutter
from crgan.pipeline.spared import is_fresh, remember, remembered

READ = Path(".scratch/raw.json")  # {source: [digest of its listing, digest of its contents]}
_THREADS = 8  # that read: a network's files come one by one, each after a wait


def contents(source: str | Path) -> str:
    """SHA-256 over names and contents of the files of a source, a folder or a file.

    Folders are followed to any depth, links are followed, and the clutter of file managers does not
    count; nor do times, so that a copy elsewhere has the same digest.
    """
    place = os.path.abspath(expanded(str(source)))
    found = list(_found(place))
    seen = _digest(sorted(line for line, _, _ in found))
    known = remembered(READ).get(place, [None])
    if known[0] == seen:
        return str(known[1])
    with ThreadPoolExecutor(_THREADS) as pool:
        hashes = pool.map(_content, (path for _, _, path in found))
    read = _digest(sorted(f"{name} {own}" for (_, name, _), own in zip(found, hashes, strict=True)))
    if not any(is_fresh(path) for _, _, path in found):
        remember(READ, {place: [seen, read]})
    return read


def _found(place: str) -> Iterator[tuple[str, str, str]]:
    """(what changes when it is written, its name below the source, its path) of every file."""
    if os.path.isdir(place):
        yield from _below(place, "", frozenset())
    else:
        yield _line("", os.stat(place)), "", place


def _below(
    root: str, below: str, above: frozenset[tuple[int, int]]
) -> Iterator[tuple[str, str, str]]:
    """`_found` of a folder in the source; `above` are the folders it lies in."""
    folder = os.path.join(root, below)
    try:
        items = list(os.scandir(folder))
    except OSError as error:
        yield f"{below}/ {error.errno}", f"{below}/", folder
        return
    for item in items:
        if is_clutter(item.name):
            continue
        path = f"{below}/{item.name}" if below else item.name
        try:
            about = item.stat()
        except OSError as error:  # a link to nothing: a change when it leads somewhere again
            yield f"{path} {error.errno}", path, item.path
            continue
        if not stat.S_ISDIR(about.st_mode):
            yield _line(path, about), path, item.path
        elif (own := (about.st_dev, about.st_ino)) not in above:
            yield from _below(root, path, above | {own})


def _line(name: str, about: os.stat_result) -> str:
    """The change time is in it: unlike that of modification, no program can set it back."""
    return f"{name} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"


def _content(path: str) -> str:
    try:
        return sha256_file(path) if os.path.isfile(path) else "no file"  # a pipe would not end
    except OSError as error:
        return str(error.errno)


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
