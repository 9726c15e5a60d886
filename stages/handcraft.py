"""Describe the target's query and gallery by a hand-crafted system, crgan/handcrafted/<model>.py.

python -m stages.handcraft --method bow --model bow --source market1501 --target dukemtmc \\
    --seed 0 --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --out artifacts/demo/features/bow/market1501-dukemtmc/seed0.pt
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from crgan.common.errors import UserError
from crgan.common.io import save_torch
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("handcraft", __doc__)
parser.cell("--method", help="entry of `methods` in the parameters")
parser.cell("--model", help="file of crgan/handcrafted")
parser.cell("--source")
parser.cell("--target")
parser.cell("--seed", type=int)
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--target-manifest", beside=("images.npy",))
parser.output("--out", help="features of the query and the gallery")


def body(args: argparse.Namespace, run: Run) -> None:
    """Learn, describe and write."""
    import numpy as np
    import torch

    from crgan.data.store import open_dataset
    from crgan.handcrafted.base import system
    from crgan.reid.evaluate import query_and_gallery

    seed_everything(run.seed, run.threads)
    options = dict(run.params["handcrafted"])
    if "image" not in options:
        raise UserError(f"handcrafted.{args.model}.image is missing: [height, width] it works at")
    size = tuple(options.pop("image"))
    source, target = (
        open_dataset(path, size) for path in (args.source_manifest, args.target_manifest)
    )
    query, gallery = query_and_gallery(target)
    seen = target.split("train")
    seen = replace(seen, pid=np.full_like(seen.pid, -2), attributes={})
    describe = system(args.model)(
        source.split("train"), seen, options, seed=run.seed, threads=run.threads
    )
    features = {
        name: torch.from_numpy(describe(split.images))
        for name, split in (("query", query), ("gallery", gallery))
    }
    save_torch(args.out, {"kind": "features", "system": args.model, **features, "notes": []})


if __name__ == "__main__":
    run_stage(parser, body)
