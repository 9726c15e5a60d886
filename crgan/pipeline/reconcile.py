"""Before Snakemake looks at the files: what is current is made to look so, what is stale too.

Snakemake decides by modification times and by its own record of each path. Both are blind to a
second program: `dvc repro`, `dvc checkout` and `git checkout` replace files, and Snakemake then
trusts a result of other parameters, or reruns one that is right. So the provenance records decide
(`crgan.pipeline.records.Judge`), and this module tells Snakemake in its own terms:

* stale: modification time 1 (it takes 0 for "no time") and no Snakemake record;
* current but not written by Snakemake: no Snakemake record, and times no older than its inputs'.

What Snakemake wrote itself and still stands is left alone, so that a run with nothing to do
changes nothing.
"""

from __future__ import annotations

import json
import os
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.pipeline.code import ROOT, code_of
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.records import SUFFIX, Judge, all_records, record_path

STALE_TIME = 1
METADATA = Path(".snakemake/metadata")
_FINAL = ("table*.csv", "table*.md", "renderings.csv", "renderings.md", "figure*.png")
_NAME_MAX = 254  # Snakemake splits longer record names into folders of this length


@dataclass
class Finding:
    """What was found, and (unless only looking) done.

    Attributes:
        stale: {output: reason}, those Snakemake would have trusted.
        adopted: current outputs that another program wrote.
    """

    stale: dict[str, str] = field(default_factory=dict)
    adopted: list[str] = field(default_factory=list)

    def message(self, real: bool = True) -> str | None:
        """What to tell the user, None when there is nothing to say.

        Args:
            real: whether Snakemake now sees it too; a dry run's plan is made without it.
        """
        lines = []
        if self.adopted:
            lines.append(
                f"{len(self.adopted)} outputs were made outside Snakemake and are current: kept"
            )
        if self.stale:
            name, reason = next(iter(self.stale.items()))
            folders = Counter("/".join(Path(name).parts[:3]) for name in self.stale)
            lines.append(
                f"{len(self.stale)} outputs are stale and will be made again when asked for "
                f"({', '.join(f'{n} in {folder}' for folder, n in folders.items())}), "
                f"for example {name}: {reason}"
            )
        if lines and not real:
            lines.append("A run that only looks changes nothing, so its plan does not count them.")
        return "\n".join(lines) or None


def reconcile(params: dict[str, Any], *, look_only: bool, hashes: Hashes | None = None) -> Finding:
    """Judge every output of the present profile and make Snakemake agree.

    Args:
        params: the present parameters.
        look_only: change no file, only say what a real run would find.
        hashes: remembered contents; the default ones unless given.
    """
    hashes = hashes or Hashes()
    judge = Judge(params, hashes=hashes)
    finding = Finding()
    now = time.time_ns()
    for job in _in_order(_jobs(params["profile"])):
        reason = next(filter(None, map(judge.why_stale, job.present)), None)
        if reason:
            if any(_looks_current(output) for output in job.present):
                finding.stale.update(dict.fromkeys(job.present, reason))
            if not look_only:
                _mark_stale(job, hashes)
        elif _foreign(job) and _would_rerun(job):
            finding.adopted += job.present
            if not look_only:
                _adopt(job, hashes, now)
    if not look_only:
        hashes.save()
    return finding


@dataclass(frozen=True)
class _Job:
    """One record and the files it speaks of."""

    record: Path
    present: tuple[str, ...]  # outputs that are on disk
    inputs: tuple[str, ...] = ()  # source files included

    @property
    def files(self) -> list[str]:
        """What Snakemake knows as the job's outputs."""
        return [*self.present, *([str(self.record)] if self.record.is_file() else [])]


def _jobs(profile: str) -> list[_Job]:
    """Every recorded job of the profile, and a job without a record for each unrecorded file."""
    jobs: dict[Path, _Job] = {}
    for output, record in _records(profile).items():
        path = record_path(output)
        jobs.setdefault(path, _Job(path, _present(record["outputs"], path), _inputs(record)))
    known = {name for job in jobs.values() for name in job.present}
    unrecorded: dict[Path, list[str]] = {}
    for file in _files(profile):
        if str(file) not in known:
            unrecorded.setdefault(record_path(file), []).append(str(file))
    strangers = [_Job(path, tuple(names)) for path, names in unrecorded.items()]
    return [*jobs.values(), *strangers]


