"""CMC curves of a table's rows: percent of queries answered by rank 1 to 30, means over seeds.

python -m stages.tabulate_cmc --table 2 --printed reported/table2.csv \\
    --queries results/demo/queries/*/* --out results/curves/table2.csv

Give the results of the cells the table shows. A result that the present parameters and sources
would not make again is refused. Tables 1 and 4 are of images and have no ranks.
"""

from __future__ import annotations

import argparse

from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.tables.cmc import curves, write_csv
from crgan.tables.measured import read_measured
from crgan.tables.printed import table_rows

parser = StageParser("tabulate_cmc", __doc__)
parser.cell("--table", type=int, choices=(2, 3, 5, 6, 7), help="which table")
parser.input("--printed", nargs="+", help="the table as printed; 5 to 7 also need Table 2")
parser.results("--queries", "per-query results", suffix=".npz")
parser.output("--out", help="the curves, CSV")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, count and write."""
    printed = table_rows(args.table, args.printed[0].parent, run.params["beyond"])
    queries, _ = read_measured(run, args.queries)
    write_csv(args.out, curves(printed, queries, run.params["methods"]), run.profile)


if __name__ == "__main__":
    run_stage(parser, body)
