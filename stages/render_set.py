"""Render the labelled source once and keep it, as the image-level rivals do.

python -m stages.render_set --method spgan --model spgan --source market1501 --target dukemtmc \\
    --seed 0 --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --source-masks artifacts/demo/masks/market1501.h5 \\
    --target-masks artifacts/demo/masks/dukemtmc.h5 \\
    --gan artifacts/demo/gan/spgan/market1501-dukemtmc/seed0.pt \\
    --out artifacts/demo/sets/spgan/market1501-dukemtmc/seed0.h5
"""

from __future__ import annotations

import argparse

from crgan.common.io import load_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("render_set", __doc__)
parser.cell("--method", help="entry of `methods` in the parameters")
parser.cell("--model", help="file of crgan/gan that renders")
parser.cell("--source")
parser.cell("--target")
parser.cell("--seed", type=int)
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--target-manifest", beside=("images.npy",))
parser.input("--source-masks")
parser.input("--target-masks")
parser.input("--gan", help="the trained GAN")
parser.output("--out", help="the rendered set (.h5)")


def body(args: argparse.Namespace, run: Run) -> None:
    """Render and write."""
    from crgan.common.settings import settings_from
    from crgan.gan.base import load_method, open_task, towards
    from crgan.gan.rendered_set import Settings, write_set

    seed_everything(run.seed, run.threads)
    settings = settings_from(Settings, run.params["render_set"], "render_set")
    task = open_task(
        args.source_manifest, args.target_manifest, args.source_masks, args.target_masks,
        run.params["image"]["train"],
    )  # fmt: skip
    gan = towards(load_torch(args.gan), args.source, args.target, str(args.gan))
    renderer = load_method(args.model).load_renderer(gan, task, run.device)
    write_set(args.out, task.source, renderer, settings, args.source_manifest, run.device)


if __name__ == "__main__":
    run_stage(parser, body)
