"""Measure how hard a profile's benchmark is: supervised, direct transfer, LOMO and BoW.

    python -m stages.calibrate --profile study --seeds 0 1 2 --out calibration.csv --readable c.md

Ranks by the D_id files below artifacts/ and describes images as stage handcraft does. What is not
there yet is named, with the command that makes it. Not part of the workflow.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from itertools import chain
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
    parser.add_argument("--datasets", nargs="+", help="data sets, where not all of the matrix")
    parser.add_argument("--sources", nargs="*", help="whose D_id, where not of all of them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of D_id")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="table, CSV")
    parser.add_argument("--readable", type=Path, required=True, help="table, Markdown")
    return parser


def calibrate(args: argparse.Namespace) -> None:
    """Read, describe, score and write."""
    from crgan.common.seeding import seed_everything
    from crgan.data.store import open_dataset
    from crgan.reid import calibrate as library
    from crgan.reid.evaluate import protocol_from

    params = parameters.load(settings=[f"profile={args.profile}"] if args.profile else [])
    folder = Path("artifacts") / params["profile"]
    protocol = protocol_from(parameters.slice_of("evaluate", params)["evaluate"])
    protocol = replace(protocol, rerank=None)  # the lines show features alone
    training = parameters.slice_of("pretrain_id", params)
    threads, size = training["run"]["threads"], tuple(training["image"]["train"])
    seed_everything(0, threads)
    names = args.datasets or params["matrix"]["datasets"]
    manifests = {name: folder / "data" / name / "manifest.csv" for name in names}
    networks = {
        source: [folder / "d_id" / source / f"seed{seed}.pt" for seed in args.seeds]
        for source in (names if args.sources is None else args.sources)
    }
    _check([*manifests.values(), *chain.from_iterable(networks.values())], params["profile"])
    data = {name: open_dataset(path, size) for name, path in manifests.items()}
    lines = []
    for name in library.rankable(data):
        for model in HANDCRAFTED:
            found = _handcrafted(manifests[name], model, params, protocol, threads)
            lines.append(library.line(model, name, name, [found]))
    trained = {source: [load_torch(path) for path in paths] for source, paths in networks.items()}
    lines += library.measure(data, trained, protocol, device=args.device, threads=threads)
    library.write_csv(args.out, lines)
    text = library.markdown(lines, f"Difficulty of the benchmark, profile `{params['profile']}`")
    with atomic_path(args.readable) as temporary:
        temporary.write_text(text)
    print(text)


def _check(files: list[Path], profile: str) -> None:
    """Raise one error that names all that is missing, and what makes it."""
    if missing := [str(path) for path in files if not path.exists()]:
        raise UserError(
            f"{missing[0]} is not there{f', and {len(missing) - 1} more' if missing[1:] else ''}; "
            f"run: snakemake --cores all {' '.join(missing)} --config profile={profile}"
        )


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
