"""Pre-train D_cam, the camera classifier, on the target's camera labels (Alg. 1, I).

python -m stages.pretrain_cam --target dukemtmc --seed 0 \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --out artifacts/demo/d_cam/dukemtmc/seed0.pt --history artifacts/demo/d_cam/dukemtmc/seed0.csv
"""

from __future__ import annotations

import argparse

from crgan.common.io import save_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("pretrain_cam", __doc__)
parser.cell("--target", help="name of the target")
parser.cell("--seed", type=int)
parser.input("--target-manifest", beside=("images.npy",))
parser.output("--out", help="the camera file")
parser.output("--history", help="loss, rate and training accuracy, CSV")


def body(args: argparse.Namespace, run: Run) -> None:
    """Train and write."""
    from crgan.common.settings import settings_from
    from crgan.data.store import open_dataset
    from crgan.reid.pretrain import pretrain_cam
    from crgan.train.checkpoint import Checkpoint
    from crgan.train.classifier import Recipe
    from crgan.train.compute import Compute

    seed_everything(run.seed, run.threads)
    compute = Compute.of(run.params["run"], run.device).launch()
    settings = dict(run.params["pretrain_cam"])
    width = settings.pop("width")
    recipe = settings_from(Recipe, settings, "pretrain_cam")
    target = open_dataset(args.target_manifest, tuple(run.params["image"]["train"]))
    checkpoint = Checkpoint(run.checkpoint_path, run.checkpoint_seconds)
    file, history = pretrain_cam(
        target.split("train"),
        width,
        recipe,
        seed=run.seed,
        checkpoint=checkpoint,
        compute=compute,
    )
    if not run.writes:
        return
    save_torch(args.out, file)
    history.write(args.history)
    checkpoint.remove()


if __name__ == "__main__":
    run_stage(parser, body)
