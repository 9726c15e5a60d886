"""A table of the paper: each measured value beside the printed one, and what to know about it.

A cell that was not measured is empty. It is never filled from the paper or from another table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.metrics.seeds import SeedStatistics, over_seeds
from crgan.tables.marks import marks_of
from crgan.tables.printed import Cell, Printed, Row, cell_of, is_visual
from crgan.tables.scores import Score
from crgan.tables.written import csv_writer

_DECIMALS = {"LPIPS": 3, "FID": 3}  # as printed; rates and mAP have one
_SAME = 1e-4  # two runs on the same images may differ in the last digits


@dataclass(frozen=True)
class Line:
    """A row with its measured values.

    Attributes:
        row: the row as printed.
        measured: {metric: mean and spread over seeds}; empty where nothing was measured.
        notes: the printed note, what came with the scores, the number of seeds.
        uses: the supervision its method has; "" for rows of no method of the parameters.
    """

    row: Row
    measured: Mapping[str, SeedStatistics]
    notes: tuple[str, ...]
    uses: str = ""


@dataclass(frozen=True)
class Table:
    """A printed table and its lines, all measured with one profile."""

    printed: Printed
    profile: str
    lines: tuple[Line, ...]


def build(
    printed: Printed,
    scores: Sequence[Score],
    *,
    profile: str,
    methods: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    chosen: Sequence[Mapping[str, Any]] = (),
) -> Table:
    """Put scores into the rows they belong to.

    Args:
        printed: the table's rows (`crgan.tables.printed.table_rows`).
        scores: what was measured (`crgan.tables.scores.read_scores`).
        profile: the profile of all scores.
        methods: section `methods` of the parameters, for the names.
        seeds: the seeds of the experiment matrix; a line measured with fewer says so.
        chosen: section `chosen` of the parameters; a line it concerns is marked.

    Raises:
        UserError: a score that fits no row, lacks a metric of the table, or disagrees with
            another about the data sets themselves.
    """
    used: set[str] = set()
    lines = []
    for row in printed.rows:
        cell = cell_of(row, methods)
        own = [] if cell is None else _scores_of(row, cell, scores)
        if cell is not None and cell.method is not None:
            used |= {score.path for score in own}
        measured = _measured(own, cell, printed.metrics) if cell and own else {}
        notes = _notes(row, cell, own, seeds)
        if cell is not None and measured:
            notes += marks_of(cell.method, chosen)
        lines.append(Line(row, measured, tuple(notes), _uses(cell, methods)))
    for score in scores:
        if score.path not in used:
            raise UserError(
                f"{score.path}: {score.method} {score.source} to {score.target} fits no row of "
                f"table {printed.number}; leave it out, or correct methods.{score.method}.label"
            )
    return Table(printed, profile, tuple(lines))


def with_versions(table: Table, mixed: Mapping[str, Sequence[str]]) -> Table:
    """The table with a note in each measured line, where versions of a library differ.

    Args:
        mixed: {library: versions} (`crgan.pipeline.records.mixed_versions`).
    """
    if not mixed:
        return table
    said = "; ".join(f"{name} {' and '.join(numbers)}" for name, numbers in mixed.items())
    note = f"the table's numbers were made with several versions of a library: {said}"
    lines = [replace(e, notes=(*e.notes, note)) if e.measured else e for e in table.lines]
    return replace(table, lines=tuple(lines))


def write_csv(path: str | Path, table: Table) -> None:
    """Columns `profile, type (where printed), method, source, target`, then for each metric M
    `M, M_std, M_paper`, then `uses` in tables of re-id scores, then `note`; numbers rounded as
    printed; M_std empty with one seed.
    """
    with csv_writer(path) as writer:
        writer.writerow(_header(table.printed))
        for line in table.lines:
            row = line.row
            group = [row.type] if table.printed.has_types else []
            values = [text for metric in table.printed.metrics for text in cell_text(line, metric)]
            keys = [table.profile, *group, row.method, row.source, row.target]
            uses = [] if is_visual(table.printed) else [line.uses]
            writer.writerow([*keys, *values, *uses, "; ".join(line.notes)])


def cell_text(line: Line, metric: str) -> tuple[str, str, str]:
    """Mean, spread and printed value of one metric, rounded as printed; empty for none."""
    measured = line.measured.get(metric)
    return (
        rounded(metric, measured.mean if measured else None),
        rounded(metric, measured.std if measured else None),
        rounded(metric, line.row.paper[metric]),
    )


def rounded(metric: str, value: float | None) -> str:
    """A value with as many decimals as the paper prints for its metric; empty for None."""
    if value is None:
        return ""
    places = _DECIMALS.get(metric, 1)
    return f"{round(value, places) + 0.0:.{places}f}"  # + 0.0: no "-0.000"


def _header(printed: Printed) -> list[str]:
    group = ["type"] if printed.has_types else []
    keys = ["profile", *group, "method", "source", "target"]
    values = [m + suffix for m in printed.metrics for suffix in ("", "_std", "_paper")]
    return [*keys, *values, *([] if is_visual(printed) else ["uses"]), "note"]


def _uses(cell: Cell | None, methods: Mapping[str, Mapping[str, Any]]) -> str:
    if cell is None or cell.method is None:
        return ""
    return ", ".join(methods[cell.method]["uses"]) or "nothing"


def _scores_of(row: Row, cell: Cell, scores: Iterable[Score]) -> list[Score]:
    """The scores behind a row; for the row of the data sets themselves all of its direction."""
    return [
        score
        for score in scores
        if (score.source, score.target) == (row.source, row.target)
        and cell.method in (None, score.method)
    ]


def _measured(
    scores: Sequence[Score], cell: Cell, metrics: Sequence[str]
) -> dict[str, SeedStatistics]:
    if cell.method is None:
        return _of_the_data(scores, metrics)
    values = [score.values.get(cell.pooling, {}) for score in scores]
    for score, found in zip(scores, values, strict=True):
        _require(score, found, metrics, f" with {cell.pooling} pooling")
    return {metric: over_seeds(found[metric] for found in values) for metric in metrics}


def _of_the_data(scores: Sequence[Score], metrics: Sequence[str]) -> dict[str, SeedStatistics]:
    """The data sets' own values: every score brings them, no method or seed enters them."""
    first = scores[0].reference
    for score in scores:
        _require(score, score.reference, metrics, " of the data sets themselves")
        if any(abs(score.reference[m] - first[m]) > _SAME * (1 + abs(first[m])) for m in metrics):
            raise UserError(
                f"{score.path}: its values of the data sets themselves differ from those in "
                f"{scores[0].path}; measure both again"
            )
    return {metric: over_seeds([first[metric]]) for metric in metrics}


def _require(score: Score, found: Mapping[str, float], metrics: Sequence[str], what: str) -> None:
    missing = [metric for metric in metrics if metric not in found]
    if missing:
        raise UserError(
            f"{score.path}: holds no {missing[0]}{what}, which this table needs; "
            "measure the cell again"
        )


def _notes(row: Row, cell: Cell | None, scores: Sequence[Score], seeds: Sequence[int]) -> list[str]:
    notes = [row.note] if row.note else []
    if cell is not None and cell.method is None:
        notes += [note for score in scores for note in score.reference_notes]
    elif scores:
        notes += [note for score in scores for note in score.notes]
        count, of = len({score.seed for score in scores}), len(set(seeds))
        plural = "" if of == 1 else "s"
        notes.append(f"{of} seed{plural}" if count == of else f"{count} of {of} seeds")
    return list(dict.fromkeys(notes))
