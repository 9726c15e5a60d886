"""The recorded run: what was measured, kept in Git, so that tables need no training.

`crgan record` copies the small files that tables, intervals, curves, claims and the report are made
of into `recorded/<profile>/`, with the records of all they descend from. `crgan rebuild` lays them
out as a project below `.scratch/recorded`, where the workflow's own rules make the rest. Networks,
images and masks are in neither: the auditor takes a deleted input for what its record says. So a
recorded run stands as long as present parameters and sources would make it again, and one that does
not is refused.

Per-query results are kept without their lists of nearest images, nine tenths of them, which no
table reads. Their record names the file that is kept and, as `whole`, the one that was made.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import (
    atomic_path,
    canonical_json,
    load_arrays,
    read_json,
    save_arrays,
    sha256_file,
    write_json,
)
from crgan.pipeline import params as parameters
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.records import MADE, SUFFIX, Auditor, all_records, ancestors, record_path
from crgan.pipeline.stage import commit
from crgan.report.page.project import CELL
from crgan.report.verify import NOT_AUDITED, furnish, is_inside
from crgan.tables.cells import scored_cells
from crgan.tables.printed import TABLES, ranked_tables
from crgan.workflow.plan import MEASURED_ONLY

HOME = Path("recorded")
SCRATCH = Path(".scratch/recorded")
ABOUT, RECORDS = "run.json", "records.jsonl"
REPORT = "results/report.html"
_SUFFIXES = {"cells": ".json", "queries": ".npz", "visual": ".json", "judged": ".json",
             "selection": ".json"}  # fmt: skip
_LISTS = ("top_", "right_")  # of per-query results
_RULES = ("make_table", "bound_table", "tabulate_cmc", "tabulate_renderings", "tabulate_all",
          "weigh_claims")  # fmt: skip


@dataclass(frozen=True)
class Recorded:
    """A recorded run, as it was kept or laid out.

    Attributes:
        place: its folder, or the project that was made of it.
        commit: of the sources when it was recorded; "unknown" where there is no Git.
        measured: {kind of result: (how many there are, how many the matrix has)}.
        left_out: {result: why it does not stand}, when it is recorded.
    """

    place: Path
    profile: str
    seeds: tuple[int, ...]
    commit: str
    measured: Mapping[str, tuple[int, int]]
    left_out: Mapping[str, str]

    def message(self) -> str:
        """What to tell the user."""
        seeds = ", ".join(map(str, self.seeds))
        counts = ", ".join(f"{kind} {n} of {of}" for kind, (n, of) in self.measured.items())
        lines = [
            f"recorded run of profile {self.profile}, seeds {seeds}, commit {self.commit}",
            f"of the matrix: {counts}",
        ]
        if self.left_out:
            lines.append(f"left out, since it does not stand: {_named(self.left_out)}")
        if self.place.parent == SCRATCH:
            return "\n".join([*lines, f"tables, claims and the report: {self.place}/results"])
        files = [path for path in self.place.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        lines.append(f"{self.place}: {len(files)} files, {size:.1f} MB; add them to Git")
        if str(self.commit).endswith("-dirty"):
            lines.append("sources differ from that commit: commit them too, or it stands nowhere")
        return "\n".join(lines)


def record(
    profile: str | None = None, seeds: Sequence[int] = (), *, force: bool = False
) -> Recorded:
    """Keep what stands of the present project's results as the recorded run of a profile.

    Args:
        profile: that of params.yaml by default.
        seeds: only these; all that were measured by default. What is recorded of others, and still
            stands, stays: a study may be measured seed by seed, on several machines.
        force: replace a recorded run, whatever it has.

    Raises:
        UserError: nothing stands, the recorded run that is there has more, or its other seeds
            descend from other files.
    """
    params = _params(profile, seeds)
    name = params["profile"]
    auditor = Auditor(params, hashes=Hashes())
    found = all_records(*(f"results/{name}/{kind}" for kind in _SUFFIXES))
    reasons = {output: auditor.why_stale(output) for output in found if Path(output).is_file()}
    auditor.save()
    kept = {o: found[o] for o, reason in reasons.items() if reason is None}
    if seeds:
        kept = {output: one for output, one in kept.items() if one["cell"]["seed"] in seeds}
    stale = {output: reason for output, reason in reasons.items() if reason is not None}
    if not kept:
        why = f"; {_named(stale)}" if stale else ""
        raise UserError(f"results/{name}: holds no result that stands{why}")
    place = HOME / name
    own = sorted({int(one["cell"]["seed"]) for one in kept.values()})
    before = [path for path in (place / MADE[1]).rglob("*") if path.is_file()]
    if seeds:
        before = [path for path in before if _seed_of(path) in own]
    if len(before) > len(kept) and not force:
        raise UserError(
            f"{place}: has {len(before)} results, and only {len(kept)} stand here"
            f"{f' ({_named(stale)})' if stale else ''}; --force replaces it all the same"
        )
    HOME.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME, prefix=f".{name}.") as beside:
        new, old = Path(beside, "new"), Path(beside, "old")
        _keep(list(kept), auditor, new)
        if seeds and place.exists() and not force:
            own = sorted({*own, *_keep_others(place, new, own, Path(beside, "laid_out"))})
        write_json(new / ABOUT, {"commit": commit() or "unknown", "seeds": own})
        if place.exists():
            place.rename(old)
        new.rename(place)
    about = read_json(place / ABOUT)
    return _described(place, _params(name, own), about, stale)


def _keep(results: Sequence[str], auditor: Auditor, folder: Path) -> None:
    """Copy results, the histories of the trainings behind them, and all their records."""
    records = {one["key"]: one for name in results for one in ancestors(name)}
    histories = [
        name
        for one in records.values()
        if one["stage"] != "prepare_data"  # whose CSV lists the images
        for name in one["outputs"]
        if name.endswith(".csv") and auditor.why_stale(name) is None
    ]
    for name in (*results, *histories):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith(_SUFFIXES["queries"]):
            shutil.copyfile(name, folder / name)
            continue
        arrays = load_arrays(name)
        save_arrays(folder / name, {k: v for k, v in arrays.items() if not k.startswith(_LISTS)})
    for one in records.values():
        for name in set(one["outputs"]) & set(results):
            made, file = one["outputs"][name], folder / name
            if (sha256 := sha256_file(file)) != made["sha256"]:
                kept = {"sha256": sha256, "bytes": file.stat().st_size}
                one["outputs"][name] = {**kept, "whole": made.get("whole", made)}
    _write_records(folder, records)


def _keep_others(place: Path, new: Path, own: Sequence[int], folder: Path) -> set[int]:
    """Copy from a recorded run what it has of other seeds and still stands; which seeds these are.

    Args:
        new: the run that is being recorded, of the seeds `own`.
        folder: where the old one is laid out meanwhile.
    """
    about = read_json(place / ABOUT)
    seeds = sorted(set(about["seeds"]) - set(own))
    if not seeds:
        return set()
    params = _params(place.name, seeds)
    folder.mkdir()
    furnish(folder, params)
    _lay_out(place, folder)
    stale = _stale(folder, params)
    found = [path for top in MADE for path in (place / top).rglob("*") if path.is_file()]
    others = [path for path in found if _seed_of(path) in seeds]
    kept = [path for path in others if path.relative_to(place).as_posix() not in stale]
    for path in kept:
        to = new / path.relative_to(place)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    records = {one["key"]: one for one in _records(new)}
    made = {output: key for key, one in records.items() for output in one["outputs"]}
    for one in _records(place):
        if all(_seed_of(Path(output)) in own for output in one["outputs"]):
            continue
        for output in one["outputs"]:
            if made.get(output, one["key"]) != one["key"]:
                raise UserError(
                    f"{place}: seeds {', '.join(map(str, seeds))} descend from another {output} "
                    "than the results here; record them in a project of their own, or replace "
                    "them: --force"
                )
        records.setdefault(one["key"], one)
    _write_records(new, records)
    return {seed for path in kept if (seed := _seed_of(path)) is not None}


def _seed_of(path: Path) -> int | None:
    """The seed in a file's name, as seed0.json; None of what has none."""
    found = re.match(r"seed(\d+)\.", path.name)
    return int(found[1]) if found else None


