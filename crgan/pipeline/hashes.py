"""SHA-256 of files, remembered, so that an unchanged file is read once."""

from __future__ import annotations

import os
from pathlib import Path

from crgan.common.io import sha256_file
from crgan.pipeline.spared import is_fresh, remember, remembered

DEFAULT = Path(".scratch/hashes.json")


class Hashes:
    """Hashes of files by path, trusted as long as length, times and inode stay the same.

    The change time is among them: unlike the modification time, no program can set it back.

    Args:
        path: where they are remembered; None remembers only in memory.
    """

    def __init__(self, path: Path | None = DEFAULT) -> None:
        self.path = path
        self._known: dict[str, list[object]] = remembered(path) if path else {}
        self._new: dict[str, list[object]] = {}

    def of(self, path: str | Path) -> str:
        """Hex SHA-256 of a file's content."""
        name = os.path.abspath(path)
        signature = stat_signature(path)
        known = self._known.get(name)
        if known is not None and known[:-1] == signature:
            return str(known[-1])
        sha256 = sha256_file(path)
        if not is_fresh(path):
            self._known[name] = self._new[name] = [*signature, sha256]
        return sha256

    def note(self, path: str | Path, sha256: str) -> None:
        """Note the hash of a file whose name or times the caller has changed, and just now."""
        self._known[os.path.abspath(path)] = self._new[os.path.abspath(path)] = [
            *stat_signature(path),
            sha256,
        ]

    def save(self) -> None:
        """Add what is new to the file."""
        if self._new and self.path is not None:
            remember(self.path, self._new)
            self._new = {}


def stat_signature(path: str | Path) -> list[object]:
    """What changes whenever a file is written: length, both times, inode."""
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
