"""Make a recorded result again, in a folder of its own, and compare it with the record.

The jobs run by their recorded command lines, with the recorded parameters and the present sources,
below `.scratch/verify`. What a job reads is either what the jobs before it have just made (`deep`)
or a link to the recorded input, whose content is checked first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from crgan.common.errors import UserError
from crgan.common.io import read_json, sha256_file
from crgan.pipeline import params as parameters
from crgan.pipeline.code import ROOT, code_digest, code_of
from crgan.pipeline.records import record_path
from crgan.report.trace import CellOfTable, Node, lineage, walk
from crgan.report.trace_text import flatten

SCRATCH = Path(".scratch/verify")
_LINKED = ("weights.yaml", "reported", "stages", "crgan")


@dataclass(frozen=True)
class Check:
    """One output made again.

    Attributes:
        stage: what made it.
        equal: its bytes are the recorded ones.
        numbers: of a JSON that differs: {key: (recorded, made again)}.
        warning: what may explain a difference, such as changed sources.
    """

    output: str
    stage: str
    equal: bool
    numbers: Mapping[str, tuple[Any, Any]]
    warning: str = ""


def verify(
    outputs: Sequence[str], *, deep: bool = False, keep: bool = False, root: Path = SCRATCH
) -> list[Check]:
    """Make outputs again, and with `deep` all jobs behind them, in order.

    Args:
        outputs: as records name them, such as score files.
        keep: leave the folder; else it is removed.
        root: where it is made.

    Raises:
        UserError: parameters that the present ones and Snakemake's snapshots no longer hold, an
            input that is not the recorded one, or a job that fails.
    """
    nodes = list(_jobs(outputs, deep))
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=root)).resolve()
    try:
        _furnish(folder)
        made: set[str] = set()
        checks: list[Check] = []
        for node in nodes:
            assert node.record is not None
            _link_inputs(node, folder, made)
            _rerun(node, folder)
            made |= set(node.record["outputs"])
            checks += _compare(node, folder)
        return checks
    finally:
        if not keep:
            shutil.rmtree(folder)


def report(cell: CellOfTable, checks: Sequence[Check]) -> str:
    """What came out, in words; ends with a line break."""
    row = cell.row
    lines = [f"{cell.table}: {row['method']}, {row['source']} to {row['target']}, made again:"]
    for check in checks:
        word = "equal" if check.equal else "DIFFERS"
        lines.append(f"  {word}: {check.output} ({check.stage})")
        for key, (old, new) in check.numbers.items():
            lines.append(f"    {key}: recorded {old}, now {new}")
        if check.warning and not check.equal:
            lines.append(f"    {check.warning}")
    differing = [check for check in checks if not check.equal]
    if differing:
        lines.append(f"{len(differing)} of {len(checks)} files differ, first {differing[0].output}")
    else:
        lines.append(f"all {len(checks)} files are byte for byte the recorded ones")
    return "\n".join(lines) + "\n"


def _jobs(outputs: Iterable[str], deep: bool) -> Iterator[Node]:
    """The jobs to run, each once, those that others read first."""
    seen: set[str] = set()
    for output in outputs:
        node = lineage(output)
        if node.record is None:
            raise UserError(f"{output}: no provenance record; nothing says how to make it again")
        for one in walk(node) if deep else [node]:
            if one.record is not None and one.record["key"] not in seen:
                seen.add(one.record["key"])
                yield one


def _furnish(folder: Path) -> None:
    """What every job expects to find: sources, raw material, a project's file names."""
    for name in _LINKED:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    (folder / "resources").mkdir()
    profiles = parameters.load()["profiles"]
    for raw in Path("resources").glob("*"):
        if raw.name not in profiles:  # a profile's folder holds what its jobs generate: anew here
            (folder / "resources" / raw.name).symlink_to(raw.resolve())


def _link_inputs(node: Node, folder: Path, made: set[str]) -> None:
    assert node.record is not None
    for name, sha256 in node.record["inputs"].items():
        if name in made or os.path.isabs(name):
            continue
        if not Path(name).is_file():
            raise UserError(
                f"{name}: not there, and {node.output} was made from it; --deep makes it again"
            )
        if sha256_file(name) != sha256:
            raise UserError(
                f"{name}: not the file that {node.output} was made from; --deep makes that again"
            )
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(Path(name).resolve())


def _rerun(node: Node, folder: Path) -> None:
    record = node.record
    assert record is not None
    params = folder / "params.yaml"
    params.write_text(yaml.safe_dump(_params_of(record), sort_keys=False))
    for name in record["outputs"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    program = record["run"]["argv"]
    inherited = {k: v for k, v in os.environ.items() if k != parameters.ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, *program[1:]],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise UserError(f"{node.output}: {' '.join(program[:3])} failed when run again:\n{last}")


def _params_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Whole parameters whose slice for the record's job is the recorded one."""
    cell = dict(record["cell"])
    profile = cell.pop("profile")
    for params in _candidates():
        if profile not in params["profiles"]:
            continue
        params = {**params, "profile": profile}
        try:
            now = parameters.slice_of(record["stage"], params, **cell)
        except UserError:
            continue  # of a time when the stage read other keys
        if parameters.digest(now) == parameters.digest(record["params"]):
            return params
    name = min(record["outputs"])
    raise UserError(
        f"{name}: made with parameters that neither params.yaml nor a snapshot of Snakemake's "
        f"holds any more; set them as recorded in {record_path(name)}"
    )


def _candidates() -> Iterator[dict[str, Any]]:
    yield parameters.load()
    for path in sorted(parameters.SNAPSHOTS.glob("*.yaml")):
        yield parameters.parse(path.read_text())


def _compare(node: Node, folder: Path) -> Iterator[Check]:
    record = node.record
    assert record is not None
    warning = ""
    if record["code_sha256"] != code_digest(code_of(record["stage"], record["cell"].get("model"))):
        warning = f"the sources are no longer those of commit {record['run']['commit']}"
    elif record["run"]["device"] != "cpu":
        warning = "trained on a GPU, whose sums may come in another order"
    for name, recorded in record["outputs"].items():
        equal = sha256_file(folder / name) == recorded["sha256"]
        numbers: dict[str, tuple[Any, Any]] = {}
        if not equal and name.endswith(".json") and Path(name).is_file():
            old, new = (dict(flatten(read_json(path))) for path in (name, folder / name))
            numbers = {
                key: (old.get(key), new.get(key))
                for key in sorted({*old, *new})
                if old.get(key) != new.get(key)
            }
        yield Check(name, record["stage"], equal, numbers, warning)
