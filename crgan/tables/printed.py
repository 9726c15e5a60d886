"""Tables 1-7 as the paper prints them, and which of our methods each printed name means.

The printed tables stand in `reported/`; a table's rows, their order and its metrics are read from
there. `crgan.tables.cells` asks here which cells a table needs, `crgan.tables.tables` which score
belongs to which row: both from `table_rows`, so they cannot disagree.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError

TABLES = range(1, 8)
FOLDER = Path("reported")

BASELINE = "Direct Transfer"
BASELINE_TABLE = 2
# The paper prints the baseline in Table 2 alone, but a reader of these needs it too.
TABLES_WITH_ADDED_BASELINE = (5, 6, 7)
REFERENCE_TYPE = "Reference"
BEYOND_TYPE = "Beyond the paper"
BEYOND_NOTE = "not in the paper"
DATA_ROW = "Source-Target data"  # measured on the two data sets themselves: no method

# Table 1 prints one method under another name than Table 2.
_ALIASES = {"w/o dual condition": "w/o dual cond"}
# What a printed name adds to a method, and what that adds to the pooling's name.
_LMP = "+LMP"
_RERANKED, _RR = "+re-ranking", "_rr"

_KEYS = ("type", "method", "source", "target", "note")


@dataclass(frozen=True)
class Row:
    """One row of a table: one method in one direction.

    Attributes:
        method: the name as printed.
        paper: printed value of each metric, None where the paper prints "-".
        note: misprints and the like; empty where there is nothing to say.
        type: the group in Tables 6 and 7, else "".
    """

    method: str
    source: str
    target: str
    paper: Mapping[str, float | None]
    note: str = ""
    type: str = ""


@dataclass(frozen=True)
class Printed:
    """A table: its number, its metrics in printed order, whether it groups rows, its rows."""

    number: int
    metrics: tuple[str, ...]
    has_types: bool
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Cell:
    """What a row's values are taken from.

    Attributes:
        method: key of `methods` in the parameters; None for the row of the data sets themselves.
        pooling: "global" or "lmp", for tables of re-id scores; "global_rr" or "lmp_rr" for
            re-ranked ones.
    """

    method: str | None
    pooling: str


def printed_path(number: int, folder: str | Path = FOLDER) -> Path:
    """The file of a printed table."""
    if number not in TABLES:
        raise UserError(f"table {number}: the paper's tables are 1 to 7")
    return Path(folder) / f"table{number}.csv"


def printed_inputs(number: int, folder: str | Path = FOLDER) -> list[Path]:
    """The printed tables that `table_rows(number)` reads."""
    added = [BASELINE_TABLE] if number in TABLES_WITH_ADDED_BASELINE else []
    return [printed_path(n, folder) for n in [number, *added]]


def table_rows(
    number: int, folder: str | Path = FOLDER, beyond: Mapping[str, Sequence[str]] | None = None
) -> Printed:
    """A printed table in printed order, the baseline's rows put before it where it lacks them, and
    rows of our own behind it, in every direction of the table.

    Args:
        beyond: section `beyond` of the parameters, {number: names}. Other forms of methods that
            the table has come first and in its order, then methods that it lacks.

    Raises:
        UserError: unknown table, or a file that is missing or not a printed table.
    """
    table = _read(number, folder)
    directions = list(dict.fromkeys((row.source, row.target) for row in table.rows))
    before: list[Row] = []
    if number in TABLES_WITH_ADDED_BASELINE:
        known = {
            (row.source, row.target): row
            for row in _read(BASELINE_TABLE, folder).rows
            if row.method == BASELINE
        }
        before = [_baseline(table, known, direction) for direction in directions]
    unknown = dict.fromkeys(table.metrics)
    kind = BEYOND_TYPE if table.has_types else ""
    shown = list(dict.fromkeys(_bare(row.method) for row in (*before, *table.rows)))

    def place(name: str) -> int:
        return shown.index(_bare(name)) if _bare(name) in shown else len(shown)

    own = sorted((beyond or {}).get(str(number), ()), key=place)
    behind = [
        Row(name, *direction, unknown, BEYOND_NOTE, kind)
        for name in own
        for direction in directions
    ]
    return replace(table, rows=(*before, *table.rows, *behind))


def cell_of(row: Row, methods: Mapping[str, Mapping[str, Any]]) -> Cell | None:
    """The cell whose score fills a row, or None when no method of the parameters bears its name.

    Args:
        methods: section `methods` of the parameters; `label` is the name in the tables.

    Raises:
        UserError: two methods with one label.
    """
    if row.method == DATA_ROW:
        return Cell(None, "global")
    bare = row.method.removesuffix(_RERANKED)
    reranked = _RR if bare != row.method else ""
    name = _ALIASES.get(bare, bare)
    labels: dict[str, str] = {}
    for key, entry in methods.items():
        if entry["label"] in labels:
            raise UserError(
                f"methods.{labels[entry['label']]} and methods.{key} both have the label "
                f"{entry['label']!r}; a row of a table must mean one method"
            )
        labels[entry["label"]] = key
    if name in labels:
        return Cell(labels[name], "global" + reranked)
    if name.endswith(_LMP) and name.removesuffix(_LMP) in labels:
        return Cell(labels[name.removesuffix(_LMP)], "lmp" + reranked)
    return None


def _bare(name: str) -> str:
    """A printed name without what it adds to a method."""
    return name.removesuffix(_RERANKED).removesuffix(_LMP)


def is_visual(table: Printed) -> bool:
    """Whether a table's values come from images (LPIPS, FID) and not from re-id scores."""
    return "FID" in table.metrics


def ranked_tables(folder: str | Path = FOLDER) -> list[int]:
    """The tables of re-id scores; the others are of images, which are ranked by nothing."""
    return [number for number in TABLES if not is_visual(_read(number, folder))]


def _baseline(
    table: Printed, known: Mapping[tuple[str, str], Row], direction: tuple[str, str]
) -> Row:
    row = known.get(direction)
    values = {metric: row.paper.get(metric) if row else None for metric in table.metrics}
    note = "not printed in this table; paper's value from Table 2" if row else "not printed"
    return Row(BASELINE, *direction, values, note, REFERENCE_TYPE if table.has_types else "")


def _read(number: int, folder: str | Path) -> Printed:
    path = printed_path(number, folder)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            records = list(reader)
            columns = tuple(reader.fieldnames or ())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; restore it from the repository") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable CSV ({error})") from None
    metrics = tuple(name for name in columns if name not in _KEYS)
    if not {"method", "source", "target"} <= set(columns) or not metrics:
        raise UserError(f"{path}: columns {','.join(columns)}; this is not a printed table")
    rows = tuple(_row(record, metrics, f"{path} row {i}") for i, record in enumerate(records, 1))
    return Printed(number, metrics, "type" in columns, rows)


def _row(record: Mapping[str, str], metrics: tuple[str, ...], where: str) -> Row:
    try:
        paper = {metric: float(record[metric]) if record[metric] else None for metric in metrics}
    except (TypeError, ValueError):
        raise UserError(f"{where}: a value is not a number, or the row is too short") from None
    return Row(
        record["method"],
        record["source"],
        record["target"],
        paper,
        record.get("note") or "",
        record.get("type") or "",
    )
