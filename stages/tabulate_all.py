"""Every measured cell in one table, printed in the paper or not: methods, directions, poolings.

python -m stages.tabulate_all --cells results/demo/cells/*/* \\
    --out results/all.csv --readable results/all.md

Give the scores of all cells of the matrix. A score that the present parameters and sources would
not make again is refused.
"""

from __future__ import annotations

import argparse

from crgan.common.io import atomic_path
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.tables.all_cells import lines_of, markdown, write_csv
from crgan.tables.scores import read_scores

parser = StageParser("tabulate_all", __doc__)
parser.results("--cells", "re-id scores")
parser.output("--out", help="the table")
parser.output("--readable", help="the same for people, Markdown")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, check and write."""
    scores = read_scores(
        args.cells,
        profile=run.profile,
        seeds=run.params["matrix"]["seeds"],
        why_stale=run.auditor().why_stale,
    )
    lines = lines_of(scores, methods=run.params["methods"], chosen=run.params["chosen"])
    write_csv(args.out, lines, run.profile)
    with atomic_path(args.readable) as temporary:
        temporary.write_text(markdown(lines, run.profile), encoding="utf-8")


if __name__ == "__main__":
    run_stage(parser, body)
