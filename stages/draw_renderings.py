"""Figure 6: source persons rendered into target contexts, with and without the dual condition.

Beside it a sheet of how images come about: X_S, X_T, M_T, X'_T, X_R, X_C and X_G.
"""

from __future__ import annotations

import argparse

import numpy as np

from crgan.common.io import load_torch
from crgan.common.seeding import seed_everything
from crgan.gan.base import open_task
from crgan.gan.crgan import load_generator
from crgan.looks.figures import draw_columns, draw_renderings
from crgan.looks.generators import part_columns, render_grid
from crgan.looks.picks import pick_pairs
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.tables.names import dataset_label, image_note

parser = StageParser("draw_renderings", __doc__)
parser.cell("--source", help="source data set")
parser.cell("--target", help="target data set")
parser.input("--source-manifest", beside=("images.npy",), help="manifest of the source")
parser.input("--target-manifest", beside=("images.npy",), help="manifest of the target")
parser.input("--source-masks", help="masks of the source")
parser.input("--target-masks", help="masks of the target")
parser.input("--gan", help="CR-GAN")
parser.input("--baseline-gan", help="CR-GAN without the dual condition")
parser.output("--out", help="Figure 6, .png")
parser.output("--parts", help="the sheet of parts, .png")


def body(args: argparse.Namespace, run: Run) -> None:
    """Render and draw."""
    figures = run.params["figures"]
    seed_everything(figures["seed"], run.threads)
    gan, baseline = (
        load_generator(load_torch(path), "cpu", str(path)) for path in (args.gan, args.baseline_gan)
    )
    task = open_task(
        args.source_manifest,
        args.target_manifest,
        args.source_masks,
        args.target_masks,
        run.params["image"]["train"],
    )
    rng = np.random.default_rng(figures["seed"])
    s_rows, t_rows = pick_pairs(
        task.source, task.target, figures["people"], figures["renderings"], rng
    )
    note = (
        f"{dataset_label(args.source)} to {dataset_label(args.target)}. {image_note(run.profile)}"
    )
    draw_renderings(render_grid(gan, baseline, task, s_rows, t_rows), note).save(args.out)
    pairs = min(len(s_rows), len(t_rows))
    columns = part_columns(gan, task, s_rows[:pairs], t_rows[:pairs])
    draw_columns(columns, note).save(args.parts)


if __name__ == "__main__":
    run_stage(parser, body)
