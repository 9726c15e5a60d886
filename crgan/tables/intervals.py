"""The tables once more, with intervals in place of spreads: a companion beside each table.

The tables' own columns are a contract (`crgan.tables.tables.write_csv`), and a table is not to wait
for per-query results; so intervals stand in `results/intervals/tableN.csv`, row for row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.metrics.bootstrap import Interval, Settings, interval
from crgan.tables.marks import marks_of
from crgan.tables.names import profile_warning
from crgan.tables.printed import DATA_ROW, Printed, Row, cell_of, is_visual
from crgan.tables.queries import Queries, Sample
from crgan.tables.tables import rounded
from crgan.tables.weigh import Images
from crgan.tables.written import csv_writer, direction_label, markdown_table, numbered


@dataclass(frozen=True)
class Bounded:
    """A row with the interval of each of its metrics; empty where nothing was measured."""

    row: Row
    measured: Mapping[str, Interval]
    notes: tuple[str, ...]


def bound(
    printed: Printed,
    queries: Queries,
    images: Images,
    *,
    params: Mapping[str, Any],
    settings: Settings,
) -> list[Bounded]:
    """Intervals of every row of a table (`crgan.tables.printed.table_rows`).

    Args:
        params: `methods` and `chosen` are read.
    """
    lines = []
    for row in printed.rows:
        cell = cell_of(row, params["methods"])
        measured = {}
        for metric in printed.metrics if cell else ():
            assert cell is not None
            sample: Sample | None
            if is_visual(printed):
                name = cell.method or DATA_ROW
                sample = images.sample(name, row.source, row.target, metric)
            else:
                name = cell.method or ""
                sample = queries.sample(name, row.source, row.target, cell.pooling, metric)
            if sample is not None and cell.method is None:
                sample = Sample(sample.seeds[:1], sample.values[:1])  # no seed enters the data
            if sample is not None:
                measured[metric] = interval(sample.values, settings)
        notes = [found.covers for found in measured.values()]
        if measured and cell:
            notes += marks_of(cell.method, params["chosen"])
        lines.append(Bounded(row, measured, tuple(dict.fromkeys(notes))))
    return lines


def write_csv(path: str | Path, printed: Printed, lines: Iterable[Bounded], profile: str) -> None:
    """Columns `profile, type (where printed), method, source, target`, then for each metric M
    `M, M_low, M_high`, then `seeds, queries, note`.
    """
    with csv_writer(path) as writer:
        group = ["type"] if printed.has_types else []
        values = [metric + end for metric in printed.metrics for end in ("", "_low", "_high")]
        writer.writerow(
            ["profile", *group, "method", "source", "target", *values, "seeds", "queries", "note"]
        )
        for line in lines:
            row = line.row
            kind = [row.type] if printed.has_types else []
            texts = [text for metric in printed.metrics for text in _texts(line, metric)]
            one = next(iter(line.measured.values()), None)
            counts = [one.seeds, one.queries] if one else ["", ""]
            keys = [profile, *kind, row.method, row.source, row.target]
            writer.writerow([*keys, *texts, *counts, "; ".join(line.notes)])


def markdown(printed: Printed, lines: Sequence[Bounded], profile: str, settings: Settings) -> str:
    """The same for people."""
    notes = list(dict.fromkeys(note for line in lines for note in line.notes))
    parts = [
        f"# Table {printed.number} with intervals",
        f"**Profile `{profile}`: {profile_warning(profile)}.**",
        f"Measured mean and its {100 * settings.confidence:g} % bootstrap interval over queries "
        "and seeds (docs/evidence.md). Two intervals that overlap do not say that two methods are "
        "alike: their paired difference is in results/claims.md, or from "
        "`crgan compare`.",
    ]
    for source, target in dict.fromkeys((line.row.source, line.row.target) for line in lines):
        rows = [["Method", *printed.metrics, "Notes"]]
        rows.append(["---", *["---:"] * len(printed.metrics), "---"])
        for line in lines:
            if (line.row.source, line.row.target) == (source, target):
                numbers = ", ".join(str(notes.index(note) + 1) for note in line.notes)
                cells = [_cell(line, metric) for metric in printed.metrics]
                rows.append([line.row.method, *cells, numbers])
        parts.append(f"## {direction_label(source, target)}")
        parts.append(markdown_table(rows))
    if notes:
        parts.append("## Notes")
        parts.append(numbered(notes))
    return "\n\n".join(parts) + "\n"


def _texts(line: Bounded, metric: str) -> tuple[str, str, str]:
    found = line.measured.get(metric)
    if found is None:
        return "", "", ""
    low, mean, high = (rounded(metric, value) for value in (found.low, found.value, found.high))
    return mean, low, high


def _cell(line: Bounded, metric: str) -> str:
    mean, low, high = _texts(line, metric)
    return f"{mean} ({low} to {high})" if low else mean or "-"
