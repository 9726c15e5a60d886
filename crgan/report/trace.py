"""From a cell of a table to all that made it, read off the records beside the files.

A table's record names the scores it was built from; a score's record names the stage, parameters,
code, inputs and circumstances it was made with; and so on down to raw material.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.pipeline.records import all_records, record_path, relative
from crgan.tables.printed import DATA_ROW, Row, cell_of
from crgan.tables.written import read_rows

CURVES, IMAGES = (".csv",), (".png", ".jpg", ".svg")
_KEYS = ("profile", "type", "method", "source", "target")
_RATES = {"R1": "rank1", "R5": "rank5", "R10": "rank10", "mAP": "mAP"}


@dataclass(frozen=True)
class CellOfTable:
    """A row of a built table and the files its numbers were taken from.

    Attributes:
        row: the row's texts by column.
        scores: one a seed; empty where the row was not measured.
        pooling: whose numbers of a re-id score they are.
    """

    table: str
    row: Mapping[str, str]
    scores: tuple[str, ...]
    pooling: str
    record: Mapping[str, Any] = field(repr=False)

    @property
    def columns(self) -> list[str]:
        """The row's metrics."""
        return [c for c in self.row if c not in (*_KEYS, "uses", "note") and "_" not in c]


@dataclass(frozen=True)
class Node:
    """A job, by its record, and the jobs whose outputs it read.

    Attributes:
        output: the file by which it was reached.
        record: what its record says; None for raw material, which has none.
        state: "" where the file stands as recorded, else what is odd about it.
        seen: the job stands elsewhere in the tree already; its inputs are listed there.
    """

    output: str
    record: Mapping[str, Any] | None = field(repr=False)
    state: str
    inputs: tuple[Node, ...] = ()
    seen: bool = False

    @property
    def curves(self) -> list[str]:
        """Training histories the job wrote."""
        return self._outputs(CURVES) if self._trains else []

    @property
    def images(self) -> list[str]:
        """Images the job wrote."""
        return self._outputs(IMAGES)

    @property
    def _trains(self) -> bool:
        return any(name.endswith(".pt") for name in (self.record or {}).get("outputs", ()))

    def _outputs(self, suffixes: tuple[str, ...]) -> list[str]:
        names = (self.record or {}).get("outputs", ())
        return sorted(name for name in names if name.endswith(suffixes))

    def to_dict(self) -> dict[str, Any]:
        """The tree as plain values, records whole."""
        return {
            "output": self.output,
            "state": self.state or "as recorded",
            "record": None if self.seen else self.record,
            "curves": self.curves,
            "images": self.images,
            "seen_above": self.seen,
            "inputs": [node.to_dict() for node in self.inputs],
        }


def find_cell(
    table: str | Path, method: str, source: str | None, target: str | None
) -> CellOfTable:
    """The row of a table and the scores behind it.

    Raises:
        UserError: no such table or record, or no such row: then with the names that are near.
    """
    table = relative(table)
    rows = _rows(table)
    record = read_json(record_path(table))
    found = [r for r in rows if r["method"] == method]
    found = [r for r in found if source in (None, r["source"]) and target in (None, r["target"])]
    if len(found) != 1:
        raise UserError(f"{table}: {_no_such_row(rows, method, source, target, len(found))}")
    row = found[0]
    cell = cell_of(Row(method, row["source"], row["target"], {}), record["params"]["methods"])
    if cell is None:
        return CellOfTable(table, row, (), "", record)
    direction = f"{row['source']}-{row['target']}"
    middle = f"/{cell.method}/{direction}/" if cell.method else f"/{direction}/"
    scores = [n for n in record["inputs"] if n.startswith("results/") and middle in n]
    if method == DATA_ROW:
        scores = scores[:1]  # every score brings the data sets' own values
    return CellOfTable(table, row, tuple(scores), cell.pooling, record)


def seeds_of(cell: CellOfTable, seed: int | None) -> list[str]:
    """The cell's scores, or the one of a seed.

    Raises:
        UserError: nothing was measured, or not with that seed.
    """
    name = f"{cell.row['method']} {cell.row['source']} to {cell.row['target']}"
    if not cell.scores:
        raise UserError(f"{cell.table}: {name} was not measured, so nothing stands behind it")
    chosen = [s for s in cell.scores if seed is None or Path(s).stem == f"seed{seed}"]
    if not chosen:
        there = ", ".join(Path(s).stem.removeprefix("seed") for s in cell.scores)
        raise UserError(f"{cell.table}: {name} has no seed {seed}; its seeds are {there}")
    return chosen