def _write_records(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    with atomic_path(folder / RECORDS) as temporary:
        ordered = sorted(records.values(), key=lambda one: (min(one["outputs"]), one["key"]))
        temporary.write_text("".join(f"{canonical_json(one)}\n" for one in ordered))


def _records(place: Path) -> list[dict[str, Any]]:
    """The records of a recorded run, each with outputs and a key."""
    lines = (place / RECORDS).read_text(encoding="utf-8").splitlines()
    try:
        records = [json.loads(line) for line in lines]
        if not all(isinstance(one["key"], str) and min(one["outputs"]) for one in records):
            raise ValueError("a record without a key or outputs")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{place / RECORDS}: damaged ({error!r}); take it from Git") from None
    return records


def rebuild(profile: str | None = None, cores: str = "all") -> Recorded:
    """Make tables, intervals, curves, claims and the report of a recorded run, training nothing.

    They are made in `.scratch/recorded/<profile>`, a project of its own that is made anew each
    time, so nothing else is touched.

    Raises:
        UserError: there is none, it does not stand, or a job fails.
    """
    name = _params(profile)["profile"]
    place, folder = HOME / name, SCRATCH / name
    if not (place / ABOUT).is_file():
        there = ", ".join(sorted(path.parent.name for path in HOME.glob(f"*/{ABOUT}"))) or "none"
        raise UserError(f"{place}: no recorded run (there are: {there}); crgan record makes one")
    about = read_json(place / ABOUT)
    params = _params(name, about["seeds"])
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    furnish(folder, params)
    _lay_out(place, folder)
    stale = _stale(folder, params)
    if stale:
        shutil.rmtree(folder)
        raise UserError(_refusal(place, stale, about["commit"]))
    _make(folder, params, cores)
    return _described(folder, params, about)


def _stale(folder: Path, params: dict[str, Any]) -> dict[str, str]:
    """What does not stand of the files that were laid out, and why."""
    auditor = Auditor(params, folder, Hashes(None))
    files = sorted(path for top in MADE for path in (folder / top).rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    outputs = [name for name in names if not name.endswith(SUFFIX)]
    return {name: reason for name in outputs if (reason := auditor.why_stale(name))}


def _lay_out(place: Path, folder: Path) -> None:
    """Put recorded files and records where a project has them."""
    for one in _records(place):
        paths = {record_path(output) for output in one["outputs"] if _is_made(output)}
        for path in paths:
            write_json(folder / path, one)
    for top in MADE:
        if (place / top).is_dir():
            shutil.copytree(place / top, folder / top, dirs_exist_ok=True)


def _is_made(output: str) -> bool:
    """Whether a record may speak of such a file: sources lie beside, as links."""
    return is_inside(output) and Path(output).parts[0] in MADE


def _make(folder: Path, params: Mapping[str, Any], cores: str) -> None:
    """Have Snakemake make tables of what is there, by their own rules alone; then the report."""
    from crgan.report.page.build import build
    from crgan.report.page.project import open_project

    targets = [
        *(f"results/table{n}.csv" for n in TABLES),
        *(f"results/intervals/table{n}.csv" for n in TABLES),
        *(f"results/curves/table{n}.csv" for n in ranked_tables()),
        "results/all.csv", "results/claims.csv",
    ]  # fmt: skip
    own = folder / "results" / params["profile"]
    if all((own / kind).is_dir() for kind in ("visual", "judged")):
        targets.append("results/renderings.csv")
    inherited = {k: v for k, v in os.environ.items() if k != parameters.ENVIRONMENT}
    command = ["snakemake", "--cores", cores, "--allowed-rules", *_RULES, "--", *targets]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**inherited, NOT_AUDITED: "1", MEASURED_ONLY: "1"},
    )
    if done.returncode:
        raise UserError(f"{folder}: a job failed, as said above; its log is below {folder}/logs")
    build(open_project(folder, dict(params), None), folder / REPORT)


