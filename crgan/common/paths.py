"""Names of files and folders as people write them, and those that nobody wrote."""

from __future__ import annotations

import os
import re
from pathlib import Path

_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}


def is_address(source: str | Path) -> bool:
    """Whether a source is an address rather than a path."""
    return re.match(r"[a-z][a-z0-9+.-]*://", str(source), re.IGNORECASE) is not None


def expanded(path: str) -> str:
    """A path with `~` and `$VARIABLE` filled in; an address as it stands."""
    return path if is_address(path) else os.path.expanduser(os.path.expandvars(path))


def is_clutter(name: str) -> bool:
    """Files that systems and archivers strew about: hidden files, `Thumbs.db`, read-me files."""
    low = name.lower()
    return low.startswith((".", "readme")) or low in _CLUTTER
