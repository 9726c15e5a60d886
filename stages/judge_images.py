"""Judge a method's renderings (beyond the paper): identity, domain, camera, diversity.

python -m stages.judge_images --method spgan --model spgan --source market1501 \\
    --target dukemtmc --seed 0 --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --source-masks artifacts/demo/masks/market1501.h5 \\
    --target-masks artifacts/demo/masks/dukemtmc.h5 \\
    --gan artifacts/demo/gan/spgan/market1501-dukemtmc/seed0.pt \\
    --judges artifacts/demo/judges/market1501-dukemtmc.pt \\
    --lpips-weights artifacts/demo/weights/lpips.pt \\
    --out results/demo/judged/spgan/market1501-dukemtmc/seed0.json
"""

from __future__ import annotations

import argparse

from crgan.common.io import load_torch, write_json
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("judge_images", __doc__)
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
parser.input("--judges", help="of this direction (train_judges)")
parser.input("--lpips-weights", help="AlexNet's convolutions (fetch_weights)")
parser.output("--out", help="what the judges say, JSON")


def body(args: argparse.Namespace, run: Run) -> None:
    """Render, judge and write."""
    from crgan.common.settings import settings_from
    from crgan.gan.base import load_method, open_task, towards
    from crgan.metrics.lpips_distance import load_lpips
    from crgan.metrics.measurement import weights_from
    from crgan.reid.judging import Judges, Settings, judge

    seed_everything(run.seed, run.threads)
    settings = settings_from(Settings, run.params["judges"], "judges")
    task = open_task(
        args.source_manifest, args.target_manifest, args.source_masks, args.target_masks,
        run.params["image"]["train"],
    )  # fmt: skip
    gan = towards(load_torch(args.gan), args.source, args.target, str(args.gan))
    renderer = load_method(args.model).load_renderer(gan, task, run.device)
    weights = load_torch(args.lpips_weights)
    lpips = load_lpips(weights_from(weights, run.scratch("lpips.pt")), device=run.device)
    judges = Judges(load_torch(args.judges), str(args.judges), run.device)
    found = judge(task, renderer, judges, lpips, settings, run.device)
    random = weights["origin"] == "random"
    notes = ["lpips with random weights: no published quantity"] if random else []
    write_json(
        args.out,
        {
            "method": args.method,
            "source": args.source,
            "target": args.target,
            "seed": run.seed,
            "profile": run.profile,
            **found,
            "notes": [*gan.get("notes", []), *notes],
        },
    )


if __name__ == "__main__":
    run_stage(parser, body)
