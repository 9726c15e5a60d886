"""Measure how hard a profile's benchmark is: within-network and direct-transfer scores of D_id.

    python -m stages.calibrate --seeds 0 1 2 --out calibration.csv --readable calibration.md

Trains D_id with the profile's own parameters, as stage pretrain_id does. Not part of the workflow;
needs the prepared data sets (stage prepare_data).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, load_torch
from crgan.pipeline import params as parameters


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.calibrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="folder of the data sets' manifests")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--weights", type=Path, help="weights of the backbone, where it has any")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="table, CSV")
    parser.add_argument("--readable", type=Path, required=True, help="table, Markdown")
    return parser


def calibrate(args: argparse.Namespace) -> None:
    """Open, train, score and write."""
    from crgan.common.seeding import seed_everything
    from crgan.data.store import open_dataset
    from crgan.reid import calibrate as library
    from crgan.reid.evaluate import protocol_from
    from crgan.reid.pretrain import id_recipe, start_from

    params = parameters.load()
    profile = params["profile"]
    training = parameters.slice_of("pretrain_id", params)
    protocol = protocol_from(parameters.slice_of("evaluate", params)["evaluate"])
    protocol = replace(protocol, rerank=None)  # the lines show features alone
    seed_everything(0, training["run"]["threads"])
    weights = load_torch(args.weights) if args.weights else {"origin": "none", "state": {}}
    folder = args.data or Path("artifacts") / profile / "data"
    size = tuple(training["image"]["train"])
    lines = library.calibrate(
        {
            name: open_dataset(folder / name / "manifest.csv", size)
            for name in params["matrix"]["datasets"]
        },
        start_from(training["cnn"], weights, str(args.weights)),
        id_recipe(training["cnn"], training["pretrain_id"]),
        protocol,
        seeds=args.seeds,
        device=args.device,
        threads=training["run"]["threads"],
    )
    library.write_csv(args.out, lines)
    text = library.markdown(lines, f"Difficulty of the benchmark, profile `{profile}`")
    with atomic_path(args.readable) as temporary:
        temporary.write_text(text)
    print(text)


if __name__ == "__main__":
    parser = arguments()
    try:
        calibrate(parser.parse_args())
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
