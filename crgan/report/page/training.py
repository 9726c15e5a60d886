"""Loss curves and sample grids of every training, off its history and its sample sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

from crgan.looks.samples import layout
from crgan.report.curves import read_history
from crgan.report.page.album import Album, Encoded, Pixels, read_pixels
from crgan.report.page.project import Project
from crgan.tables.names import dataset_label

_POINTS = 120  # of a curve; more are no finer on a page
_SERIES = 12
_FIRST = ("crgan",)


@dataclass(frozen=True)
class Curves:
    """One training's curves: values by series, at `iteration`; None where one is not finite."""

    name: str
    key: str
    iteration: list[int]
    series: dict[str, list[float | None]]


@dataclass(frozen=True)
class Grid:
    """Samples of one GAN: what went in, and what came out at each interval."""

    name: str
    key: str
    inputs: Encoded
    steps: tuple[tuple[int, Encoded], ...]


def job_name(project: Project, cell: Mapping[str, Any], stage: str) -> str:
    """A job's name for people: method, direction and seed, or what else its cell says."""
    ends = [
        dataset_label(str(cell[k]))
        for k in ("source", "target", "a", "b", "dataset", "role")
        if k in cell
    ]
    method = project.label(cell["method"]) if "method" in cell else stage
    seed = f", seed {cell['seed']}" if "seed" in cell else ""
    table = f" {cell['table']}" if "table" in cell else ""
    return f"{method}{table} {' → '.join(ends)}{seed}".strip().replace("  ", " ")


def all_curves(project: Project) -> list[Curves]:
    """Every history that is there, CR-GAN's first."""
    found = []
    for name in project.records:
        path = project.file(name)
        if path is None or path.suffix != ".csv" or "history" not in _flags(project, name):
            continue
        record = project.records[name]
        columns = read_history(path)
        title = f"{job_name(project, record['cell'], record['stage'])} ({record['stage']})"
        found.append(Curves(title, record["key"], *_thinned(columns)))
    return sorted(found, key=lambda c: _place(project, c.key))


def all_grids(project: Project, album: Album) -> list[Grid]:
    """Every sample sheet that is there, cut into its intervals, CR-GAN's first."""
    sheets = [
        name
        for name in project.records
        if PurePosixPath(name).suffix == ".png"
        and project.records[name]["stage"] in ("train_gan", "train_translation")
        and project.file(name)
    ]
    sheets.sort(key=lambda name: _place(project, project.key_of(name)))
    return [_grid(project, name, album) for name in sheets]


def _grid(project: Project, name: str, album: Album) -> Grid:
    record = project.records[name]
    title = job_name(project, record["cell"], record["stage"])
    settings = record["params"].get("gan") or record["params"]["translation"]
    total, every = settings["iterations"], settings["sample_every"]
    taken = [*range(every, total, every), total]
    sheet = read_pixels(project.root / name)
    height = record["params"]["image"]["train"][0]
    inputs, steps = cut(sheet, height, len(taken))
    return Grid(
        title,
        record["key"],
        album.add(inputs, f"Inputs of {title}"),
        tuple(
            (n, album.add(step, f"Renderings of {title} after {n} iterations"))
            for n, step in zip(taken, steps, strict=True)
        ),
    )


def cut(sheet: Pixels, height: int, intervals: int) -> tuple[Pixels, list[Pixels]]:
    """A sample sheet's rows: the inputs', and those of each interval.

    CR-GAN shows three rows of inputs and the CycleGAN family two; what is left is shared out
    evenly, which tells the two apart.
    """
    tall, gap = layout(height)
    rows = (len(sheet) - gap) // tall
    inputs = 3 if (rows - 3) % intervals == 0 else 2
    each = (rows - inputs) // intervals
    stops = [inputs + i * each for i in range(intervals + 1)]
    parts = [sheet[gap + a * tall : gap + b * tall] for a, b in pairwise(stops)]
    return sheet[: gap + inputs * tall], parts


def _flags(project: Project, name: str) -> list[str]:
    """The options of its job that were given this file, without dashes."""
    argv = project.records[name]["run"]["argv"]
    return [flag.removeprefix("--") for flag, value in pairwise(argv) if value == name]


def _thinned(
    columns: Mapping[str, list[float]],
) -> tuple[list[int], dict[str, list[float | None]]]:
    x = columns["iteration"]
    step = max(1, math.ceil(len(x) / _POINTS))
    kept = sorted({*range(0, len(x), step), len(x) - 1})
    names = [name for name in columns if name != "iteration"][:_SERIES]
    series = {name: [_short(columns[name][i]) for i in kept] for name in names}
    there = {name: row for name, row in series.items() if any(v is not None for v in row)}
    return [int(x[i]) for i in kept], there


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _place(project: Project, key: str) -> tuple[Any, ...]:
    record = project.jobs[key]
    cell = record["cell"]
    methods = list(project.params["methods"])
    method = cell.get("method")
    rank = methods.index(method) if method in methods else len(methods)
    ends = [cell.get("source", cell.get("a")), cell.get("target", cell.get("b"))]
    sets = list(project.params["matrix"]["datasets"])
    way = [sets.index(end) if end in sets else len(sets) for end in ends]
    return (method not in _FIRST, record["stage"] != "train_gan", rank, way, str(cell.get("seed")))
