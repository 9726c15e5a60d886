"""Image files below a folder, and their cameras; without torch, so that faults are told at once."""

from __future__ import annotations

import os
import re
from pathlib import Path

from crgan.common.errors import UserError
from crgan.data.entries import IMAGE_SUFFIXES, is_clutter

_MARKET_CAMERA = re.compile(r"-?\d+_c(\d+)(?:s\d+)?_")  # 0002_c1s1_000451_03.jpg


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
    found = {}
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not is_clutter(name))
        for name in files:
            path = Path(folder, name)
            if name.lower().endswith(IMAGE_SUFFIXES) and not is_clutter(name) and path.is_file():
                facts = path.stat()
                found[path.relative_to(root).as_posix()] = [facts.st_size, facts.st_mtime_ns]
    if not found:
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise UserError(f"{root}: no image in it or below it ({kinds}); name another folder")
    return dict(sorted(found.items()))
