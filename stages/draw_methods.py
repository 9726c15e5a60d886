"""Figure 7: the same source people rendered by each method, side by side.

A method whose renderings vary has several columns, of random contexts.

python -m stages.draw_methods --source market1501 --target dukemtmc \\
    --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --source-masks artifacts/demo/masks/market1501.h5 \\
    --target-masks artifacts/demo/masks/dukemtmc.h5 \\
    --gans \\
    artifacts/demo/gan/{crgan,wo_dual_cond,ptgan,spgan,m2mgan}/market1501-dukemtmc/seed0.pt \\
    --out results/figures/figure7-market1501-dukemtmc.png

`--gans` are those of `matrix.visual` in this direction, in its order.
"""

from __future__ import annotations

import argparse

import numpy as np

from crgan.common.errors import UserError
from crgan.common.io import load_torch
from crgan.common.seeding import seed_everything
from crgan.gan.base import load_method, open_task, towards
from crgan.looks.figures import draw_methods
from crgan.looks.generators import method_images
from crgan.looks.picks import different_first
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.tables.names import dataset_label, image_note

parser = StageParser("draw_methods", __doc__)
parser.cell("--source", help="source data set")
parser.cell("--target", help="target data set")
parser.input("--source-manifest", beside=("images.npy",), help="manifest of the source")
parser.input("--target-manifest", beside=("images.npy",), help="manifest of the target")
parser.input("--source-masks", help="masks of the source")
parser.input("--target-masks", help="masks of the target")
parser.input("--gans", nargs="+", help="the trained GANs")
parser.output("--out", help="Figure 7, .png")


def body(args: argparse.Namespace, run: Run) -> None:
    """Render and draw."""
    figures = run.params["figures"]
    seed_everything(figures["seed"], run.threads)
    direction = {"source": args.source, "target": args.target}
    cells = [c for c in run.params["matrix"]["visual"] if direction.items() <= c.items()]
    if len(cells) != len(args.gans):
        raise UserError(
            f"--gans: {len(args.gans)} files, but matrix.visual has {len(cells)} methods from "
            f"{args.source} to {args.target}; give their GANs in its order"
        )
    task = open_task(
        args.source_manifest, args.target_manifest, args.source_masks, args.target_masks,
        run.params["image"]["train"],
    )  # fmt: skip
    rng = np.random.default_rng(figures["seed"])
    rows = different_first(task.source.pid, figures["people"], rng)
    columns = []
    for cell, path in zip(cells, args.gans, strict=True):
        file = towards(load_torch(path), args.source, args.target, str(path))
        renderer = load_method(cell["model"]).load_renderer(file, task, run.device)
        label = run.params["methods"][cell["method"]]["label"]
        images = method_images(renderer, task, rows, figures["contexts"], figures["seed"])
        columns.append((label, images))
    note = (
        f"{dataset_label(args.source)} to {dataset_label(args.target)}. {image_note(run.profile)}"
    )
    draw_methods(task.source.images[rows], columns, note).save(args.out)


if __name__ == "__main__":
    run_stage(parser, body)
