"""Train an image-level rival between two data sets: PTGAN, SPGAN, M2M-GAN. Both directions at once.

    python -m stages.train_translation --method spgan --model spgan --a market1501 --b dukemtmc \\
        --seed 0 --a-manifest artifacts/demo/data/market1501/manifest.csv \\
        --b-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
        --a-masks artifacts/demo/masks/market1501.h5 --b-masks artifacts/demo/masks/dukemtmc.h5 \\
        --out artifacts/demo/gan/spgan/market1501-dukemtmc/seed0.pt \\
        --history artifacts/demo/gan/spgan/market1501-dukemtmc/seed0.csv \\
        --samples artifacts/demo/gan/spgan/market1501-dukemtmc/seed0.png

Only training splits are read, and of them images, masks (PTGAN) and cameras (M2M-GAN, PTGAN's
transfer to single cameras), never identities. While it runs, the last sample grids and the history
so far lie in the scratch folder.
"""

from __future__ import annotations

import argparse

from crgan.common.io import save_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("train_translation", __doc__)
parser.cell("--method", help="name under `methods` in params.yaml")
parser.cell("--model", help="the method's file in crgan/gan")
parser.cell("--a", help="data set")
parser.cell("--b", help="the other data set")
parser.cell("--seed", type=int)
parser.input("--a-manifest", beside=("images.npy",))
parser.input("--b-manifest", beside=("images.npy",))
parser.input("--a-masks", help="masks of a (.h5)")
parser.input("--b-masks", help="masks of b (.h5)")
parser.output("--out", help="the GAN file")
parser.output("--history", help="losses and learning rates (CSV)")
parser.output("--samples", help="fixed sample images at every interval (PNG)")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, train and write."""
    from crgan.gan.base import load_translation, open_task
    from crgan.looks.samples import Sheet
    from crgan.train.checkpoint import Checkpoint
    from crgan.train.compute import Compute

    seed_everything(run.seed, run.threads)
    compute = Compute.of(run.params["run"], run.device).launch()
    task = open_task(
        args.a_manifest, args.b_manifest, args.a_masks, args.b_masks, run.params["image"]["train"]
    )
    checkpoint = Checkpoint(run.checkpoint_path, run.checkpoint_seconds)

    sheet = Sheet(run.scratch("history.csv").parent)
    trained = load_translation(args.model).train(
        task, run.params["translation"],
        seed=run.seed, checkpoint=checkpoint, watch=sheet, compute=compute,
    )  # fmt: skip
    if not run.writes:
        return
    save_torch(args.out, {**trained.file, "domains": [args.a, args.b]})
    trained.history.write(args.history)
    sheet.write(args.samples)
    checkpoint.remove()


if __name__ == "__main__":
    run_stage(parser, body)
