"""What stands behind each stage, its source files and its parameters, as one file for DVC.

Snakemake asks `code_of` for a job's source files and `slice_of` for its parameters. DVC can call no
Python. With the files as `deps` and the parameters as `params` of every stage it would read
params.yaml anew for each of the 200 (two thirds of the time it takes to find nothing to do), and
write long lists into dvc.lock, which it rewrites after each stage. So DVC has one stage more:
`write_recipes` depends on all sources and parameters, takes a moment, and writes for each stage, of
each method or data set, the files behind it with their hashes and the very values it will see.
Stages depend on their recipe, which changes when one of these does.

In a container (Compose), a stage's recipe names the image's digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from crgan.common.io import atomic_path, sha256_file
from crgan.pipeline import containers as images
from crgan.pipeline.code import FIXED_MODEL, METHOD_FOLDER, ROOT, code_of
from crgan.pipeline.params import SLICES, canonical, slice_of

FOLDER = Path("artifacts/recipes")
# Where the methods of a stage stand in the matrix.
GROUPS = {
    "train_gan": "gan",
    "train_translation": "translators",
    "render_set": "rendered",
    "finetune": "gan",
    "adapt": "adapt",
    "handcraft": "handcrafted",
    "measure_images": "visual",
    "judge_images": "visual",
}
WITHOUT_MODEL = ("finetune",)  # on a stored set it loads no method's file
_AXES = ("dataset", "role", "model", "method")


def axes_of(stage: str, *, with_model: bool = True) -> list[str]:
    """The axes of a cell that its recipe depends on, in the order of `recipe_path`.

    Args:
        with_model: False for a cell of `WITHOUT_MODEL` that loads no method's file.
    """
    fields = {name for key in SLICES[stage] for _, name, _, _ in Formatter().parse(key)}
    if with_model and stage in METHOD_FOLDER and stage not in FIXED_MODEL:
        fields.add("model")
    return [axis for axis in _AXES if axis in fields]


def recipe_path(stage: str, cell: Mapping[str, str], *, with_model: bool = True) -> Path:
    """The recipe of a cell (in dvc.yaml, of `${item.model}` and its like)."""
    parts = [stage, *(cell[axis] for axis in axes_of(stage, with_model=with_model))]
    return FOLDER.joinpath(*parts[:-1], f"{parts[-1]}.json")


def recipes(params: Mapping[str, Any]) -> dict[Path, str]:
    """{path: text}, for every stage and all its cells in the matrix."""
    hash_of = cache(lambda name: sha256_file(ROOT / name))  # most sources stand in many recipes
    found = {}
    for stage in SLICES:
        for with_model in (True, False) if stage in WITHOUT_MODEL else (True,):
            axes = axes_of(stage, with_model=with_model)
            for cell in _cells(stage, axes, params):
                sources = {name: hash_of(name) for name in code_of(stage, cell.get("model"))}
                text = _recipe(stage, cell, params, sources)
                found[recipe_path(stage, cell, with_model=with_model)] = text
    return found


def write(params: Mapping[str, Any]) -> None:
    """Write the recipes, and remove those of cells that are no more."""
    texts = recipes(params)
    for path in sorted(FOLDER.rglob("*.json")):
        if path not in texts:
            path.unlink()
    for path, text in texts.items():
        if not path.is_file() or path.read_text() != text:
            with atomic_path(path) as temporary:
                temporary.write_text(text)


def _cells(stage: str, axes: list[str], params: Mapping[str, Any]) -> list[dict[str, str]]:
    matrix = params["matrix"]
    if not axes:  # one recipe, whatever stands in the matrix
        return [{}]
    if "dataset" in axes:
        rows = [{"dataset": name} for name in matrix["datasets"]]
    elif "role" in axes:
        rows = [{"role": role} for role in params["profiles"][params["profile"]]["weights"]]
    else:
        rows = matrix[GROUPS[stage]]
    cells = {tuple(row[axis] for axis in axes) for row in rows}
    return [dict(zip(axes, values, strict=True)) for values in sorted(cells)]


def _recipe(
    stage: str, cell: Mapping[str, str], params: Mapping[str, Any], sources: dict[str, str]
) -> str:
    seen = canonical(slice_of(stage, dict(params), **cell))
    recipe = {"sources": sources, "params": seen}
    image = images.inside()
    if image:
        recipe["image"] = {"name": image["name"], "digest": image["digest"]}
    return json.dumps(recipe, indent=1, sort_keys=True) + "\n"
