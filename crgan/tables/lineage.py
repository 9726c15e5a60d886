"""What a score descends from, read off the provenance records of all that went into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crgan.common.io import read_json
from crgan.pipeline.records import record_path


def ancestors(output: str | Path) -> Iterator[dict[str, Any]]:
    """The record of `output` and of everything it was made from, each once.

    Files without a record are raw material and end the walk.
    """
    seen: set[Path] = set()
    waiting = [str(output)]
    while waiting:
        path = record_path(waiting.pop())
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        record = read_json(path)
        yield record
        waiting += record["inputs"]


def mask_backends(output: str | Path) -> list[str]:
    """Names of the backends whose person masks went into a file, sorted; none for a CNN alone."""
    records = [record for record in ancestors(output) if record["stage"] == "extract_masks"]
    return sorted({record["params"]["masks"]["backend"] for record in records})
