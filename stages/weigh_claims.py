"""Weigh the paper's claims on measured cells: holds, fails or undecided, by bootstrap intervals.

python -m stages.weigh_claims --claims reported/claims.yaml --printed reported/table[1-7].csv \\
    --queries results/demo/queries/*/* --visual results/demo/visual/*/* \\
    --judged results/demo/judged/*/* --out results/claims.csv --readable results/claims.md

Give the results of the cells that the claims compare (`crgan.tables.claims.cells_needed`). A result
that the present parameters and sources would not make again is refused.
"""

from __future__ import annotations

import argparse

from crgan.common.io import atomic_path
from crgan.common.settings import settings_from
from crgan.metrics.bootstrap import Settings
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.tables.claims import comparisons, load_claims
from crgan.tables.claims_page import markdown, write_csv
from crgan.tables.measured import read_measured
from crgan.tables.weigh import weigh

parser = StageParser("weigh_claims", __doc__)
parser.input("--claims", help="the claims, YAML")
parser.input("--printed", nargs="+", help="the seven tables as printed")
parser.results("--queries", "per-query results", suffix=".npz")
parser.results("--visual", "LPIPS and FID scores")
parser.results("--judged", "what the judges said")
parser.output("--out", help="the verdicts, CSV")
parser.output("--readable", help="the same for people, Markdown")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, weigh and write."""
    settings = settings_from(Settings, run.params["intervals"], "intervals")
    claims = load_claims(args.claims)
    queries, images = read_measured(run, args.queries, args.visual, args.judged)
    weighed = weigh(
        comparisons(claims.measured, args.printed[0].parent),
        queries, images, params=run.params, settings=settings,
    )  # fmt: skip
    write_csv(args.out, weighed, claims.unmeasured, run.profile)
    with atomic_path(args.readable) as temporary:
        text = markdown(weighed, claims.unmeasured, profile=run.profile, settings=settings)
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_stage(parser, body)
