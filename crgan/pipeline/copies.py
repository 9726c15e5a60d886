"""Files of the project that a storage keeps: what a job has of them are copies in another folder.

With `snakemake --default-storage-provider s3` a job finds `artifacts/x.pt` as
`.snakemake/storage/s3/BUCKET/PREFIX/artifacts/x.pt`. Records name it `artifacts/x.pt` all the same,
so that a result has one identity wherever it was made. Snakemake's rules tell each job the folder
(`crgan.pipeline.workflow.job_environment`); without a storage there is none, and nothing here acts.
"""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT = "CRGAN_COPIES"
MADE = ("artifacts", "results")  # whatever lies here was made by a stage and must have a record


def folder() -> Path | None:
    """The folder of the copies, or None where the project's own files are used."""
    name = os.environ.get(ENVIRONMENT)
    return Path(name) if name else None


def place(path: str | Path, copies: Path | None = None) -> Path:
    """Where a file made by a stage lies: its copy if there is a storage; other files as they are.

    Args:
        path: relative to the project, as records name it.
        copies: their folder; `folder()` unless given.
    """
    path, copies = Path(path), copies or folder()
    return copies / path if copies and path.parts[:1] and path.parts[0] in MADE else path


def project_name(path: str) -> str:
    """A copy's path as records name it; any other path as it is."""
    copies = folder()
    if copies is None:
        return path
    beginning = f"{copies.as_posix()}/"
    return path.removeprefix(beginning)
