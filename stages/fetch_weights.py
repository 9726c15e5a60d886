"""Bring pretrained weights into resources/weights/, checked by hash (registry: weights.yaml).

    python -m stages.fetch_weights                      list the registry and what is here
    python -m stages.fetch_weights lpips_alexnet ...    fetch these

Not part of the workflow's DAG: a run never downloads weights by itself.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crgan.run.errors import UserError
from crgan.run.weights import ROOT, fetch, load_registry, missing


def main(argv: list[str] | None = None) -> None:
    """Fetch the named weights, or list all of them; ends with status 2 if one cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.fetch_weights",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the weight files")
    args = parser.parse_args(argv)
    if not args.names:
        for name, weight in load_registry().items():
            state = "absent or wrong" if missing([name], args.root) else "here"
            print(f"{name:22} {state:16} {weight.file:28} {weight.about}")
        return
    failed = False
    for name in args.names:
        try:
            print(fetch(name, args.root))
        except UserError as error:
            print(f"{parser.prog}: {error}", file=sys.stderr)
            failed = True
    if failed:
        raise SystemExit(2)


if __name__ == "__main__":
    main()
