"""Raw data to manifest and image store, every count and every image checked on the way.

    python -m stages.prepare_data --dataset market1501 --raw resources/demo/market1501 \\
        --out artifacts/demo/data/market1501/manifest.csv \\
        --images artifacts/demo/data/market1501/images.npy

Where the data come from is a parameter (`data.<dataset>.source`): a folder, an archive, an address
with its sha256, or `generated`. `--raw` is where downloads, unpacked archives and generated
images are kept for the next time.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from crgan.common.errors import UserError
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("prepare_data", __doc__)
parser.cell("--dataset", help="name of the data set")
parser.add_argument("--raw", type=Path, required=True, help="folder for fetched or generated data")
parser.output("--out", help="the manifest, manifest.csv")
parser.output("--images", help="the image store, images.npy in the same folder")


def body(args: argparse.Namespace, run: Run) -> None:
    """Prepare one data set."""
    from crgan.data.prepare import MANIFEST, DataSpec, prepare
    from crgan.data.store import IMAGES

    if args.out.name != MANIFEST or args.images != args.out.parent / IMAGES:
        raise UserError(f"--out must be named {MANIFEST}, and --images {IMAGES} beside it")
    height, width = run.params["image"]["store"]
    prepare(
        args.dataset,
        DataSpec.of(args.dataset, run.params["data"]),
        args.out.parent,
        args.raw,
        (height, width),
        workers=min(4, os.cpu_count() or 1),  # short, and the bytes do not depend on it
    )


if __name__ == "__main__":
    run_stage(parser, body)
