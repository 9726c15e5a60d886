"""Bring pretrained weights, checked by hash (registry: weights.yaml).

    python -m stages.fetch_weights                        list the registry and what is here
    python -m stages.fetch_weights lpips_alexnet ...      fetch these into resources/weights/
    python -m stages.fetch_weights --role lpips --out artifacts/demo/weights/lpips.pt

The last form is the workflow's stage: what the profile names for a role
(`profiles.{profile}.weights.{role}`), in one form for the stages after it, with its origin and
hash. A role's value is a name of the registry, the path of a file of your own, `random` (weights
drawn by the stage that uses them; results say so) or `none` (the role needs none).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from crgan.common.errors import UserError
from crgan.common.io import load_torch, save_torch, sha256_file
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.weights.registry import ROOT, fetch, load_registry, missing

parser = StageParser("fetch_weights", __doc__)
parser.cell("--role", help="what the weights are for: backbone, parsing, lpips, inception")
parser.add_argument("--root", type=Path, default=ROOT, help="folder of the weight files")
parser.output("--out", help="the packed weights")


def body(args: argparse.Namespace, run: Run) -> None:
    """Fetch the role's weights and pack them with their origin."""
    name = str(run.params["weights"])
    if name in ("none", "random"):
        save_torch(args.out, {"origin": name, "sha256": "", "state": {}})
        return
    if "/" in name and not Path(name).is_file():
        key = f"profiles.{run.profile}.weights.{args.role}"
        raise UserError(f"{key}: {name}: no such file; give a file, or a name of weights.yaml")
    source = Path(name) if "/" in name else fetch(name, args.root)
    save_torch(args.out, {"origin": name, "sha256": sha256_file(source), **_content(source)})


def _content(source: Path) -> dict[str, Any]:
    """The tensors of a torch file, or the bytes of any other format, as one tensor."""
    if source.suffix in (".pth", ".pt"):
        return {"state": load_torch(source)}
    import torch

    return {"bytes": torch.from_numpy(np.fromfile(source, dtype=np.uint8))}


def by_name(argv: list[str]) -> None:
    """Fetch the named weights, or list all of them; ends with status 2 if one cannot be had."""
    plain = argparse.ArgumentParser(
        prog=parser.prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    plain.add_argument("names", nargs="*", metavar="NAME")
    plain.add_argument("--root", type=Path, default=ROOT, help="folder of the weight files")
    args = plain.parse_args(argv)
    if not args.names:
        _list(args.root)
    failed = False
    for name in args.names:
        try:
            print(fetch(name, args.root))
        except UserError as error:
            print(f"{plain.prog}: {error}", file=sys.stderr)
            failed = True
    if failed:
        raise SystemExit(2)


def _list(root: Path) -> None:
    for name, weight in load_registry().items():
        state = "absent or wrong" if missing([name], root) else "here"
        print(f"{name:22} {state:16} {weight.file:28} {weight.about}")


if __name__ == "__main__":
    if any(word.startswith("--role") for word in sys.argv):
        run_stage(parser, body)
    else:
        by_name(sys.argv[1:])
