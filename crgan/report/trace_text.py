"""The tree behind a cell, as text."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from crgan.report.trace import CellOfTable, Node, drawn_from, value_in
from crgan.tables.names import profile_warning


def show(
    console: Console,
    cell: CellOfTable,
    trees: Mapping[str, Node],
    metric: str | None,
    *,
    params: bool = True,
) -> None:
    """Print a cell's row, then the tree behind each of its scores.

    Args:
        trees: by score file.
        metric: one column; all of the table's where None.
        params: whether each job's parameters are written out.
    """
    row = cell.row
    metrics = [metric] if metric else cell.columns
    values = ", ".join(f"{m} {row[m] or '-'}" for m in metrics)
    console.print(
        f"[bold]{escape(cell.table)}[/]: {escape(row['method'])}, {row['source']} to "
        f"{row['target']}: [bold]{values}[/]",
        f"profile {row['profile']}: {profile_warning(row['profile'])}",
        sep="\n",
    )
    if row.get("note"):
        console.print(f"note: {row['note']}", markup=False)
    for score, node in trees.items():
        tree = Tree(_head(node))
        found = {m: value_in(score, cell, m) for m in metrics}
        texts = [f"{m} {value:.2f}" for m, value in found.items() if value is not None]
        if texts:
            of = f" ({cell.pooling})" if cell.pooling else ""
            tree.add(f"[bold]{', '.join(texts)}[/]{of}")
        _fill(tree, node, params)
        console.print(tree)
        if drawn := drawn_from(node):
            console.print(f"drawn from these models: {', '.join(drawn)}", markup=False)


def _fill(tree: Tree, node: Node, params: bool) -> None:
    if node.seen:
        tree.add("[dim]its inputs stand above[/]")
        return
    for line in _facts(node, params):
        tree.add(line)
    for below in node.inputs:
        _fill(tree.add(_head(below)), below, params)


def _head(node: Node) -> str:
    stage = f" [cyan]{node.record['stage']}[/]" if node.record else " [dim]raw material[/]"
    odd = f" [red]{escape(node.state)}[/]" if node.state else ""
    return f"{escape(node.output)}{stage}{odd}"


def _facts(node: Node, params: bool) -> Iterator[str]:
    if node.record is None:
        return
    run = node.record["run"]
    where = [run["machine"], run.get("gpu") or run["device"], f"{run['threads']} threads"]
    made = [run.get("started") or "", f"commit {run['commit']}", f"{run['wall_seconds']:.1f} s"]
    made += [f"{run['peak_memory_mb']:.0f} MB", *where, f"Python {run['python']}"]
    made.append(f"image {run['image']}" if run.get("image") else "no container")
    yield f"[dim]{escape(', '.join(text for text in made if text))}[/]"
    if params:
        flat = ", ".join(f"{key}={value}" for key, value in flatten(node.record["params"]))
        yield f"[dim]parameters: {escape(flat)}[/]"
    for name in node.curves:
        yield f"training curve: {escape(name)}{escape(_last_line(name))}"
    if node.images:
        yield f"images: {escape(', '.join(node.images))}"


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A nested dict's leaves by dotted key."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flatten(inner, f"{prefix}{key}.")
    else:
        yield prefix[:-1], value


def _last_line(name: str) -> str:
    """Where a history ended."""
    if not Path(name).is_file():
        return " (deleted since)"
    with open(name, newline="", encoding="utf-8") as file:
        rows: Sequence[Mapping[str, str]] = list(csv.DictReader(file))
    if not rows:
        return ""
    return f" ({len(rows)} rows; last: {', '.join(f'{k} {v}' for k, v in rows[-1].items())})"
