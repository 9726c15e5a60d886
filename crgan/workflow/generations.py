"""What lies in a profile's folders: of every job the generation in place and the one put aside."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.pipeline.records import ASIDE, SUFFIX, record_path

_FINAL = re.compile(r"(table\d|renderings|claims|all)\.(csv|md|prov\.json)")  # beside the folders
# What the stages of dvc.yaml own: DVC wants a folder even where the matrix has nothing for it.
FOLDERS = (
    *(f"artifacts/{{0}}/{name}" for name in (
        "data", "weights", "masks", "d_id", "d_cam", "fresh", "judges", "gan", "sets", "finetuned",
        "adapted", "features",
    )),
    *(f"results/{{0}}/{name}" for name in (
        "cells", "queries", "selection", "visual", "judged", "ranks",
    )),
    "results/intervals", "results/curves", "results/figures",
)  # fmt: skip


@dataclass
class Job:
    """A record path and what lies there: a generation in place, one put aside, or both.

    Attributes:
        outputs: those recorded here, in place or not; of a job without a record, those in place.
        inputs: what either generation was made from.
        stands: the generation in place is current.
    """

    path: Path
    record: dict[str, Any] | None
    outputs: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    earlier: dict[str, Any] | None = None
    stands: bool = False

    @property
    def files(self) -> list[Path]:
        """What is in place, the record too."""
        return [p for p in (*map(Path, self.outputs), self.path) if p.is_file() or p.is_symlink()]

    @property
    def looks_old(self) -> bool:
        """Whether an input is newer than an output: all that Snakemake sees of a file at first."""
        own = [os.lstat(path).st_mtime_ns for path in self.files]  # of a link, its own
        read = [
            max(os.lstat(name).st_mtime_ns, os.stat(name).st_mtime_ns)
            for name in (self.record or {}).get("inputs", ())
            if os.path.exists(name)
        ]
        return bool(own and read) and max(read) > min(own)


def jobs_of(params: Mapping[str, Any]) -> list[Job]:
    """Every recorded job of the profile, and a job without a record for each unrecorded file."""
    jobs: dict[Path, Job] = {}
    unrecorded: dict[Path, list[str]] = {}
    files = list(_files(params))
    for file in files:
        if file.name.endswith(SUFFIX):
            record = _read(file)
            outputs = tuple(outputs_at(record or {}, file))
            jobs[file] = Job(file, record, outputs, _inputs(record))
    for file in files:
        if file.name.endswith(SUFFIX + ASIDE):
            path = file.with_name(file.name.removesuffix(ASIDE))
            earlier = _read(file)
            job = jobs.setdefault(path, Job(path, None, ()))
            job.earlier = earlier
            job.inputs = (*job.inputs, *_inputs(earlier))
    known = {name for job in jobs.values() for name in job.outputs}
    for file in files:
        if not file.name.endswith((SUFFIX, ASIDE)) and str(file) not in known:
            unrecorded.setdefault(record_path(file), []).append(str(file))
    for path, names in unrecorded.items():
        job = jobs.setdefault(path, Job(path, None, ()))
        job.outputs = (*job.outputs, *names)
    return list(jobs.values())


def _files(params: Mapping[str, Any]) -> Iterator[Path]:
    """Everything that a stage may have made, hidden files apart (temporary ones are). Other folders
    below results, such as the documentation's, are nobody's here.
    """
    yield from sorted(path for path in Path("results").glob("*") if _FINAL.match(path.name))
    for top in FOLDERS:
        for place, folders, names in os.walk(top.format(params["profile"])):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _read(path: Path) -> dict[str, Any] | None:
    """A record; None where it cannot be read, and then it vouches for nothing."""
    try:
        found = read_json(path)
    except (UserError, OSError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) else None


def outputs_at(record: Mapping[str, Any], path: Path) -> list[str]:
    """The outputs that have their record at `path`; a job may leave records in several folders."""
    outputs = record.get("outputs")
    return sorted(n for n in outputs if record_path(n) == path) if isinstance(outputs, dict) else []


def _inputs(record: Mapping[str, Any] | None) -> tuple[str, ...]:
    inputs = (record or {}).get("inputs")
    return tuple(map(str, inputs)) if isinstance(inputs, dict) else ()


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Jobs after those whose outputs they read."""
    at = {job.path: job for job in jobs}
    ordered: dict[Path, Job] = {}
    entered: set[Path] = set()
    for start in jobs:
        waiting = [(start, False)]
        while waiting:
            job, done = waiting.pop()
            if done:
                ordered[job.path] = job
            elif job.path not in entered:
                entered.add(job.path)
                waiting.append((job, True))
                makers = {record_path(name) for name in job.inputs}
                waiting += [(at[path], False) for path in sorted(makers) if path in at]
    return list(ordered.values())
