"""A re-id CNN that has seen no re-id data: the pretrained backbone as it is, or random weights.

Methods that use no labelled source (BUC, TAUDL) start from it.

python -m stages.fresh_cnn --seed 0 --weights artifacts/demo/weights/backbone.pt \\
    --out artifacts/demo/fresh/seed0.pt
"""

from __future__ import annotations

import argparse

from crgan.common.io import load_torch, save_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("fresh_cnn", __doc__)
parser.cell("--seed", type=int)
parser.input("--weights", help="the backbone's pretrained weights (fetch_weights)")
parser.output("--out", help="the re-id file, without classifier")


def body(args: argparse.Namespace, run: Run) -> None:
    """Build and write."""
    from crgan.reid.model_file import reid_file
    from crgan.reid.pretrain import start_from

    seed_everything(run.seed, run.threads)
    start = start_from(run.params["cnn"], load_torch(args.weights), str(args.weights))
    size = run.params["image"]["train"]
    save_torch(args.out, reid_file(start.build(0), [], size, start.origin, start.notes()))


if __name__ == "__main__":
    run_stage(parser, body)
