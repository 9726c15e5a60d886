"""Score a re-id CNN for choosing parameters, without a label of the target's test set.

python -m stages.select --method crgan --source market1501 --target dukemtmc --seed 0 \\
    --source-manifest artifacts/demo/data/market1501/manifest.csv \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --reid artifacts/demo/finetuned/crgan/market1501-dukemtmc/seed0.pt \\
    --out results/demo/selection/crgan/market1501-dukemtmc/seed0.json

Of the target only training images and their cameras are read. The source's identities that were
held out of training are ranked where the source is named in `selection.held_out` (docs/evidence.md
says how such a source is made); of another source no identity was, and no rate is given.
`crgan select` lists DVC experiments by these numbers.
"""

from __future__ import annotations

import argparse

from crgan.common.io import load_torch, write_json
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("select", __doc__)
parser.cell("--method", help="entry of `methods` in the parameters")
parser.cell("--source", help="what the CNN learned from")
parser.cell("--target", help="what it was adapted to")
parser.cell("--seed", type=int)
parser.input("--source-manifest", beside=("images.npy",))
parser.input("--target-manifest", beside=("images.npy",))
parser.input("--reid", help="the re-id file")
parser.output("--out", help="the criteria, JSON")


def body(args: argparse.Namespace, run: Run) -> None:
    """Extract, measure and write."""
    from crgan.common.settings import settings_from
    from crgan.reid.evaluate import protocol_from
    from crgan.reid.model_file import build_reid
    from crgan.reid.selection import Settings, on_source, on_target

    seed_everything(run.seed, run.threads)
    settings = settings_from(Settings, run.params["selection"], "selection")
    file = load_torch(args.reid)
    net = build_reid(file, str(args.reid))
    size = (file["height"], file["width_px"])
    found = on_target(net, args.target_manifest, size, settings, run.device)
    rates = None
    if args.source in settings.held_out:
        protocol = protocol_from(run.params["evaluate"])
        rates = on_source(net, args.source_manifest, size, protocol, run.device)
    write_json(
        args.out,
        {
            "method": args.method,
            "source": args.source,
            "target": args.target,
            "seed": run.seed,
            "profile": run.profile,
            **found,
            **({"validation": rates} if rates else {}),
        },
    )


if __name__ == "__main__":
    run_stage(parser, body)
