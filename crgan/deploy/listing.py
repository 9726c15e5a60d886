"""Image files below a folder, and their cameras; without torch, so that faults are told at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from crgan.common.errors import UserError
from crgan.data.entries import IMAGE_SUFFIXES, is_image, visible

_MARKET_CAMERA = re.compile(r"-?\d+_c(\d+)(?:s\d+)?_")  # 0002_c1s1_000451_03.jpg
_DEEPEST = 16  # folders; a link that leads back to its parent would never end


def camera_of(name: str) -> str:
    """The camera of an image by its path: as Market-1501 names files, else the first folder's name;
    "" for neither.
    """
    folder, _, rest = name.partition("/")
    if found := _MARKET_CAMERA.match(name.rpartition("/")[2]):
        return found[1]
    return folder if rest else ""


def list_images(root: Path) -> dict[str, list[int]]:
    """All image files below a folder, nested ones too: path with `/` -> [bytes, time in ns].

    Raises:
        UserError: no such folder, or no image in it.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    found = dict(sorted(_below(root, "", _DEEPEST)))
    if not found:
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise UserError(f"{root}: no image in it or below it ({kinds}); name another folder")
    return found


def _below(root: Path, folder: str, depth: int) -> Iterator[tuple[str, list[int]]]:
    for item in visible(root / folder):
        path = f"{folder}/{item.name}" if folder else item.name
        if item.is_dir():
            if depth:
                yield from _below(root, path, depth - 1)
        elif is_image(item.name) and item.is_file():  # no pipe: reading one would never end
            facts = item.stat()
            yield path, [facts.st_size, facts.st_mtime_ns]
