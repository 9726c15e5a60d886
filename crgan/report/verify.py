"""Make a recorded result again, in a folder of its own, and compare it with the record.

The workflow's own rules make it, in a scratch project below `.scratch/verify`, with the recorded
parameters and the present sources. Of a record, which may have come with `dvc pull` from anywhere,
nothing is executed: stage and cell are checked against those there are, and its command line is
not looked at. What a job reads is either made again too (`deep`), or a link to the recorded input,
whose content is checked first.
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
from crgan.pipeline.code import ROOT, code_digest
from crgan.pipeline.identity import axes_are_known, code_behind
from crgan.pipeline.records import record_path
from crgan.report.trace import CellOfTable, Node, lineage, walk
from crgan.report.trace_text import flatten

SCRATCH = Path(".scratch/verify")
NOT_AUDITED = "CRGAN_NOT_AUDITED"  # the workflow takes links to checked inputs as they are
_TWINS = {"finetune": ("finetune_set",)}  # rules that run a stage under another name
_LINKED = ("Snakefile", "crgan", "docker", "reported", "stages", "weights.yaml", "workflow")


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
    root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=root)).resolve()
    try:
        checks: dict[str, Check] = {}
        for node in _nodes(outputs):
            assert node.record is not None
            furnish(folder, _params_of(node.record))
            if not deep:
                _link_inputs(node, folder)
            _make(node, folder, deep)
            for one in walk(node) if deep else [node]:
                if one.record is not None:
                    checks |= {check.output: check for check in _compare(one, folder)}
        return list(checks.values())
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


def _nodes(outputs: Iterable[str]) -> Iterator[Node]:
    """The outputs with what is behind them, where the records speak of what there could be."""
    for output in outputs:
        node = lineage(output)
        if node.record is None:
            raise UserError(f"{output}: no provenance record; nothing says how to make it again")
        for one in walk(node):
            if one.record is not None:
                _require_plausible(one)
        yield node


def _require_plausible(node: Node) -> None:
    record = node.record
    assert record is not None
    names = [node.output, *record["outputs"], *record["inputs"]]
    if not axes_are_known(record["stage"], record["cell"]) or not all(map(is_inside, names)):
        raise UserError(
            f"{record_path(node.output)}: names a stage, a cell or a file that no job of this "
            "project has; the record is not one of its own"
        )


def is_inside(name: str) -> bool:
    """Whether a name that a record gives lies in the project."""
    parts = Path(name).parts
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts and name[0] != "-"


def furnish(folder: Path, params: Mapping[str, Any]) -> None:
    """What every job expects to find: sources, raw material, a project's file names."""
    (folder / "params.yaml").write_text(yaml.safe_dump(dict(params), sort_keys=False))
    for name in _LINKED:
        if (ROOT / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    (folder / "resources").mkdir(exist_ok=True)
    for raw in Path("resources").glob("*"):
        place = folder / "resources" / raw.name
        # a profile's folder holds what its jobs generate: anew here
        if raw.name not in params["profiles"] and not place.exists():
            place.symlink_to(raw.resolve())


def _link_inputs(node: Node, folder: Path) -> None:
    assert node.record is not None
    for name, sha256 in node.record["inputs"].items():
        if not Path(name).is_file():
            raise UserError(
                f"{name}: not there, and {node.output} was made from it; --deep makes it again"
            )
        if sha256_file(name) != sha256:
            raise UserError(
                f"{name}: not the file that {node.output} was made from; --deep makes that again"
            )
        place = folder / name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(Path(name).resolve())


def _make(node: Node, folder: Path, deep: bool) -> None:
    """Have Snakemake make an output: with all behind it, or by its own rule alone."""
    record = node.record
    assert record is not None
    stage = record["stage"]
    alone = [] if deep else ["--allowed-rules", stage, *_TWINS.get(stage, ())]
    inherited = {k: v for k, v in os.environ.items() if k != parameters.ENVIRONMENT}
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "all", *alone, "--", node.output],
        cwd=folder,
        env={**inherited, NOT_AUDITED: "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        last = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise UserError(f"{node.output}: stage {stage} failed when run again:\n{last}")


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
    code = code_behind(record["stage"], record["cell"], record["params"])
    if record["code_sha256"] != code_digest(code):
        warning = f"the sources are no longer those of commit {record['run']['commit']}"
    elif record["run"]["device"] != "cpu":
        warning = "trained on a GPU, whose sums may come in another order"
    for name, recorded in record["outputs"].items():
        again = folder / name
        whole = recorded.get("whole", recorded)  # of a file that a recorded run keeps in part
        equal = again.is_file() and sha256_file(again) == whole["sha256"]
        numbers: dict[str, tuple[Any, Any]] = {}
        if not again.is_file():
            warning = "the rules make it no more, or by another name"
        elif not equal and name.endswith(".json") and Path(name).is_file():
            old, new = (dict(flatten(read_json(path))) for path in (name, folder / name))
            numbers = {
                key: (old.get(key), new.get(key))
                for key in sorted({*old, *new})
                if old.get(key) != new.get(key)
            }
        yield Check(name, record["stage"], equal, numbers, warning)
