"""The jobs: where each number came from, what it cost, and the graph as it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from crgan.common.errors import UserError
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.records import Auditor
from crgan.report.page.project import Project, Record, lineage
from crgan.report.page.training import job_name
from crgan.report.shares import Share, by_cell, by_stage, shares

ID = 12  # letters of a key that name a job in the page
_IDLE = 300.0  # seconds without a job; longer pauses are left out of the timeline
_PAUSE = 30.0  # what is shown for one
# Quick jobs at the end share one of the timeline's twenty colours.
_LAST = ("bound_table", "draw_", "make_table", "tabulate_", "weigh_claims")


def jobs(project: Project) -> dict[str, dict[str, Any]]:
    """Every job for the script, by its short key."""
    stale = _why_stale(project)
    return {key[:ID]: _job(project, record, stale[key]) for key, record in project.jobs.items()}


def _job(project: Project, record: Record, stale: str) -> dict[str, Any]:
    run = record["run"]
    before = set(lineage(project, record["key"])) - {record["key"]}
    made = {name: project.key_of(name)[:ID] for name in record["inputs"] if name in project.records}
    return {
        "name": job_name(project, record["cell"], record["stage"]),
        "stage": record["stage"],
        "params": record["params"],
        "code": record["code_sha256"][:16],
        "inputs": [
            {"name": name, "sha256": sha256[:16], "job": made.get(name, "")}
            for name, sha256 in sorted(record["inputs"].items())
        ],
        "outputs": [
            {"name": name, "sha256": out["sha256"][:16], "bytes": out["bytes"]}
            for name, out in sorted(record["outputs"].items())
        ],
        "lineage": [key[:ID] for key in project.jobs if key in before],
        "command": " ".join(run["argv"]),
        "stale": stale,
        "run": {key: run.get(key) for key in (
            "commit", "device", "gpu", "image", "machine", "python", "started", "threads",
            "wall_seconds", "peak_memory_mb", "peak_gpu_memory_mb", "versions",
        ) if run.get(key) is not None},
    }  # fmt: skip


def _why_stale(project: Project) -> dict[str, str]:
    """For each job why it would not come out the same today; empty where it would."""
    hashes = Hashes()
    auditor = Auditor(dict(project.params), project.root, hashes)
    found: dict[str, str] = {}
    for key, record in project.jobs.items():
        there = [name for name in record["outputs"] if (project.root / name).is_file()]
        reasons = [reason for name in there if (reason := auditor.why_stale(name))]
        found[key] = reasons[0] if reasons else ""
    auditor.save()
    return found


def bars(records: Sequence[Record], names: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """The jobs as bars in minutes since the first, in the order of their start, and the number of
    lanes; pauses of more than five minutes are shown as half a minute.
    """
    timed = _timed(records, names)
    lanes: list[float] = []
    found: list[dict[str, Any]] = []
    cut = end = 0.0
    for start, seconds, record, name in timed:
        first = timed[0][0]
        at = start - first - cut
        if found and at - end > _IDLE:
            cut += at - end - _PAUSE
            at = end + _PAUSE
        lane = next((i for i, free in enumerate(lanes) if free <= at + 0.5), len(lanes))
        lanes[lane : lane + 1] = [at + seconds]
        end = max(end, at + seconds)
        found.append({
            "job": name, "stage": record["stage"], "group": group_of(record["stage"]),
            "id": record["key"][:ID], "lane": lane + 1,
            "from": round(at / 60, 3), "to": round((at + seconds) / 60, 3), "seconds": seconds,
            "memory": round(record["run"]["peak_memory_mb"]),
        })  # fmt: skip
    return found, len(lanes)


def group_of(stage: str) -> str:
    """What a bar's colour stands for."""
    return "tables and figures" if stage.startswith(_LAST) else stage


def _timed(
    records: Sequence[Record], names: Sequence[str]
) -> list[tuple[float, float, Record, str]]:
    timed = [
        (datetime.fromisoformat(r["run"]["started"]).timestamp(), r["run"]["wall_seconds"], r, n)
        for r, n in zip(records, names, strict=True)
        if r["run"].get("started")
    ]
    return sorted(timed, key=lambda entry: entry[:2])


def costs(project: Project) -> dict[str, list[Share]]:
    """What stages and cells took, the dearest first; nothing where there are no records."""
    folders = [project.artifacts, project.results]
    try:
        return {"stage": shares(folders, by_stage), "cell": shares(folders, by_cell)}
    except UserError:
        return {}


def machines(project: Project) -> list[Mapping[str, Any]]:
    """The different circumstances the jobs ran in, with how many did."""
    counted: dict[tuple[str, ...], int] = {}
    for record in project.jobs.values():
        run = record["run"]
        what = tuple(
            str(run.get(k) or "-") for k in ("machine", "device", "gpu", "python", "commit")
        )
        counted[what] = counted.get(what, 0) + 1
    names = ("machine", "device", "gpu", "python", "commit")
    return [
        {**dict(zip(names, what, strict=True)), "jobs": count} for what, count in counted.items()
    ]
