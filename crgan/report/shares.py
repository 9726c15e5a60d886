"""What each cell of the matrix cost, off the records beside all that was made.

crgan shares artifacts/demo results/demo
crgan shares artifacts/demo results/demo --by stage

Seconds are those a job ran, set-up and waiting for a core included, added over seeds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.pipeline.records import SUFFIX


@dataclass(frozen=True)
class Share:
    """What a group of jobs took.

    Attributes:
        name: the stage, or the cell: its method, source and target.
        jobs: how many.
        seconds: wall time of the jobs, added.
        share: of all groups' seconds, in percent.
        memory: highest peak of one of them, MB.
    """

    name: str
    jobs: int
    seconds: float
    share: float
    memory: float


def by_stage(record: dict[str, Any]) -> str:
    """The name of a record's stage."""
    return str(record["stage"])


def by_cell(record: dict[str, Any]) -> str:
    """The cell a record belongs to; the stage, where it serves several cells."""
    cell = record["cell"]
    ends = [str(cell[key]) for key in ("source", "target", "a", "b") if key in cell]
    if "method" not in cell or len(ends) < 2:
        return f"({by_stage(record)})"
    return f"{cell['method']} {'-'.join(ends[:2])}"


def shares(folders: Iterable[str | Path], group: Callable[[dict[str, Any]], str]) -> list[Share]:
    """Groups of the jobs recorded below some folders, the dearest first.

    Raises:
        UserError: no records there.
    """
    jobs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    seen: set[str] = set()
    for folder in folders:
        for path in sorted(Path(folder).rglob(f"*{SUFFIX}")):
            record = read_json(path)
            identity = str(sorted(record["outputs"].items()))
            if identity not in seen:  # a job of several outputs leaves a record beside each
                seen.add(identity)
                jobs[group(record)].append(record["run"])
    if not jobs:
        raise UserError(f"no {SUFFIX} files in {', '.join(map(str, folders))}")
    total = sum(run["wall_seconds"] for runs in jobs.values() for run in runs)
    found = []
    for name, runs in jobs.items():
        seconds = sum(run["wall_seconds"] for run in runs)
        memory = max(run["peak_memory_mb"] for run in runs)
        found.append(Share(name, len(runs), seconds, 100 * seconds / total, memory))
    return sorted(found, key=lambda share: -share.seconds)


def report(found: Sequence[Share]) -> str:
    """The shares as a Markdown table; ends with a line break."""
    lines = [
        "| what | jobs | seconds | share, % | peak memory, MB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for s in found:
        lines.append(f"| {s.name} | {s.jobs} | {s.seconds:.0f} | {s.share:.1f} | {s.memory:.0f} |")
    total = sum(share.seconds for share in found)
    lines.append(f"| all | {sum(s.jobs for s in found)} | {total:.0f} | 100.0 | |")
    return "\n".join(lines) + "\n"
