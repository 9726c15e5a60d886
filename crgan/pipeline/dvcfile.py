"""The parts of dvc.yaml that follow from the sources: recipes and fan-in lists.

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

from crgan.pipeline.params import DEFAULT, load
from crgan.pipeline.recipes import FOLDER, axes_of, recipe_path
from crgan.pipeline.workflow import (
    claim_arguments,
    direction_cells,
    interval_arguments,
    printed_tables,
    rendering_arguments,
    score_arguments,
)
from crgan.tables.claims import PATH as CLAIMS
from crgan.tables.printed import TABLES, printed_inputs, ranked_tables

PATH = Path("dvc.yaml")
_PROFILE = "${profile}"
_TABLE = "make_table_"
_METHODS = "draw_methods_"
_BOUND = "bound_table_"
_CMC = "tabulate_cmc_"
# Columns of the histories that all GANs of a part of the matrix have.
_LOSSES = {
    "gan": ("loss_d", "loss_adv", "loss_id", "loss_cam", "loss_con"),
    "translators": ("loss_d", "loss_adv", "loss_cycle"),
}
_DERIVED = (_TABLE, _METHODS, _BOUND, _CMC, "tabulate_renderings", "weigh_claims")


def fresh(path: Path = PATH) -> str:
    """The text of dvc.yaml with everything derived brought up to date."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 10_000
    yaml.preserve_quotes = True
    document = yaml.load(path.read_text())
    params = load(DEFAULT)
    stages = document["stages"]
    for name in [n for n in stages if n.startswith(_DERIVED)]:
        del stages[name]
    stages["write_recipes"]["params"] = _sequence(_sections(params))
    _fill_draw_datasets(stages["draw_datasets"], params["matrix"]["datasets"])
    for stage in stages.values():
        _fill(stage)
    derived = {
        f"{_METHODS}{c['source']}_{c['target']}": _methods_stage(c["source"], c["target"], params)
        for c in params["matrix"]["renderings"]
    }
    derived |= {f"{_TABLE}{table}": _table_stage(table, params) for table in TABLES}
    derived["tabulate_renderings"] = _renderings_stage(params)
    derived |= {f"{_BOUND}{table}": _intervals_stage(table, params) for table in TABLES}
    derived |= {f"{_CMC}{table}": _cmc_stage(table, params) for table in ranked_tables()}
    derived["weigh_claims"] = _claims_stage(params)
    for name, stage in derived.items():
        stages[name] = stage
        stages.yaml_set_comment_before_after_key(name, before="\n")
    document["plots"] = _plots(params["matrix"])
    document.yaml_set_comment_before_after_key("plots", before="\n")
    text = io.StringIO()
    yaml.dump(document, text)
    # The blank line before the first table belongs, to the parser, to the stage above it.
    return re.sub(r"\n{3,}", "\n\n", text.getvalue()).rstrip("\n") + "\n"


def _fill(stage: CommentedMap) -> None:
    """The recipe of a stage, by the program its command runs: its last dependency."""
    program = re.match(r"python -m stages\.(\w+)", stage["cmd"])
    if program is None:
        return  # preflight and write_recipes, commands of this room
    item = "item.cell" if "cell" in stage.get("matrix", {}) else "item"
    with_model = "--model" in stage["cmd"]
    cell = {axis: f"${{{item}.{axis}}}" for axis in axes_of(program[1], with_model=with_model)}
    deps = [dep for dep in stage["deps"] or [] if not dep.startswith(f"{FOLDER}/")]
    stage["deps"] = _sequence(
        [*deps, recipe_path(program[1], cell, with_model=with_model).as_posix()]
    )


def _sections(params: dict[str, Any]) -> list[str]:
    """All parameters but other profiles', which no recipe can show."""
    return [*(name for name in params if name != "profiles"), f"profiles.{_PROFILE}"]


