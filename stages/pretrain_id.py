"""Pre-train D_id, the re-id CNN, on the source's identities (Alg. 1, I).

python -m stages.pretrain_id --source market1501 --seed 0 \\
    --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --weights artifacts/demo/weights/backbone.pt \\
    --out artifacts/demo/d_id/market1501/seed0.pt --history artifacts/demo/d_id/market1501/seed0.csv
"""

from __future__ import annotations

import argparse

from crgan.common.io import load_torch, save_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("pretrain_id", __doc__)
parser.cell("--source", help="name of the labelled source")
parser.cell("--seed", type=int)
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--weights", help="weights the backbone starts from (fetch_weights)")
parser.output("--out", help="the re-id file")
parser.output("--history", help="loss, rate and training accuracy, CSV")


def body(args: argparse.Namespace, run: Run) -> None:
    """Train and write."""
    from crgan.data.store import open_dataset
    from crgan.reid.pretrain import id_recipe, pretrain_id, start_from
    from crgan.train.checkpoint import Checkpoint
    from crgan.train.compute import Compute

    seed_everything(run.seed, run.threads)
    compute = Compute.of(run.params["run"], run.device).launch()
    cnn = run.params["cnn"]
    start = start_from(cnn, load_torch(args.weights), str(args.weights))
    recipe = id_recipe(cnn, run.params["pretrain_id"])
    source = open_dataset(args.source_manifest, tuple(run.params["image"]["train"]))
    checkpoint = Checkpoint(run.checkpoint_path, run.checkpoint_seconds)
    file, history = pretrain_id(
        source.split("train"),
        start,
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
