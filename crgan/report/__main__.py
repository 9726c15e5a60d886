"""Questions about what was measured, answered off the results and the records beside them.

python -m crgan.report compare --first crgan --second direct_transfer \\
    --source market1501 --target dukemtmc       two methods on the same queries
python -m crgan.report orders results           measured order of methods beside the printed one
python -m crgan.report shares artifacts/demo results/demo [--by stage]     what each cell cost
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from crgan.run.errors import UserError


def main(argv: list[str] | None = None) -> None:
    """Run one command; a `UserError` ends with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m crgan.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (_add_compare, _add_orders, _add_shares):
        add(commands)
    args = parser.parse_args(argv)
    try:
        raise SystemExit(args.run(args))
    except UserError as error:
        print(f"{parser.prog} {args.command}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("compare", help="two methods on the same queries")
    for flag in ("--first", "--second"):
        command.add_argument(
            flag, required=True, help="key of `methods`, or a printed name such as CR-GAN+LMP"
        )
    command.add_argument("--source", required=True)
    command.add_argument("--target", required=True)
    command.add_argument("--queries", type=Path, help="default: results/<profile>/queries")
    command.add_argument("--stale", action="store_true", help="take results of other parameters")
    command.add_argument("--json", action="store_true")
    command.set_defaults(run=_compare)


def _compare(args: argparse.Namespace) -> int:
    from crgan.metrics.bootstrap import Settings
    from crgan.report.paired import compare, report
    from crgan.run.params import load
    from crgan.run.provenance import Judge
    from crgan.run.settings import settings_from

    params = load()
    found = compare(
        (args.first, args.second), args.source, args.target,
        folder=args.queries or Path("results") / params["profile"] / "queries",
        params=params,
        settings=settings_from(Settings, params["intervals"], "intervals"),
        why_stale=None if args.stale else Judge(params).why_stale,
    )  # fmt: skip
    print(json.dumps(found.to_dict(), indent=1) if args.json else report(found).rstrip())
    return 0


def _add_orders(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("orders", help="measured order of methods beside the printed one")
    command.add_argument("folder", type=Path, help="where table5.csv to table7.csv stand")
    command.set_defaults(run=_orders)


def _orders(args: argparse.Namespace) -> int:
    from crgan.report.orders import orders, report_orders

    print(report_orders(orders(args.folder)), end="")
    return 0


def _add_shares(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("shares", help="what each cell of the matrix cost")
    command.add_argument("folders", type=Path, nargs="+", help="such as artifacts/demo")
    command.add_argument("--by", choices=("cell", "stage"), default="cell")
    command.set_defaults(run=_shares)


def _shares(args: argparse.Namespace) -> int:
    from crgan.report.shares import by_cell, by_stage, report, shares

    group = by_cell if args.by == "cell" else by_stage
    print(report(shares(args.folders, group)), end="")
    return 0


if __name__ == "__main__":
    main()
