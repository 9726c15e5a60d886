"""The extra table of renderings (beyond the paper): identity, domain, camera, diversity.

python -m stages.tabulate_renderings --judged results/demo/judged/*/* \\
    --out results/renderings.csv --readable results/renderings.md
"""

from __future__ import annotations

import argparse

from crgan.report.renderings import lines_of, markdown, write_csv
from crgan.run import params as parameters
from crgan.run.hashes import Hashes
from crgan.run.io import atomic_path
from crgan.run.provenance import Judge
from crgan.run.stage import Run, StageParser, run_stage

parser = StageParser("tabulate_renderings", __doc__)
parser.input(
    "--judged", nargs="+", inside="seed{seed}.json",
    help="what the judges said, or their folders (then one file a seed of the matrix)",
)  # fmt: skip
parser.output("--out", help="the table")
parser.output("--readable", help="the same for people, Markdown")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, check and write."""
    lines = lines_of(
        args.judged,
        profile=run.profile,
        methods=run.params["methods"],
        why_stale=Judge(parameters.load(), hashes=Hashes()).why_stale,
    )
    write_csv(args.out, lines, run.profile)
    with atomic_path(args.readable) as temporary:
        temporary.write_text(markdown(lines, run.profile), encoding="utf-8")


if __name__ == "__main__":
    run_stage(parser, body)
