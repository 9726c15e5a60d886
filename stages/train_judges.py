"""Train judges of renderings that no GAN has seen: of identities, and of both data sets' cameras.

python -m stages.train_judges --source market1501 --target dukemtmc \\
    --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --weights artifacts/demo/weights/backbone.pt \\
    --out artifacts/demo/judges/market1501-dukemtmc.pt
"""

from __future__ import annotations

import argparse

from crgan.common.io import load_torch, save_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("train_judges", __doc__)
parser.cell("--source")
parser.cell("--target")
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--target-manifest", beside=("images.npy",))
parser.input("--weights", help="the backbone's pretrained weights (fetch_weights)")
parser.output("--out", help="both judges")


def body(args: argparse.Namespace, run: Run) -> None:
    """Train and write."""
    from crgan.common.settings import settings_from
    from crgan.data.store import open_dataset
    from crgan.reid.judging import Settings, train_judges
    from crgan.reid.pretrain import id_recipe, start_from
    from crgan.train.checkpoint import Checkpoint
    from crgan.train.classifier import Recipe
    from crgan.train.compute import Compute

    settings = settings_from(Settings, run.params["judges"], "judges")
    seed_everything(settings.seed, run.threads)
    cnn, camera = run.params["cnn"], dict(run.params["pretrain_cam"])
    width = camera.pop("width")
    size = run.params["image"]["train"]
    source, target = (
        open_dataset(path, size).split("train")
        for path in (args.source_manifest, args.target_manifest)
    )
    checkpoint = Checkpoint(run.checkpoint_path, run.checkpoint_seconds)
    file = train_judges(
        source,
        target,
        start_from(cnn, load_torch(args.weights), str(args.weights)),
        id_recipe(cnn, run.params["pretrain_id"]),
        width,
        settings_from(Recipe, camera, "pretrain_cam"),
        seed=settings.seed,
        checkpoint=checkpoint,
        compute=Compute(device=run.device),
    )
    save_torch(args.out, file)
    checkpoint.remove()


if __name__ == "__main__":
    run_stage(parser, body)
