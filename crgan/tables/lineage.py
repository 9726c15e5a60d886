"""What a score descends from, read off the provenance records of all that went into it."""

from __future__ import annotations

from pathlib import Path

from crgan.pipeline.records import ancestors


def mask_backends(output: str | Path) -> list[str]:
    """Names of the backends whose person masks went into a file, sorted; none for a CNN alone."""
    records = [record for record in ancestors(output) if record["stage"] == "extract_masks"]
    return sorted({record["params"]["masks"]["backend"] for record in records})