def _fill_draw_datasets(stage: CommentedMap, datasets: list[str]) -> None:
    folders = [f"artifacts/{_PROFILE}/data/{name}" for name in datasets]
    manifests = [f"{folder}/manifest.csv" for folder in folders]
    stage["cmd"] = _folded(
        "python -m stages.draw_datasets", f"--manifests {' '.join(manifests)}",
        "--out results/figure5.png",
    )  # fmt: skip
    images = [f"{folder}/images.npy" for folder in folders]
    stage["deps"] = _sequence([*manifests, *images, _own("draw_datasets")])


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
        deps=_sequence([*printed, *scores.split()[1:], _own("make_table")]),
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
        deps=_sequence([*data.values(), *images, *gans, _own("draw_methods")]),
        outs=_sequence([f"{out}.png", f"{out}.prov.json"]),
    )


def _renderings_stage(params: dict[str, Any]) -> CommentedMap:
    return _readable_stage(
        "tabulate_renderings",
        "The extra table of renderings (not in the paper)",
        ("python -m stages.tabulate_renderings", rendering_arguments(params, _PROFILE)),
        [],
        "results/renderings",
    )


def _intervals_stage(table: int, params: dict[str, Any]) -> CommentedMap:
    printed = [str(path) for path in printed_inputs(table)]
    command = f"python -m stages.bound_table --table {table} --printed {' '.join(printed)}"
    return _readable_stage(
        "bound_table",
        f"Table {table} with intervals",
        (command, interval_arguments(table, params, _PROFILE)),
        printed,
        f"results/table{table}.intervals",
    )


def _cmc_stage(table: int, params: dict[str, Any]) -> CommentedMap:
    printed = [str(path) for path in printed_inputs(table)]
    queries = interval_arguments(table, params, _PROFILE)
    return CommentedMap(
        desc=f"CMC curves of Table {table}",
        cmd=_folded(
            f"python -m stages.tabulate_cmc --table {table} --printed {' '.join(printed)}",
            queries, f"--out {_cmc_file(table)}",
        ),
        deps=_sequence([*printed, *queries.split()[1:], _own("tabulate_cmc")]),
        outs=_sequence([_cmc_file(table), f"results/table{table}.cmc.prov.json"]),
    )  # fmt: skip


def _cmc_file(table: int) -> str:
    return f"results/table{table}.cmc.csv"


def _claims_stage(params: dict[str, Any]) -> CommentedMap:
    printed = [str(path) for path in printed_tables()]
    command = f"python -m stages.weigh_claims --claims {CLAIMS} --printed {' '.join(printed)}"
    return _readable_stage(
        "weigh_claims",
        "The paper's claims, weighed",
        (command, claim_arguments(params, _PROFILE)),
        [str(CLAIMS), *printed],
        "results/claims",
    )


def _readable_stage(
    program: str, desc: str, command: tuple[str, str], files: list[str], out: str
) -> CommentedMap:
    """A stage that reads folders of scores and some files, and writes a CSV and Markdown."""
    folders = [word for word in command[1].split() if not word.startswith("--")]
    return CommentedMap(
        desc=desc,
        cmd=_folded(*command, f"--out {out}.csv --readable {out}.md"),
        deps=_sequence([*files, *folders, _own(program)]),
        outs=_sequence([f"{out}.csv", f"{out}.md", f"{out}.prov.json"]),
    )


def _plots(matrix: dict[str, Any]) -> CommentedSeq:
    """For `dvc plots`, one diagram each: the losses of each GAN with the first seed, the CMC curves
    of each table, drawn by a template of ours, since DVC's own know methods by no colour.
    """
    plots = CommentedSeq()
    for group, losses in _LOSSES.items():
        for cell in matrix[group]:
            start, end = cell.get("source", cell.get("a")), cell.get("target", cell.get("b"))
            place = f"{cell['method']}/{start}-{end}/seed{matrix['seeds'][0]}.csv"
            diagram = {"x": "iteration", "y": {f"artifacts/{_PROFILE}/gan/{place}": list(losses)}}
            plots.append({f"Losses, {cell['method']}, {start} to {end}": diagram})
    for table in ranked_tables():
        diagram = {"x": "rank", "y": {_cmc_file(table): "percent"}, "template": "cmc"}
        plots.append({f"CMC curves, Table {table}": diagram})
    return plots


def _own(program: str) -> str:
    """The recipe of a stage that has one for all its cells."""
    return recipe_path(program, {}).as_posix()


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
