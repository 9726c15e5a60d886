"""Which cells of the experiment matrix a table shows. The one place that says so.

The rules take the inputs of `make_table` from here, and the rows come from the same printed
tables, so a table waits for exactly what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crgan.tables.printed import FOLDER, cell_of, is_visual, table_rows

MatrixCell = Mapping[str, Any]
"""An entry of `matrix.gan`, `adapt`, `rendered`, `handcrafted` or `visual`: method, model, source,
target."""


def scored_cells(matrix: Mapping[str, Any]) -> list[MatrixCell]:
    """All cells that are evaluated by re-id."""
    groups = ("gan", "adapt", "rendered", "handcrafted")
    return [cell for group in groups for cell in matrix[group]]


def cells_of(
    table: int, params: Mapping[str, Any], folder: str | Path = FOLDER
) -> tuple[list[MatrixCell], list[MatrixCell]]:
    """The cells of table 1 to 7, in the matrix's order: (scored by re-id, scored by images).

    A printed row whose method or direction the matrix lacks asks for nothing: it stays empty.

    Args:
        table: the paper's number.
        params: all parameters; `matrix`, `methods` and `beyond` are read.
        folder: the printed tables.

    Raises:
        UserError: an unknown table, a damaged printed table, or two methods with one label.
    """
    printed = table_rows(table, folder, params["beyond"])
    wanted = set()
    for row in printed.rows:
        cell = cell_of(row, params["methods"])
        if cell is not None and cell.method is not None:
            wanted.add((cell.method, row.source, row.target))
    matrix = params["matrix"]
    candidates = matrix["visual"] if is_visual(printed) else scored_cells(matrix)
    found = [c for c in candidates if (c["method"], c["source"], c["target"]) in wanted]
    return ([], found) if is_visual(printed) else (found, [])
