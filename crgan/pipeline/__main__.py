"""Commands around the two engines.

python -m crgan.pipeline commit       record in dvc.lock what Snakemake made, once it is judged
python -m crgan.pipeline preflight    list raw data and weights that are not there yet; with --out
                                     FILE say in FILE that nothing is missing
python -m crgan.pipeline write-recipes
                                     write artifacts/recipes anew, by which DVC knows the sources
                                     and parameters of each stage: then `dvc status` says what a
                                     changed parameter reaches
python -m crgan.pipeline dvc-yaml     refresh the lists in dvc.yaml that are derived; with
                                     --check only say whether they are fresh
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crgan.common.errors import UserError


def main(argv: list[str] | None = None) -> None:
    """Run one command; a `UserError` ends with status 2, an unmet check with status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m crgan.pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("commit")
    commands.add_parser("preflight").add_argument("--out", type=Path)
    commands.add_parser("write-recipes")
    commands.add_parser("dvc-yaml").add_argument("--check", action="store_true")
    args = parser.parse_args(argv)
    try:
        if args.command == "commit":
            _commit()
        elif args.command == "preflight":
            _preflight(args.out)
        elif args.command == "write-recipes":
            _write_recipes()
        else:
            _dvc_yaml(args.check)
    except UserError as error:
        print(f"{parser.prog} {args.command}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _commit() -> None:
    from crgan.pipeline.handover import commit

    recorded, absent = commit()
    print(f"{recorded} stages recorded in dvc.lock, {absent} not built")


def _preflight(out: Path | None) -> None:
    from crgan.pipeline.params import load
    from crgan.pipeline.preflight import require, write

    params = load()
    # DVC runs this first of all stages, and again when data sets, weights or the profile have
    # changed: the moment to say what the user must do before anything runs.
    require(params)
    if out:
        write(params, out)
    print("nothing is missing")


def _write_recipes() -> None:
    from crgan.pipeline.dvcfile import PATH, fresh
    from crgan.pipeline.params import load
    from crgan.pipeline.recipes import write

    if PATH.read_text() != fresh():
        raise UserError(f"{PATH} is older than the matrix; run python -m crgan.pipeline dvc-yaml")
    write(load())


def _dvc_yaml(check: bool) -> None:
    from crgan.pipeline.dvcfile import PATH, fresh

    text = fresh()
    if PATH.read_text() == text:
        print(f"{PATH} is fresh")
    elif check:
        print(f"{PATH} is not fresh; run python -m crgan.pipeline dvc-yaml", file=sys.stderr)
        raise SystemExit(1)
    else:
        PATH.write_text(text)
        print(f"{PATH} refreshed")


if __name__ == "__main__":
    main()
