"""Curves of a training: every column of its history against the iteration.

python -m crgan.report.curves artifacts/demo/gan/crgan/*/seed0.csv --out curves.png

Several histories of one kind of training are drawn into the same panels.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from crgan.common.errors import UserError
from crgan.common.io import atomic_path

_X = "iteration"
_COLUMNS = 3  # panels a line
_PANEL = (3.6, 2.2)  # inches


def read_history(path: str | Path) -> dict[str, list[float]]:
    """The columns of a history; an empty cell (a loss that is not computed) is NaN.

    Raises:
        UserError: missing file, or one that is no history.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
        if _X not in header or not rows:
            raise UserError(f"{path}: columns {','.join(header)}, {len(rows)} rows; no history")
        columns = zip(*rows, strict=True)
        return {
            name: [float(cell) if cell else float("nan") for cell in column]
            for name, column in zip(header, columns, strict=True)
        }
    except FileNotFoundError:
        raise UserError(f"{path}: no such history") from None
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{path}: not a readable history ({error})") from None


def draw_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """One panel for each column, one line in it for each history that has the column.

    Args:
        histories: {label: columns}; each has `iteration`.
    """
    names = dict.fromkeys(name for columns in histories.values() for name in columns if name != _X)
    lines = -(-len(names) // _COLUMNS)
    figure = Figure((_COLUMNS * _PANEL[0], lines * _PANEL[1]), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(names, 1):
        axes = figure.add_subplot(lines, _COLUMNS, place)
        for label, columns in histories.items():
            if name in columns:
                axes.plot(columns[_X], columns[name], label=label, linewidth=1)
        axes.set_title(name, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    if len(histories) > 1:
        figure.axes[0].legend(fontsize=7)
    return figure


def main(argv: list[str] | None = None) -> None:
    """Draw the histories that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m crgan.report.curves", description=__doc__)
    parser.add_argument("histories", nargs="+", type=Path, metavar="HISTORY")
    parser.add_argument("--out", type=Path, required=True, help="the image, .png")
    args = parser.parse_args(argv)
    try:
        figure = draw_curves({str(path): read_history(path) for path in args.histories})
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    with atomic_path(args.out) as temporary:
        # matplotlib would write its own version into the file
        figure.savefig(temporary, format="png", metadata={"Software": None})


if __name__ == "__main__":
    main()
