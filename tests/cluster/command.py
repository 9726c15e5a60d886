"""The command line of prove_slurm, prove_storage and prove_remotes: a text, a folder, one line."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from crgan.common.errors import UserError


def main(name: str, text: str, short: str, prove: Callable[[Path, bool], None]) -> None:
    """Prove it in a temporary folder, or in --keep FOLDER; a `UserError` ends with status 1.

    Args:
        name: of the module, below tests.cluster.
        text: what --help says.
        short: what --help says of --short.
        prove: is given the folder, and whether the short proof is asked for.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.cluster.{name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, kept for a look")
    parser.add_argument("--short", action="store_true", help=short)
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix=f"{name.replace('_', '-')}-") as temporary:
            prove(args.keep or Path(temporary), args.short)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