def _params(profile: str | None, seeds: Sequence[int] = ()) -> dict[str, Any]:
    """params.yaml, with a profile and seeds of a recorded run."""
    settings = [f"profile={profile}"] if profile else []
    settings += [f"seeds={json.dumps(list(seeds))}"] if seeds else []
    return parameters.load(parameters.DEFAULT, settings)


def _described(
    place: Path,
    params: Mapping[str, Any],
    about: Mapping[str, Any],
    left_out: Mapping[str, str] | None = None,
) -> Recorded:
    measured = {}
    for kind, names in _matrix(params):
        if names:
            measured[kind] = (sum((place / name).is_file() for name in names), len(names))
    seeds = tuple(about["seeds"])
    return Recorded(place, params["profile"], seeds, about["commit"], measured, left_out or {})


def _matrix(params: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Each kind of result with the files that the whole matrix would have."""
    matrix = params["matrix"]
    ranked = scored_cells(matrix)
    groups = {"cells": ranked, "queries": ranked, "selection": matrix["selected"]}
    for kind, suffix in _SUFFIXES.items():
        pattern = f"results/{params['profile']}/{kind}/{CELL}{suffix}"
        cells = groups.get(kind, matrix["visual"])
        yield kind, [pattern.format(**c, seed=seed) for c in cells for seed in matrix["seeds"]]


def _refusal(place: Path, stale: Mapping[str, str], recorded: str) -> str:
    """Why it is not shown, and how to see it where it stands: in the commit that keeps it."""
    asked = ["git", "log", "-1", "--format=%h", "--", str(place)]
    try:
        kept = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    except OSError:  # a machine without Git
        kept = ""
    beside = f"../{place.name}-{kept}"
    mend = (
        f"The commit that keeps it shows it:\n"
        f"git worktree add {beside} {kept} && make -C {beside} {place.name}-tables"
    )
    return (
        f"{place}: present parameters, sources and inputs would not make the numbers of this "
        f"recorded run, so they are not shown: {_named(stale)}. It was recorded at commit "
        f"{recorded}. {mend if kept else 'No commit here keeps it.'}"
    )


def _named(stale: Mapping[str, str]) -> str:
    """One of the files that do not stand, and why."""
    name, reason = next(iter(stale.items()))
    more = f" (and {len(stale) - 1} more do not stand)" if len(stale) > 1 else ""
    return f"{name}: {reason}{more}"
