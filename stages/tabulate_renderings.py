"""The extra table of renderings (beyond the paper): LPIPS, FID and what the judges say.

python -m stages.tabulate_renderings --judged results/demo/judged/*/* \\
    --visual results/demo/visual/*/* \\
    --out results/renderings.csv --readable results/renderings.md
"""

from __future__ import annotations

import argparse

from crgan.common.io import atomic_path
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.tables.renderings import lines_of, markdown, write_csv

parser = StageParser("tabulate_renderings", __doc__)
parser.results("--judged", "what the judges said", required=True)
parser.results("--visual", "LPIPS and FID scores", required=True)
parser.output("--out", help="the table")
parser.output("--readable", help="the same for people, Markdown")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, check and write."""
    lines = lines_of(
        args.judged,
        args.visual,
        profile=run.profile,
        methods=run.params["methods"],
        why_stale=run.auditor().why_stale,
    )
    write_csv(args.out, lines, run.profile)
    with atomic_path(args.readable) as temporary:
        temporary.write_text(markdown(lines, run.profile), encoding="utf-8")


if __name__ == "__main__":
    run_stage(parser, body)
