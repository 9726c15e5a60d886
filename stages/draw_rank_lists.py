"""Rank lists of one model: some queries and the gallery images nearest to each."""

from __future__ import annotations

import argparse

import numpy as np

from crgan.common.io import load_torch
from crgan.common.seeding import seed_everything
from crgan.data.store import open_dataset
from crgan.looks.picks import pick_queries
from crgan.looks.rank_lists import draw_rank_lists, list_found
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.reid.evaluate import query_and_gallery
from crgan.reid.features import extract
from crgan.reid.model_file import build_reid
from crgan.tables.names import dataset_label, image_note

parser = StageParser("draw_rank_lists", __doc__)
parser.cell("--method", help="key of `methods` in params.yaml")
parser.cell("--source", help="source data set")
parser.cell("--target", help="target data set")
parser.cell("--seed", type=int)
parser.input("--target-manifest", beside=("images.npy",), help="manifest of the target")
parser.input("--reid", help="the re-id model")
parser.output("--out", help="the image, .png")

_HOW_TO_READ = (
    "✓ solid green: the same person; ✗ dashed red: another.",
    "Removed: junk, and images of the query's person by the query's own camera.",
)


def body(args: argparse.Namespace, run: Run) -> None:
    """Rank and draw."""
    seed_everything(run.seed, run.threads)
    figures, protocol = run.params["figures"], run.params["evaluate"]
    net = build_reid(load_torch(args.reid), str(args.reid))
    query, gallery = query_and_gallery(
        open_dataset(args.target_manifest, tuple(run.params["image"]["train"]))
    )
    shown = query_and_gallery(open_dataset(args.target_manifest))
    features = tuple(
        extract(
            net,
            split.images,
            parts=protocol["lmp_parts"],
            feature=protocol["feature"],
            device=run.device,
            description=name,
        ).pooled
        for name, split in (("query", query), ("gallery", gallery))
    )
    rng = np.random.default_rng(figures["seed"])
    lists = list_found(
        query,
        gallery,
        (features[0], features[1]),
        pick_queries(query, gallery, figures["people"], rng),
        count=figures["ranks"],
        metric=protocol["metric"],
        shown=shown,
    )
    title = (
        f"{args.method}, {dataset_label(args.source)} to {dataset_label(args.target)}, "
        f"seed {args.seed}"
    )
    notes = [*_HOW_TO_READ, image_note(run.profile)]
    draw_rank_lists(lists, title, notes).save(args.out)


if __name__ == "__main__":
    run_stage(parser, body)
