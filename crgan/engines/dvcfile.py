"""The parts of dvc.yaml that follow from the sources: params and fan-in lists.

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

from crgan.engines.sources import FOLDER
from crgan.engines.workflow import direction_cells, judged_folders, score_arguments
from crgan.report.printed import TABLES, printed_inputs
from crgan.run.params import DEFAULT, keys_of, load

PATH = Path("dvc.yaml")
_PROFILE = "${profile}"
_TABLE = "make_table_"
_METHODS = "draw_methods_"


def fresh(path: Path = PATH) -> str:
    """The text of dvc.yaml with everything derived brought up to date."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 10_000
    yaml.preserve_quotes = True
    document = yaml.load(path.read_text())
    params = load(DEFAULT)
    stages = document["stages"]
    for name in [n for n in stages if n.startswith((_TABLE, _METHODS, "tabulate_renderings"))]:
        del stages[name]
    _fill_draw_datasets(stages["draw_datasets"], params["matrix"]["datasets"])
    for stage in stages.values():
        _fill(stage)
    derived = {
        f"{_METHODS}{c['source']}_{c['target']}": _methods_stage(c["source"], c["target"], params)
        for c in params["matrix"]["renderings"]
    }
    derived |= {f"{_TABLE}{table}": _table_stage(table, params) for table in TABLES}
    derived["tabulate_renderings"] = _renderings_stage(params)
    for name, stage in derived.items():
        stages[name] = stage
        stages.yaml_set_comment_before_after_key(name, before="\n")
    text = io.StringIO()
    yaml.dump(document, text)
    # The blank line before the first table belongs, to the parser, to the stage above it.
    return re.sub(r"\n{3,}", "\n\n", text.getvalue()).rstrip("\n") + "\n"


def _fill(stage: CommentedMap) -> None:
    """Parameters of a stage, by the program its command runs."""
    program = re.match(r"python -m stages\.(\w+)", stage["cmd"])
    if program is None:
        return  # list_sources, a command of this room
    item = "item.cell" if "cell" in stage.get("matrix", {}) else "item"
    cell = {axis: f"${{{item}.{axis}}}" for axis in ("method", "model", "dataset", "role")}
    stage["params"] = _sequence(keys_of(program[1], profile=_PROFILE, **cell))


def _fill_draw_datasets(stage: CommentedMap, datasets: list[str]) -> None:
    folders = [f"artifacts/{_PROFILE}/data/{name}" for name in datasets]
    manifests = [f"{folder}/manifest.csv" for folder in folders]
    stage["cmd"] = _folded(
        "python -m stages.draw_datasets", f"--manifests {' '.join(manifests)}",
        "--out results/figure5.png",
    )  # fmt: skip
    images = [f"{folder}/images.npy" for folder in folders]
    stage["deps"] = _sequence([*manifests, *images, _listing("draw_datasets")])


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
        deps=_sequence([*printed, *scores.split()[1:], _listing("make_table")]),
        params=_sequence(keys_of("make_table")),
        outs=_sequence([f"{out}.csv", f"{out}.md", f"{out}.prov.json"]),
    )


def _methods_stage(source: str, target: str, params: dict[str, Any]) -> CommentedMap:
    ends = {"source": source, "target": target}
    data = {
        f"--{end}-{kind}": f"artifacts/{_PROFILE}/{place.format(name)}"
        for kind, place in (("manifest", "data/{}/manifest.csv"), ("masks", "masks/{}.h5"))
        for end, name in ends.items()
    }
    seed = params["matrix"]["seeds"][0]
    gans = [
        f"artifacts/{_PROFILE}/gan/{cell['gan']}/seed{seed}.pt"
        for cell in direction_cells(params["matrix"], source, target)
    ]
    out = f"results/figure7-{source}-{target}"
    command = _folded(
        f"python -m stages.draw_methods --source {source} --target {target}",
        " ".join(f"{flag} {path}" for flag, path in data.items()),
        f"--gans {' '.join(gans)} --out {out}.png",
    )
    images = [f"artifacts/{_PROFILE}/data/{name}/images.npy" for name in ends.values()]
    return CommentedMap(
        desc=f"Figure 7, {source} to {target}",
        cmd=command,
        deps=_sequence([*data.values(), *images, *gans, _listing("draw_methods")]),
        params=_sequence(keys_of("draw_methods", profile=_PROFILE)),
        outs=_sequence([f"{out}.png", f"{out}.prov.json"]),
    )


def _renderings_stage(params: dict[str, Any]) -> CommentedMap:
    folders = judged_folders(params, _PROFILE)
    out = "results/renderings"
    command = _folded(
        f"python -m stages.tabulate_renderings --judged {' '.join(folders)}",
        f"--out {out}.csv --readable {out}.md",
    )
    return CommentedMap(
        desc="The extra table of renderings (not in the paper)",
        cmd=command,
        deps=_sequence([*folders, _listing("tabulate_renderings")]),
        params=_sequence(keys_of("tabulate_renderings")),
        outs=_sequence([f"{out}.csv", f"{out}.md", f"{out}.prov.json"]),
    )


def _listing(program: str) -> str:
    return (FOLDER / f"{program}.txt").as_posix()


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