def value_in(score: str, cell: CellOfTable, metric: str) -> float | None:
    """A score's value of one of the table's metrics; None where the file holds none."""
    if not score.endswith(".json") or not Path(score).is_file():
        return None
    scored = read_json(score)
    if cell.row["method"] == DATA_ROW:
        scored = scored["reference"]
    if "pooling" in scored:
        value = scored["pooling"].get(cell.pooling, {}).get(_RATES[metric])
    else:
        value = scored.get(metric.lower())
    return None if value is None else float(value)


def lineage(output: str | Path) -> Node:
    """The tree behind a file; a job that is reached twice is written out once."""
    return _node(relative(output), None, {})


def walk(node: Node) -> Iterator[Node]:
    """A node and all below, each job once, inputs before what was made from them."""
    for below in node.inputs:
        yield from walk(below)
    if not node.seen:
        yield node


def drawn_from(node: Node, folder: str | Path = "results") -> list[str]:
    """Images below a folder that were drawn from models in the tree: rank lists, figures."""
    models = {
        name
        for one in walk(node)
        for name in (one.record or {}).get("outputs", ())
        if name.endswith(".pt") and "/data/" not in name and "/weights/" not in name
    }
    return sorted(
        name
        for name, record in all_records(folder).items()
        if name.endswith(IMAGES) and models & set(record["inputs"])
    )


def _node(output: str, expected: str | None, seen: dict[Path, str]) -> Node:
    path = record_path(output)
    if not path.is_file():
        return Node(output, None, "" if Path(output).exists() else "not there")
    record = read_json(path)
    state = _state(output, record, expected)
    home = Path(min(record["outputs"]))  # a job of several outputs has a record beside each
    if home in seen:
        return Node(output, record, state, seen=True)
    seen[home] = output
    inputs = []
    named: set[Path] = set()
    for name, sha256 in record["inputs"].items():
        beside = record_path(name)
        if beside.is_file():
            first = Path(min(read_json(beside)["outputs"]))
            if first in named:  # manifest and images of one data set are one job's
                continue
            named.add(first)
        inputs.append(_node(name, sha256, seen))
    return Node(output, record, state, tuple(inputs))


def _state(output: str, record: Mapping[str, Any], expected: str | None) -> str:
    made = record["outputs"].get(output)
    if made is None:
        return "not named in the record beside it"
    if expected is not None and made["sha256"] != expected:
        return "made anew since: not the one that was read"
    if not Path(output).is_file():
        return "deleted since"
    if Path(output).stat().st_size != made["bytes"]:
        return "changed since: its length is not the one recorded"
    return ""


def _rows(table: str) -> list[dict[str, str]]:
    rows = read_rows(table)
    if rows is None:
        raise UserError(f"{table}: no such file; make it first (snakemake {table})")
    if not rows or not {"method", "source", "target"} <= set(rows[0]):
        raise UserError(f"{table}: has no rows of methods; give a table such as results/table6.csv")
    return rows


def _no_such_row(
    rows: Sequence[Mapping[str, str]],
    method: str,
    source: str | None,
    target: str | None,
    found: int,
) -> str:
    wanted = f"{method!r}, {source or 'any source'} to {target or 'any target'}"
    if found:
        ends = sorted({f"{r['source']} to {r['target']}" for r in rows if r["method"] == method})
        return f"{found} rows are {wanted}; add --source and --target: {'; '.join(ends)}"
    names = list(dict.fromkeys(r["method"] for r in rows))
    if method in names:
        ends = sorted({f"{r['source']} to {r['target']}" for r in rows if r["method"] == method})
        return f"no row is {wanted}; {method} has {'; '.join(ends)}"
    lower = {name.lower(): name for name in names}
    near = [lower[n] for n in get_close_matches(method.lower(), lower, n=5, cutoff=0.4)]
    return f"no row is {wanted}; near names: {', '.join(near or names)}"
