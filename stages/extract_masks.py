"""Person masks of one data set, by the backend of the profile (section 3.1, M of eq. (2) and (6)).

    python -m stages.extract_masks --dataset market1501 \\
        --manifest artifacts/demo/data/market1501/manifest.csv \\
        --weights artifacts/demo/weights/parsing.pt \\
        --out artifacts/demo/masks/market1501.h5

The weights' file says `none` where the backend has none; the demo's truth takes `--raw FOLDER`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from crgan.common.io import load_torch
from crgan.masks.backend import Resources, make_backend
from crgan.masks.extract import extract_masks
from crgan.pipeline.stage import Run, StageParser, run_stage

parser = StageParser("extract_masks", __doc__)
parser.cell("--dataset", help="whose images")
parser.input("--manifest", beside=("images.npy",), help="manifest of the data set")
parser.input("--weights", help="the backend's weights (fetch_weights --role parsing)")
parser.add_argument("--raw", type=Path, help="the demo data set's raw folder, for backend truth")
parser.output("--out", help="the mask file")


def body(args: argparse.Namespace, run: Run) -> None:
    """Make the backend, then the masks."""
    settings = run.params["masks"]
    name = settings["backend"]
    weights = load_torch(args.weights)
    model = None
    if "bytes" in weights:  # of a library that reads its own files
        model = run.scratch(weights["origin"].rsplit("/", 1)[-1] + ".model")
        model.write_bytes(weights["bytes"].numpy().tobytes())
    resources = Resources(
        model,
        args.raw,
        run.threads,
        run.device,
        state=weights.get("state"),
        state_sha256=weights["sha256"],
    )
    backend = make_backend(name, settings.get(name, {}), resources)
    extract_masks(args.manifest, backend, args.out, settings["splits"])


if __name__ == "__main__":
    run_stage(parser, body)
