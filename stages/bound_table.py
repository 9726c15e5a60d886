"""A table's companion: each measured value with its bootstrap interval over queries and seeds.

python -m stages.bound_table --table 2 --printed reported/table2.csv \\
    --queries results/demo/queries/*/* \\
    --out results/intervals/table2.csv --readable results/intervals/table2.md

Give the results of the cells the table shows. A result that the present parameters and sources
would not make again is refused.
"""

from __future__ import annotations

import argparse

from crgan.common.io import atomic_path
from crgan.common.settings import settings_from
from crgan.metrics.bootstrap import Settings
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.tables.intervals import bound, markdown, write_csv
from crgan.tables.measured import read_measured
from crgan.tables.printed import table_rows

parser = StageParser("bound_table", __doc__)
parser.cell("--table", type=int, choices=range(1, 8), help="which table")
parser.input("--printed", nargs="+", help="the table as printed; 5 to 7 also need Table 2")
parser.results("--queries", "per-query results", suffix=".npz")
parser.results("--visual", "LPIPS and FID scores")
parser.output("--out", help="the intervals, CSV")
parser.output("--readable", help="the same for people, Markdown")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, draw and write."""
    settings = settings_from(Settings, run.params["intervals"], "intervals")
    printed = table_rows(args.table, args.printed[0].parent, run.params["beyond"])
    queries, images = read_measured(run, args.queries, args.visual)
    lines = bound(printed, queries, images, params=run.params, settings=settings)
    write_csv(args.out, printed, lines, run.profile)
    with atomic_path(args.readable) as temporary:
        temporary.write_text(markdown(printed, lines, run.profile, settings), encoding="utf-8")


if __name__ == "__main__":
    run_stage(parser, body)
