"""The extra table of renderings as the page shows it: columns explained, links to provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crgan.report.page.project import Project
from crgan.tables.renderings import JUDGED, MEANS, METRICS, REFERENCE, VISUAL
from crgan.tables.written import direction_label, read_rows

OUTPUT = "results/renderings.csv"
_KINDS = {"judged": JUDGED, "visual": VISUAL}  # folder of results: the columns it fills


@dataclass(frozen=True)
class Value:
    """Mean and spread over seeds as text; `anchor` names the provenance, empty where there is
    none.
    """

    text: str
    std: str
    anchor: str


@dataclass(frozen=True)
class Line:
    """A method, or the unrendered images that others are held against."""

    method: str
    values: tuple[Value, ...]
    note: str


@dataclass(frozen=True)
class Renderings:
    """The table; `made` is false where its file is not there.

    Attributes:
        columns: title and meaning of each.
        directions: lines by the name of their direction.
        anchors: what the numbers' links open.
    """

    made: bool
    output: str = OUTPUT
    columns: tuple[tuple[str, str], ...] = tuple(MEANS[metric] for metric in METRICS)
    directions: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)
    anchors: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def renderings(project: Project) -> Renderings:
    """What results/renderings.csv says."""
    rows = read_rows(project.results.parent / "renderings.csv")
    if not rows or any(row.get("profile") != project.profile for row in rows):
        return Renderings(made=False)
    directions: dict[str, list[Line]] = {}
    anchors: dict[str, dict[str, Any]] = {}
    for i, row in enumerate(rows):
        where = direction_label(row["source"], row["target"])
        opened: dict[str, str] = {}  # by column
        for kind, metrics in _KINDS.items():
            anchor = f"from-renderings-{kind}-{i}"
            if jobs := _jobs(project, kind, row):
                title = f"Renderings: {row['method']}, {where}"
                anchors[anchor] = {"title": title, "jobs": jobs}
                opened |= dict.fromkeys(metrics, anchor)
        values = tuple(
            Value(row[metric], row[f"{metric}_std"], opened.get(metric, "")) for metric in METRICS
        )
        directions.setdefault(where, []).append(Line(row["method"], values, row["note"]))
    lines = {where: tuple(own) for where, own in directions.items()}
    return Renderings(True, directions=lines, anchors=anchors)


def _jobs(project: Project, kind: str, row: Mapping[str, str]) -> list[str]:
    """Keys of the jobs behind a row's columns of a kind: one a seed; of all methods for the
    unrendered images, which every job measures.
    """
    named = {entry["label"]: key for key, entry in project.params["methods"].items()}
    methods = list(named.values()) if row["method"] == REFERENCE else [named.get(row["method"], "")]
    ends = {"source": row["source"], "target": row["target"]}
    return [
        project.key_of(name)
        for method in methods
        for _, name in project.seed_files(kind, {"method": method, **ends}, ".json")
    ]
