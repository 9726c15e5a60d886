"""Figure 5: people of the data sets, each seen by two cameras.

The data set's name is the name of the manifest's folder.
"""

from __future__ import annotations

import argparse

import numpy as np

from crgan.data.store import open_dataset
from crgan.looks.figures import Examples, draw_datasets
from crgan.looks.picks import pick_people
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.tables.names import image_label, image_note

parser = StageParser("draw_datasets", __doc__)
parser.input("--manifests", nargs="+", beside=("images.npy",), help="in the order of drawing")
parser.output("--out", help="the image, .png")


def body(args: argparse.Namespace, run: Run) -> None:
    """Pick and draw."""
    figures = run.params["figures"]
    examples = []
    for manifest in args.manifests:
        split = open_dataset(manifest).split("train")
        rng = np.random.default_rng(figures["seed"])
        pairs = pick_people(split, figures["people"], rng)
        name = image_label(manifest.parent.name, run.profile)
        examples.append(Examples(name, split.images[pairs], split.camid[pairs]))
    draw_datasets(examples, image_note(run.profile)).save(args.out)


if __name__ == "__main__":
    run_stage(parser, body)
