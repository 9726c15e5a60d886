"""The page: sections gathered, filled into the template, written as one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.report.page import charts
from crgan.report.page.album import Album
from crgan.report.page.embeddings import embeddings
from crgan.report.page.gallery import galleries
from crgan.report.page.judged import renderings
from crgan.report.page.project import Project
from crgan.report.page.runs import ID, bars, costs, jobs, machines
from crgan.report.page.scores import claims, tables
from crgan.report.page.sheets import cmc_curves, figures, masks, rank_command, rank_lists
from crgan.report.page.training import all_curves, all_grids
from crgan.tables.names import profile_warning

HERE = Path(__file__).parent
IMAGES = 20_000_000  # bytes of data URIs
LIMIT = 30_000_000  # bytes of the file
_SHOWN = ("Direct Transfer", "CR-GAN", "SPGAN", "TAUDL", "CR-GAN+TAUDL")


@dataclass(frozen=True)
class Built:
    """What was written: bytes, and the images that the budget left out."""

    path: Path
    size: int
    left_out: list[str]


def build(project: Project, out: Path, *, budget: int = IMAGES) -> Built:
    """Write the report of a project.

    Raises:
        UserError: an input that is damaged, or a report that would be larger than `LIMIT`.
    """
    album = Album(budget)
    text = _render(project, album)
    size = len(text.encode())
    if size > LIMIT:
        raise UserError(
            f"{out}: the report would be {size / 1e6:.0f} MB, the limit is {LIMIT / 1e6:.0f}; "
            "report fewer seeds (matrix.seeds)"
        )
    with atomic_path(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Built(out, size, album.left_out)


def _render(project: Project, album: Album) -> str:
    all_jobs = jobs(project)
    views = tables(project)
    judged = renderings(project)
    # what people look for first comes first, since the budget is used up in this order
    shown = figures(project, album)
    gallery = galleries(project, album)
    grids = all_grids(project, album)
    sheets = masks(project, album)
    ranks = rank_lists(project, album)
    curves = all_curves(project)
    cmc = cmc_curves(project)
    planes = embeddings(project)
    chart_data: dict[str, Any] = {
        "cmc": [asdict(entry) for entry in cmc],
        "curves": [{**asdict(entry), "key": entry.key[:ID]} for entry in curves],
        "embeddings": [asdict(entry) for entry in planes],
    }
    records = list(project.jobs.values())
    drawn, lanes = bars(records, [all_jobs[key[:ID]]["name"] for key in project.jobs])
    specs = {
        "cmc": charts.cmc([], _SHOWN),
        "curves": charts.curves([]),
        "camera": charts.scatter([], "camera"),
        "person": charts.scatter([], "person"),
        "timeline": charts.timeline(drawn, lanes),
    }
    anchors = {
        anchor: {**entry, "jobs": [key[:ID] for key in entry["jobs"]]}
        for opened in (*(view.anchors for view in views), judged.anchors)
        for anchor, entry in opened.items()
    }
    data = {
        "jobs": all_jobs, "anchors": anchors, "charts": chart_data, "specs": specs,
        "galleries": {entry.target: entry.data for entry in gallery},
        "grids": [_grid_data(entry.key) for entry in grids],
    }  # fmt: skip
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(
        profile=project.profile, warning=profile_warning(project.profile), seeds=project.seeds,
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        tables=views, renderings=judged, claims=claims(project), figures=shown,
        galleries=gallery, grids=grids, masks=sheets, ranks=ranks,
        rank_command=rank_command(project), curves=curves, cmc=cmc, embeddings=planes,
        costs=costs(project), machines=machines(project), jobs=all_jobs,
        stale=sum(bool(job["stale"]) for job in all_jobs.values()), bars=drawn, ID=ID,
        command=project.command, left_out=album.left_out,
        style=_asset("report.css"), script=_asset("report.js"),
        charts_script=Markup(charts.script()), data=_embedded(data),
    )  # fmt: skip


def _grid_data(key: str) -> Mapping[str, str]:
    return {"job": key[:ID]}


def _asset(name: str) -> Markup:
    return Markup((HERE / "assets" / name).read_text(encoding="utf-8"))


def _embedded(value: Any) -> Markup:
    """JSON for a script element: nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
