"""The tables and the claims as the page shows them: paper beside measured, links to provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crgan.report.page.agreement import NONE, Agreement, of_order, of_value
from crgan.report.page.project import Project
from crgan.tables.printed import TABLES, Row, cell_of
from crgan.tables.written import direction_label, read_rows

_LOWER = {"FID": "lower is better", "LPIPS": "higher is better"}


@dataclass(frozen=True)
class Value:
    """One number of a table, as text, beside the printed one; `rank` orders a column."""

    text: str
    std: str
    paper: str
    agreement: Agreement


@dataclass(frozen=True)
class Line:
    """A row of a table; `anchor` names its provenance, empty where it was not measured."""

    kind: str
    method: str
    values: tuple[Value, ...]
    uses: str
    note: str
    anchor: str


@dataclass(frozen=True)
class Direction:
    """The rows of a table from one source to one target."""

    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class TableView:
    """A table of the paper; `made` is false where results/tableN.csv is not there."""

    number: int
    title: str
    made: bool
    output: str
    metrics: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    directions: tuple[Direction, ...] = ()
    has_kinds: bool = False
    has_uses: bool = False
    anchors: dict[str, dict[str, Any]] = field(default_factory=dict)


def tables(project: Project) -> list[TableView]:
    """All seven."""
    return [_table(project, number) for number in TABLES]


def _table(project: Project, number: int) -> TableView:
    rows = project.table(number)
    output = f"results/table{number}.csv"
    if not rows:
        return TableView(number, f"Table {number}", made=False, output=output)
    metrics = tuple(name for name in rows[0] if f"{name}_paper" in rows[0])
    anchors: dict[str, dict[str, Any]] = {}
    directions = []
    for source, target in dict.fromkeys((row["source"], row["target"]) for row in rows):
        own = [row for row in rows if (row["source"], row["target"]) == (source, target)]
        judged = {metric: _agreements(project, metric, own) for metric in metrics}
        lines = []
        for i, row in enumerate(own):
            anchor = f"from-table{number}-{source}-{target}-{i}"
            jobs = _jobs(project, number, row)
            if jobs:
                where = direction_label(source, target)
                anchors[anchor] = {
                    "title": f"Table {number}: {row['method']}, {where}", "jobs": jobs,
                }  # fmt: skip
            values = tuple(_value(row, metric, judged[metric][i]) for metric in metrics)
            lines.append(
                Line(
                    row.get("type", ""), row["method"], values, row.get("uses", ""),
                    row.get("note", ""), anchor if jobs else "",
                )
            )  # fmt: skip
        name = direction_label(source, target)
        directions.append(Direction(name, tuple(lines)))
    return TableView(
        number, project.title(number), True, output, metrics,
        tuple(_LOWER.get(metric, "") for metric in metrics), tuple(directions),
        "type" in rows[0], "uses" in rows[0], anchors,
    )  # fmt: skip


def _value(row: Mapping[str, str], metric: str, agreement: Agreement) -> Value:
    return Value(row[metric], row.get(f"{metric}_std", ""), row[f"{metric}_paper"], agreement)


def _agreements(
    project: Project, metric: str, rows: Sequence[Mapping[str, str]]
) -> list[Agreement]:
    measured = [_number(row[metric]) for row in rows]
    printed = [_number(row[f"{metric}_paper"]) for row in rows]
    if project.profile != "paper":
        return of_order(measured, printed)
    return [
        of_value(metric, m, _number(row.get(f"{metric}_std", "")), p) if m is not None else NONE
        for row, m, p in zip(rows, measured, printed, strict=True)
    ]


def _jobs(project: Project, number: int, row: Mapping[str, str]) -> list[str]:
    """Keys of the jobs that measured a row, one a seed; of the data's own row, of all methods."""
    printed = Row(row["method"], row["source"], row["target"], {})
    cell = cell_of(printed, project.params["methods"])
    if cell is None:
        return []
    kind = "cells" if "R1" in row else "visual"
    ends = {"source": row["source"], "target": row["target"]}
    methods = [cell.method] if cell.method else list(project.params["methods"])
    files = [
        name
        for method in methods
        for _, name in project.seed_files(kind, {"method": method, **ends}, ".json")
    ]
    return [project.key_of(name) for name in files]


@dataclass(frozen=True)
class Claims:
    """The claims as rows of text, by verdict counted; `made` is false where there is no file."""

    made: bool
    columns: tuple[str, ...] = ()
    rows: tuple[Mapping[str, str], ...] = ()
    counts: tuple[tuple[str, int], ...] = ()


VERDICTS = ("holds", "fails", "undecided")
# What a reader asks for first; the other columns follow as the file has them.
_FIRST = ("statement", "verdict", "better", "worse", "metric", "source", "target", "difference",
          "low", "high", "paper_difference", "seeds")  # fmt: skip


def claims(project: Project) -> Claims:
    """What results/claims.csv says; what was not measured, or cannot be, comes last."""
    rows = read_rows(project.results.parent / "claims.csv")
    if not rows or any(row.get("profile", project.profile) != project.profile for row in rows):
        return Claims(made=False)
    found = [word for row in rows if (word := row.get("verdict", ""))]
    words = [*VERDICTS, *dict.fromkeys(word for word in found if word not in VERDICTS)]
    counts = tuple((word, found.count(word)) for word in words if word in found)
    columns = [name for name in _FIRST if name in rows[0]]
    columns += [name for name in rows[0] if name not in _FIRST]
    ordered = sorted(rows, key=lambda row: row.get("verdict", "") not in VERDICTS)
    return Claims(True, tuple(columns), tuple(ordered), counts)


def _number(text: str) -> float | None:
    return float(text) if text else None
