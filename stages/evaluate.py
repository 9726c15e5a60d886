"""Score a re-id CNN on the target: R1, R5, R10 and mAP, with global pooling and with LMP,
ranked by features and re-ranked.

Features that a hand-crafted system wrote (`--features`, from stages.handcraft) are scored alike.

python -m stages.evaluate --method direct_transfer --source market1501 --target dukemtmc --seed 0 \\
    --target-manifest artifacts/demo/data/dukemtmc/manifest.csv \\
    --reid artifacts/demo/d_id/market1501/seed0.pt \\
    --out results/demo/cells/direct_transfer/market1501-dukemtmc/seed0.json \\
    --queries results/demo/queries/direct_transfer/market1501-dukemtmc/seed0.npz
"""

from __future__ import annotations

import argparse

from crgan.common.errors import UserError
from crgan.common.io import load_torch, save_arrays, write_json
from crgan.common.seeding import seed_everything
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("evaluate", __doc__)
parser.cell("--method", help="entry of `methods` in the parameters")
parser.cell("--source", help="what the CNN learned from")
parser.cell("--target", help="what it is scored on")
parser.cell("--seed", type=int)
parser.input("--target-manifest", beside=("images.npy",))
parser.input("--reid", required=False, help="the re-id file")
parser.input("--features", required=False, help="features instead")
parser.output("--out", help="the scores, JSON")
parser.output("--queries", help="each query's own result, numpy .npz")


def body(args: argparse.Namespace, run: Run) -> None:
    """Rank and write."""
    from crgan.data.store import open_dataset
    from crgan.reid.evaluate import (
        protocol_from,
        query_and_gallery,
        rows_of,
        score,
        score_features,
    )
    from crgan.reid.model_file import build_reid

    if bool(args.reid) == bool(args.features):
        raise UserError("give a re-id file by --reid, or features by --features: one of them")
    seed_everything(run.seed, run.threads)
    protocol = protocol_from(run.params["evaluate"])
    file = load_torch(args.reid or args.features)
    if args.features:
        query, gallery = query_and_gallery(open_dataset(args.target_manifest))
        name = str(args.features)
        scores = score_features(file, name, query, gallery, protocol, threads=run.threads)
    else:
        net = build_reid(file, str(args.reid))
        # the size it learned, which its file knows better than the present parameters
        data = open_dataset(args.target_manifest, (file["height"], file["width_px"]))
        query, gallery = query_and_gallery(data)
        scores = score(net, query, gallery, protocol, device=run.device, threads=run.threads)
    save_arrays(args.queries, scores.by_query() | rows_of(query, gallery))
    write_json(
        args.out,
        {
            "method": args.method,
            "source": args.source,
            "target": args.target,
            "seed": run.seed,
            "profile": run.profile,
            **(
                {"backbone": file["backbone"], "backbone_weights": file["origin"]}
                if args.reid
                else {"system": file["system"]}
            ),
            **scores.to_dict(),
            "notes": file["notes"],
        },
    )


if __name__ == "__main__":
    run_stage(parser, body)
