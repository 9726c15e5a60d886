"""Build one of the paper's tables: measured values beside the printed ones.

    python -m stages.make_table --table 2 --printed reported/table2.csv \\
        --cells results/demo/cells/*/*/*.json --out results/table2.csv --readable results/table2.md

Give the scores of the cells the table shows (`crgan.tables.cells.cells_of`). A score that the
present parameters and sources would not make again is refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.pipeline.records import mixed_versions
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.tables.printed import is_visual, printed_inputs, table_rows
from crgan.tables.readable import markdown
from crgan.tables.scores import read_scores
from crgan.tables.tables import build, with_versions, write_csv

parser = StageParser("make_table", __doc__)
parser.cell("--table", type=int, choices=range(1, 8), help="which table")
parser.input("--printed", nargs="+", help="the table as printed; 5 to 7 also need Table 2")
parser.results("--cells", "re-id scores")
parser.results("--visual", "LPIPS and FID scores")
parser.output("--out", help="the table")
parser.output("--readable", help="the same for people, Markdown")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, check and write."""
    folder = _folder_of_printed(args.table, args.printed)
    printed = table_rows(args.table, folder, run.params["beyond"])
    unused = args.cells if is_visual(printed) else args.visual
    if unused:
        wanted = "--visual" if is_visual(printed) else "--cells"
        raise UserError(f"{unused[0]}: table {args.table} takes its scores by {wanted} alone")
    matrix, methods = run.params["matrix"], run.params["methods"]
    scores = read_scores(
        [*args.cells, *args.visual],
        profile=run.profile,
        seeds=matrix["seeds"],
        why_stale=run.auditor().why_stale,
    )
    table = build(
        printed, scores,
        profile=run.profile, methods=methods, seeds=matrix["seeds"], chosen=run.params["chosen"],
    )  # fmt: skip
    table = with_versions(table, mixed_versions([*args.cells, *args.visual]))
    write_csv(args.out, table)
    with atomic_path(args.readable) as temporary:
        temporary.write_text(markdown(table), encoding="utf-8")


def _folder_of_printed(number: int, given: list[Path]) -> Path:
    """The folder of the printed tables, when exactly those this table reads were given."""
    folder = given[0].parent
    needed = printed_inputs(number, folder)
    if sorted(given) != sorted(needed):
        raise UserError(
            f"--printed {' '.join(map(str, given))}: table {number} is built from "
            f"{' '.join(map(str, needed))}"
        )
    return folder


if __name__ == "__main__":
    run_stage(parser, body)
