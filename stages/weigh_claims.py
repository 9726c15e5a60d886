"""Weigh the paper's claims on measured cells: holds, fails or undecided, by bootstrap intervals.

python -m stages.weigh_claims --claims reported/claims.yaml --printed reported/table[1-7].csv \\
    --queries results/demo/queries/*/* --visual results/demo/visual/*/* \\
    --judged results/demo/judged/*/* --out results/claims.csv --readable results/claims.md

Give the results of the cells that the claims compare (`crgan.report.claims.cells_needed`). A result
that the present parameters and sources would not make again is refused.
"""

from __future__ import annotations

import argparse

from crgan.metrics.bootstrap import Settings
from crgan.report.claims import comparisons, load_claims
from crgan.report.claims_page import markdown, write_csv
from crgan.report.queries import Queries
from crgan.report.weigh import Pictures, weigh
from crgan.run import params as parameters
from crgan.run.hashes import Hashes
from crgan.run.io import atomic_path
from crgan.run.provenance import Judge
from crgan.run.settings import settings_from
from crgan.run.stage import Run, StageParser, run_stage

parser = StageParser("weigh_claims", __doc__)
QUERIES, SCORE = "seed{seed}.npz", "seed{seed}.json"
parser.input("--claims", help="the claims, YAML")
parser.input("--printed", nargs="+", help="the seven tables as printed")
parser.input(
    "--queries", nargs="*", default=[], required=False, inside=QUERIES,
    help="per-query results, or their folders (then one file a seed of the matrix)",
)  # fmt: skip
parser.input(
    "--visual", nargs="*", default=[], required=False, inside=SCORE,
    help="LPIPS and FID scores, or their folders",
)  # fmt: skip
parser.input(
    "--judged", nargs="*", default=[], required=False, inside=SCORE,
    help="what the judges said, or their folders",
)  # fmt: skip
parser.output("--out", help="the verdicts, CSV")
parser.output("--readable", help="the same for people, Markdown")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, weigh and write."""
    settings = settings_from(Settings, run.params["intervals"], "intervals")
    claims = load_claims(args.claims)
    why_stale = Judge(parameters.load(), hashes=Hashes()).why_stale
    seeds = run.params["matrix"]["seeds"]
    pictures = Pictures(
        args.visual, args.judged, profile=run.profile, seeds=seeds, why_stale=why_stale
    )
    queries = Queries(args.queries, profile=run.profile, why_stale=why_stale)
    weighed = weigh(
        comparisons(claims.measured, args.printed[0].parent),
        queries, pictures, params=run.params, settings=settings,
    )  # fmt: skip
    write_csv(args.out, weighed, claims.unmeasured, run.profile)
    with atomic_path(args.readable) as temporary:
        text = markdown(weighed, claims.unmeasured, profile=run.profile, settings=settings)
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run_stage(parser, body)