def _records(profile: str) -> dict[str, dict[str, Any]]:
    """{output: record} in the profile's folders, and of the tables and figures beside them."""
    below = all_records(Path("artifacts") / profile, Path("results") / profile)
    beside = all_records("results", deep=False)
    return {**below, **beside}


def _files(profile: str) -> Iterator[Path]:
    """Everything on disk that a stage may have made."""
    for folder in (Path("artifacts") / profile, Path("results") / profile):
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.name.endswith(SUFFIX) and not file.name.startswith("."):
                yield file
    for pattern in _FINAL:
        yield from sorted(Path("results").glob(pattern))


def _present(outputs: Iterable[str], record: Path) -> tuple[str, ...]:
    """The outputs on disk whose record is `record` (a job may leave records in several folders)."""
    return tuple(o for o in sorted(outputs) if record_path(o) == record and Path(o).is_file())


def _inputs(record: dict[str, Any]) -> tuple[str, ...]:
    try:
        code = _sources(record["stage"], record["cell"].get("model"), os.getcwd())
        return (*record["inputs"], *code)
    except (UserError, KeyError, TypeError, AttributeError):
        return ()  # of a method that is no more, or damaged: it will be judged stale


@cache
def _sources(stage: str, model: str | None, here: str) -> tuple[str, ...]:
    """The source files behind a cell as Snakemake names them; many records ask for the same."""
    return tuple(os.path.relpath(ROOT / name, here) for name in code_of(stage, model))


def _in_order(jobs: list[_Job]) -> list[_Job]:
    """Jobs after those whose outputs they read."""
    maker = {name: job for job in jobs for name in job.present}
    ordered: dict[Path, _Job] = {}
    entered: set[Path] = set()

    def visit(job: _Job) -> None:
        if job.record in entered:
            return
        entered.add(job.record)
        for name in job.inputs:
            if name in maker:
                visit(maker[name])
        ordered[job.record] = job

    for job in jobs:
        visit(job)
    return list(ordered.values())


def _looks_current(output: str) -> bool:
    return os.stat(output).st_mtime != STALE_TIME


def _foreign(job: _Job) -> bool:
    """Whether another program wrote the job's files, or marked them, since Snakemake last did."""
    return any(_recorded_time(name) != os.stat(name).st_mtime for name in job.files)


def _recorded_time(name: str) -> float | None:
    """Modification time in Snakemake's own record of a file, None without one."""
    try:
        record = json.loads(snakemake_record(name).read_text())
    except (OSError, ValueError):
        return None
    return record.get("endtime") if isinstance(record, dict) else None


def snakemake_record(name: str) -> Path:
    """Where Snakemake's file backend keeps its record of an output."""
    encoded = urlsafe_b64encode(name.encode()).decode()
    parts = [encoded[i : i + _NAME_MAX] for i in range(0, len(encoded), _NAME_MAX)]
    return METADATA.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


def _forget(job: _Job) -> None:
    """Remove what Snakemake knows of a job."""
    for name in job.files:
        snakemake_record(name).unlink(missing_ok=True)


def _mark_stale(job: _Job, hashes: Hashes) -> None:
    _forget(job)
    for name in job.files:
        if os.stat(name).st_mtime != STALE_TIME:
            _set_time(name, STALE_TIME * 10**9, hashes)


def _would_rerun(job: _Job) -> bool:
    """Whether Snakemake has a (wrong) record or an input newer than an output to go by."""
    newest = _newest(job.inputs)
    return any(
        snakemake_record(name).is_file() or os.stat(name).st_mtime_ns < newest for name in job.files
    )


def _newest(names: Iterable[str]) -> int:
    return max((os.stat(name).st_mtime_ns for name in names if os.path.exists(name)), default=0)


def _adopt(job: _Job, hashes: Hashes, now: int) -> None:
    _forget(job)
    newest = _newest(job.inputs)
    for name in job.files:
        if os.stat(name).st_mtime_ns < newest:
            _set_time(name, max(now, newest), hashes)


def _set_time(name: str, nanoseconds: int, hashes: Hashes) -> None:
    sha256 = hashes.of(name)
    os.utime(name, ns=(nanoseconds, nanoseconds))
    hashes.touched(name, sha256)
