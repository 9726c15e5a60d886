"""Work spared by remembering: small JSON files in scratch that many processes read and add to.

Lost or damaged, or where they cannot be written, they cost the work again and nothing else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crgan.common.io import atomic_path

_GRAIN_NS = 50_000_000


def is_fresh(path: str | Path) -> bool:
    """Whether a file is so new that it may be written again within the clock's grain, unseen; then
    nothing of it is to be remembered.
    """
    try:
        return time.time_ns() - os.stat(path).st_ctime_ns < _GRAIN_NS
    except OSError:
        return False


def remembered(path: Path) -> dict[str, Any]:
    """What a file holds."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(path: Path, new: Mapping[str, Any]) -> None:
    """Add to a file, beside what other processes added meanwhile."""
    with suppress(OSError), atomic_path(path) as temporary:
        temporary.write_text(json.dumps({**remembered(path), **new}, sort_keys=True))
