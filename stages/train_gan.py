"""Train an image-level method from source to target: for CR-GAN Algorithm 1, part II.

    python -m stages.train_gan --method crgan --model crgan --source market1501 \\
        --target dukemtmc --seed 0 --source-manifest ... --target-manifest ... \\
        --source-masks ... --target-masks ... --d-id ... --d-cam ... \\
        --out gan.pt --history gan.csv --samples gan.png

Only training splits are read; of the target only images, masks and cameras. While it runs, the
last sample grids and the history so far lie in the scratch folder.
"""

from __future__ import annotations

import argparse

from crgan.common.io import load_torch, save_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("train_gan", __doc__)
parser.cell("--method", help="name under `methods` in params.yaml")
parser.cell("--model", help="the method's file in crgan/gan")
parser.cell("--source")
parser.cell("--target")
parser.cell("--seed", type=int)
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--target-manifest", beside=("images.npy",))
parser.input("--source-masks", help="masks of the source (.h5)")
parser.input("--target-masks", help="masks of the target (.h5)")
parser.input("--d-id", help="D_id, pre-trained on the source")
parser.input("--d-cam", help="D_cam, pre-trained on the target")
parser.output("--out", help="the GAN file")
parser.output("--history", help="losses and learning rates (CSV)")
parser.output("--samples", help="fixed sample pairs at every interval (PNG)")


def body(args: argparse.Namespace, run: Run) -> None:
    """Read, train and write."""
    from crgan.gan.base import Classifier, load_method, open_task
    from crgan.looks.samples import Sheet
    from crgan.reid.model_file import build_camera, build_reid
    from crgan.train.checkpoint import Checkpoint
    from crgan.train.compute import Compute

    seed_everything(run.seed, run.threads)
    compute = Compute.of(run.params["run"], run.device).launch()
    task = open_task(
        args.source_manifest, args.target_manifest, args.source_masks, args.target_masks,
        run.params["image"]["train"],
    )  # fmt: skip
    d_id, d_cam = load_torch(args.d_id), load_torch(args.d_cam)
    checkpoint = Checkpoint(run.checkpoint_path, run.checkpoint_seconds)

    sheet = Sheet(run.scratch("history.csv").parent)
    trained = load_method(args.model).train(
        task,
        Classifier(build_reid(d_id, str(args.d_id)), tuple(d_id["pids"]), str(args.d_id)),
        Classifier(build_camera(d_cam, str(args.d_cam)), tuple(d_cam["camids"]), str(args.d_cam)),
        run.params["loss"],
        run.params["gan"],
        seed=run.seed,
        checkpoint=checkpoint,
        watch=sheet,
        compute=compute,
    )
    if not run.writes:
        return
    save_torch(args.out, {**trained.file, "notes": d_id["notes"]})
    trained.history.write(args.history)
    sheet.write(args.samples)
    checkpoint.remove()


if __name__ == "__main__":
    run_stage(parser, body)
