"""Adapt a re-id CNN to the target without rendered images.

The method is crgan/adaptation/<model>.py. Direct Transfer changes nothing and needs no such job.

python -m stages.adapt --method pul --model pul \\
    --source market1501 --target dukemtmc --seed 0 \\
    --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --start artifacts/demo/d_id/market1501/seed0.pt \\
    --out artifacts/demo/adapted/pul/market1501-dukemtmc/seed0.pt
"""

from __future__ import annotations

import argparse

from crgan.common.io import load_torch, save_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("adapt", __doc__)
parser.cell("--method", help="entry of `methods` in the parameters")
parser.cell("--model", help="file of crgan/adaptation")
parser.cell("--source")
parser.cell("--target")
parser.cell("--seed", type=int)
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--target-manifest", beside=("images.npy",))
parser.input("--start", help="the re-id file to start from")
parser.output("--out", help="the adapted re-id file")


def body(args: argparse.Namespace, run: Run) -> None:
    """Adapt and write."""
    from crgan.adaptation.base import method, target_of
    from crgan.data.store import open_dataset
    from crgan.train.checkpoint import Checkpoint
    from crgan.train.compute import Compute

    seed_everything(run.seed, run.threads)
    size = tuple(run.params["image"]["train"])
    checkpoint = Checkpoint(run.checkpoint_path, run.checkpoint_seconds)
    target = open_dataset(args.target_manifest, size).split("train")
    file = method(args.model)(
        load_torch(args.start),
        open_dataset(args.source_manifest, size).split("train"),
        target_of(args.model, target, run.seed),
        run.params["adaptation"],
        seed=run.seed,
        checkpoint=checkpoint,
        compute=Compute.of({**run.params["run"], "processes": 1}, run.device),
    )
    save_torch(args.out, file)
    checkpoint.remove()


if __name__ == "__main__":
    run_stage(parser, body)
