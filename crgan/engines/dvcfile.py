"""The parts of dvc.yaml that follow from the sources: params, source files, fan-in lists.

DVC can expand a matrix but not call Python, so what Snakemake asks `Experiment` for has to stand
in dvc.yaml. This module writes it there and leaves the rest, comments included, as people wrote it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import FoldedScalarString

from crgan.engines.workflow import score_arguments
from crgan.report.printed import TABLES, printed_inputs
from crgan.run.code import FIXED_MODEL, METHOD_FOLDER, shared_code
from crgan.run.params import DEFAULT, keys_of, load

PATH = Path("dvc.yaml")
_PROFILE = "${profile}"
_TABLE = "make_table_"
_SOURCE_FILE = re.compile(r"(stages|crgan)/.*\.py|[^/]+\.yaml")


def fresh(path: Path = PATH) -> str:
    """The text of dvc.yaml with everything derived brought up to date."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 10_000
    yaml.preserve_quotes = True
    document = yaml.load(path.read_text())
    params = load(DEFAULT)
    stages = document["stages"]
    for name in [name for name in stages if name.startswith(_TABLE)]:
        del stages[name]
    _fill_draw_datasets(stages["draw_datasets"], params["matrix"]["datasets"])
    for stage in stages.values():
        _fill(stage, params)
    for table in TABLES:
        stages[f"{_TABLE}{table}"] = _table_stage(table, params)
        stages.yaml_set_comment_before_after_key(f"{_TABLE}{table}", before="\n")
    text = io.StringIO()
    yaml.dump(document, text)
    return text.getvalue().rstrip("\n") + "\n"


def _fill(stage: CommentedMap, params: dict[str, Any]) -> None:
    """Parameters and source files of a stage, by the program its command runs."""
    program = _program(stage["cmd"])
    given = [dep for dep in stage["deps"] if not _SOURCE_FILE.fullmatch(dep)]
    stage["deps"] = _sequence([*given, *_sources(program, params)])
    item = "item.cell" if "cell" in stage.get("matrix", {}) else "item"
    axes = ("method", "dataset", "role")
    cell = {axis: f"${{{item}.{axis}}}" for axis in axes}
    stage["params"] = _sequence(keys_of(program, profile=_PROFILE, **cell))


def _program(command: str) -> str:
    found = re.match(r"python -m stages\.(\w+)", command)
    assert found, command
    return found[1]


def _sources(program: str, params: dict[str, Any]) -> list[str]:
    """Source files; a cell's own method by its name in the matrix."""
    matrix = params["matrix"]
    group = "adapt" if METHOD_FOLDER.get(program) == "crgan/adapt" else "gan"
    models = dict.fromkeys(cell["model"] for cell in matrix[group])
    files = shared_code(program, models)
    if program in METHOD_FOLDER and program not in FIXED_MODEL:
        files.append(f"{METHOD_FOLDER[program]}/${{item.cell.model}}.py")
    return files


def _fill_draw_datasets(stage: CommentedMap, datasets: list[str]) -> None:
    folders = [f"artifacts/{_PROFILE}/data/{name}" for name in datasets]
    manifests = [f"{folder}/manifest.csv" for folder in folders]
    stage["cmd"] = _folded(
        "python -m stages.draw_datasets", f"--manifests {' '.join(manifests)}",
        "--out results/figure5.png",
    )  # fmt: skip
    stage["deps"] = _sequence([*manifests, *(f"{folder}/images.npy" for folder in folders)])


def _table_stage(table: int, params: dict[str, Any]) -> CommentedMap:
    printed = [str(path) for path in printed_inputs(table)]
    scores = score_arguments(table, params, _PROFILE)
    out = f"results/table{table}"
    command = _folded(
        f"python -m stages.make_table --table {table} --printed {' '.join(printed)}", scores,
        f"--out {out}.csv --readable {out}.md",
    )  # fmt: skip
    return CommentedMap(
        desc=f"Table {table}, measured beside printed",
        cmd=command,
        deps=_sequence([*printed, *scores.split()[1:], *_sources("make_table", params)]),
        params=_sequence(keys_of("make_table")),
        outs=_sequence([f"{out}.csv", f"{out}.md", f"{out}.prov.json"]),
    )


def _folded(*lines: str) -> FoldedScalarString:
    """A command over several lines of YAML, one line to the shell."""
    text = FoldedScalarString(" ".join(lines))
    ends, position = [], -1
    for line in lines[:-1]:
        position += len(line) + 1
        ends.append(position)
    text.fold_pos = ends
    return text


def _sequence(items: Iterable[str]) -> CommentedSeq:
    return CommentedSeq(items)
