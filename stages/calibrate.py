"""Measure how hard a profile's benchmark is: supervised, direct transfer, LOMO and BoW.

    python -m stages.calibrate --seeds 0 1 2 --out calibration.csv --readable calibration.md

Trains D_id with the profile's own parameters, as stage pretrain_id does, and describes images as
stage handcraft does. Data sets that are generated are prepared below --data where they are not
there. Not part of the workflow.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, load_torch
from crgan.pipeline import params as parameters

if TYPE_CHECKING:
    from crgan.metrics.ranking import Ranking
    from crgan.reid.evaluate import Protocol

HANDCRAFTED = ("lomo", "bow")


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.calibrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", help="profile to take, instead of the parameters' own")
    parser.add_argument("--data", type=Path, help="folder of the data sets' manifests")
    parser.add_argument("--datasets", nargs="+", help="data sets, where not all of the matrix")
    parser.add_argument("--sources", nargs="*", help="where D_id is trained on some of them only")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="none: no D_id")
    parser.add_argument("--weights", type=Path, help="weights of the backbone, where it has any")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="table, CSV")
    parser.add_argument("--readable", type=Path, required=True, help="table, Markdown")
    return parser


def calibrate(args: argparse.Namespace) -> None:
    """Prepare, train, describe, score and write."""
    from crgan.common.seeding import seed_everything
    from crgan.data.store import open_dataset
    from crgan.reid import calibrate as library
    from crgan.reid.evaluate import protocol_from
    from crgan.reid.pretrain import id_recipe, start_from

    params = parameters.load()
    if args.profile:
        params["profile"] = args.profile
    profile = params["profile"]
    training = parameters.slice_of("pretrain_id", params)
    protocol = protocol_from(parameters.slice_of("evaluate", params)["evaluate"])
    protocol = replace(protocol, rerank=None)  # the lines show features alone
    threads = training["run"]["threads"]
    seed_everything(0, threads)
    folder = args.data or Path("artifacts") / profile / "data"
    names = args.datasets or params["matrix"]["datasets"]
    manifests = {name: _prepared(name, folder, params) for name in names}
    size = tuple(training["image"]["train"])
    data = {name: open_dataset(path, size) for name, path in manifests.items()}
    lines = []
    for name in library.rankable(data):
        for model in HANDCRAFTED:
            found = _handcrafted(manifests[name], model, params, protocol, threads)
            lines.append(library.line(model, name, name, [found]))
    if args.seeds:
        weights = load_torch(args.weights) if args.weights else {"origin": "none", "state": {}}
        lines += library.calibrate(
            data,
            start_from(training["cnn"], weights, str(args.weights)),
            id_recipe(training["cnn"], training["pretrain_id"]),
            protocol,
            seeds=args.seeds,
            sources=args.sources,
            device=args.device,
            threads=threads,
        )
    library.write_csv(args.out, lines)
    text = library.markdown(lines, f"Difficulty of the benchmark, profile `{profile}`")
    with atomic_path(args.readable) as temporary:
        temporary.write_text(text)
    print(text)


def _prepared(name: str, folder: Path, params: dict[str, Any]) -> Path:
    """The data set's manifest; a generated set that is not there is prepared."""
    from crgan.data.prepare import GENERATED, DataSpec, prepare

    manifest = folder / name / "manifest.csv"
    values = parameters.slice_of("prepare_data", params, dataset=name)
    spec = DataSpec.of(name, values["data"])
    if spec.source == GENERATED and not manifest.exists():
        height, width = values["image"]["store"]
        prepare(name, spec, manifest.parent, folder / name / "raw", (height, width))
    return manifest


def _handcrafted(
    manifest: Path, model: str, params: dict[str, Any], protocol: Protocol, threads: int
) -> Ranking:
    """Rank a network by a hand-crafted system that has seen its unlabelled training images."""
    import numpy as np
    import torch

    from crgan.data.store import open_dataset
    from crgan.handcrafted.base import system
    from crgan.reid.evaluate import query_and_gallery, score_features

    options = dict(
        parameters.slice_of("handcraft", params, method=model, model=model)["handcrafted"]
    )
    data = open_dataset(manifest, tuple(options.pop("image")))
    query, gallery = query_and_gallery(data)
    seen = data.split("train")
    seen = replace(seen, pid=np.full_like(seen.pid, -2), attributes={})
    describe = system(model)(seen, seen, options, seed=0, threads=threads)
    splits = {"query": query, "gallery": gallery}
    features = {name: torch.from_numpy(describe(s.images)) for name, s in splits.items()}
    file = {"kind": "features", **features}
    return score_features(file, model, query, gallery, protocol, threads=threads).by_pooling[
        "global"
    ]


if __name__ == "__main__":
    parser = arguments()
    try:
        calibrate(parser.parse_args())
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
