"""Measure rendered images by LPIPS and FID (Tables 1 and 4).

LPIPS: mean over each rendered image and its own source image. FID: the rendered images
against the target's training images. The row "Source-Target data" beside them: LPIPS of random
source and target pairs, FID of the same source images unrendered. Why so: docs/open-choices.md.

python -m stages.measure_images --method crgan --model crgan --source market1501 \\
    --target dukemtmc --seed 0 --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --source-masks artifacts/demo/masks/market1501.h5 \\
    --target-masks artifacts/demo/masks/dukemtmc.h5 \\
    --gan artifacts/demo/gan/crgan/market1501-dukemtmc/seed0.pt \\
    --lpips-weights artifacts/demo/weights/lpips.pt \\
    --inception-weights artifacts/demo/weights/inception.pt \\
    --out results/demo/visual/crgan/market1501-dukemtmc/seed0.json
"""

from __future__ import annotations

import argparse

from crgan.common.io import load_torch, write_json
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("measure_images", __doc__)
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
parser.input("--lpips-weights", help="AlexNet's convolutions (fetch_weights)")
parser.input("--inception-weights", help="the FID Inception (fetch_weights)")
parser.output("--out", help="the scores, JSON")


def body(args: argparse.Namespace, run: Run) -> None:
    """Render, measure and write."""
    from crgan.gan.base import load_method, open_task, towards
    from crgan.gan.visual import Kept, measure, settings_of
    from crgan.metrics.measurement import weights_from

    seed_everything(run.seed, run.threads)
    settings = settings_of(run.params["visual"])
    task = open_task(
        args.source_manifest, args.target_manifest, args.source_masks, args.target_masks,
        run.params["image"]["train"],
    )  # fmt: skip
    gan = towards(load_torch(args.gan), args.source, args.target, str(args.gan))
    renderer = load_method(args.model).load_renderer(gan, task, run.device)
    weights = {
        "lpips": load_torch(args.lpips_weights),
        "inception": load_torch(args.inception_weights),
    }
    files = {role: weights_from(file, run.scratch(f"{role}.pt")) for role, file in weights.items()}
    manifests = {"source": args.source_manifest, "target": args.target_manifest}
    kept = Kept(run.kept("fid"), {role: run.hash_of(path) for role, path in manifests.items()})
    measured = measure(
        task, renderer, files["lpips"], files["inception"], settings, run.device, kept
    )
    origins = {
        role: {"origin": file["origin"], "sha256": file["sha256"]} for role, file in weights.items()
    }
    random = [role for role, file in weights.items() if file["origin"] == "random"]
    notes = [f"{role} with random weights: no published quantity" for role in random]
    write_json(
        args.out,
        {
            "method": args.method,
            "source": args.source,
            "target": args.target,
            "seed": run.seed,
            "profile": run.profile,
            **measured,
            "settings": {**measured["settings"], "weights": origins},
            "notes": [*gan.get("notes", []), *notes],
        },
    )


if __name__ == "__main__":
    run_stage(parser, body)
