"""The subcommands of `crgan` that look at what was measured (`crgan/cli.py`)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from crgan.common.errors import UserError

Commands = argparse._SubParsersAction  # of argparse.ArgumentParser


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add report, live, trace, verify, compare, claims, select, orders, shares and digest."""
    for add in (
        _add_report, _add_live, _add_trace, _add_verify, _add_compare, _add_claims, _add_select,
        _add_orders, _add_shares, _add_digest,
    ):  # fmt: skip
        add(commands)


def _add_trace(commands: Commands[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("trace", help="all that made a cell of a table")
    _add_cell(command)
    command.add_argument("--metric", help="one column, such as R1; default: all")
    command.add_argument("--brief", action="store_true", help="leave parameters out")
    command.add_argument("--json", action="store_true", help="the tree with whole records")
    command.set_defaults(run=_trace)


def _add_cell(command: argparse.ArgumentParser) -> None:
    command.add_argument("table", type=Path, help="such as results/table6.csv")
    command.add_argument("--cell", required=True, help="the method as the table names it")
    command.add_argument("--source", help="may be left out where one row bears the name")
    command.add_argument("--target")
    command.add_argument("--seed", type=int, help="default: every seed")


def _trace(args: argparse.Namespace) -> int:
    from rich.console import Console

    from crgan.report.trace import find_cell, lineage, seeds_of
    from crgan.report.trace_text import show

    cell = find_cell(args.table, args.cell, args.source, args.target)
    if args.metric and args.metric not in cell.columns:
        raise UserError(
            f"{args.table}: no metric {args.metric!r}; it has {', '.join(cell.columns)}"
        )
    trees = {score: lineage(score) for score in seeds_of(cell, args.seed)}
    if args.json:
        found = {"row": cell.row, "scores": {score: n.to_dict() for score, n in trees.items()}}
        print(json.dumps(found, indent=1))
    else:
        show(Console(highlight=False), cell, trees, args.metric, params=not args.brief)
    return 0


def _add_verify(commands: Commands[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("verify", help="make a cell again, and compare with its record")
    _add_cell(command)
    command.add_argument(
        "--deep", action="store_true", help="all jobs behind it, not only the scoring"
    )
    command.add_argument("--keep", action="store_true", help="leave what was made in .scratch")
    command.set_defaults(run=_verify)


def _verify(args: argparse.Namespace) -> int:
    from crgan.report.trace import find_cell, seeds_of
    from crgan.report.verify import report, verify

    cell = find_cell(args.table, args.cell, args.source, args.target)
    found = verify(seeds_of(cell, args.seed), deep=args.deep, keep=args.keep)
    print(report(cell, found), end="")
    return 0 if all(check.equal for check in found) else 1


def _add_compare(commands: Commands[argparse.ArgumentParser]) -> None:
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
    from crgan.common.settings import settings_from
    from crgan.metrics.bootstrap import Settings
    from crgan.pipeline.params import load
    from crgan.pipeline.records import Auditor
    from crgan.tables.paired import compare, report

    params = load()
    found = compare(
        (args.first, args.second), args.source, args.target,
        folder=args.queries or Path("results") / params["profile"] / "queries",
        params=params,
        settings=settings_from(Settings, params["intervals"], "intervals"),
        why_stale=None if args.stale else Auditor(params).why_stale,
    )  # fmt: skip
    print(json.dumps(found.to_dict(), indent=1) if args.json else report(found).rstrip())
    return 0


def _add_claims(commands: Commands[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "claims", help="which of the paper's claims hold in what was measured"
    )
    command.add_argument("folder", type=Path, nargs="?", default=Path("results"))
    command.set_defaults(run=_claims)


def _claims(args: argparse.Namespace) -> int:
    page = args.folder / "claims.md"
    if not page.is_file():
        raise UserError(
            f"{page}: not there; make it: snakemake --cores all {args.folder}/claims.csv"
        )
    print(page.read_text(encoding="utf-8"), end="")
    return 0


def _add_select(commands: Commands[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("select", help="DVC experiments by a label-free criterion")
    command.add_argument("--by", default="camera_mixing", help="such as validation.global.mAP")
    command.add_argument("--cell", default="", help="such as crgan/market1501-dukemtmc")
    command.set_defaults(run=_select)


def _select(args: argparse.Namespace) -> int:
    from crgan.report.experiments import CRITERIA, dvc_show, experiments, report

    if args.by not in CRITERIA:
        raise UserError(f"--by {args.by}: use one of {', '.join(CRITERIA)}")
    print(report(experiments(dvc_show(), args.by, args.cell), args.by), end="")
    return 0


def _add_orders(commands: Commands[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("orders", help="measured order of methods beside the printed one")
    command.add_argument("folder", type=Path, help="where table5.csv to table7.csv stand")
    command.set_defaults(run=_orders)


def _orders(args: argparse.Namespace) -> int:
    from crgan.tables.orders import orders, report_orders

    print(report_orders(orders(args.folder)), end="")
    return 0


def _add_shares(commands: Commands[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("shares", help="what each cell of the matrix cost")
    command.add_argument("folders", type=Path, nargs="+", help="such as artifacts/demo")
    command.add_argument("--by", choices=("cell", "stage"), default="cell")
    command.set_defaults(run=_shares)


def _shares(args: argparse.Namespace) -> int:
    from crgan.report.shares import by_cell, by_stage, report, shares

    group = by_cell if args.by == "cell" else by_stage
    print(report(shares(args.folders, group)), end="")
    return 0


def _add_digest(commands: Commands[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("digest", help="all tables in one Markdown page")
    command.add_argument("folder", type=Path, help="where table1.md to claims.md stand")
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(run=_digest)


def _digest(args: argparse.Namespace) -> int:
    from crgan.common.io import atomic_path
    from crgan.report.digest import digest

    text = digest(args.folder)
    with atomic_path(args.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return 0


def _add_report(commands: Commands[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("report", help="all that was measured in one HTML file")
    command.add_argument("--project", type=Path, default=Path("."), help="folder of the project")
    command.add_argument("--profile", help="whose numbers; that of params.yaml by default")
    command.add_argument("--out", type=Path, default=Path("results/report.html"))
    command.set_defaults(run=_report)


def _report(args: argparse.Namespace) -> int:
    from crgan.pipeline import params as parameters
    from crgan.report.page.build import build
    from crgan.report.page.project import open_project

    own = args.project == Path(".")
    params = parameters.load(None if own else args.project / parameters.DEFAULT)
    built = build(open_project(args.project, params, args.profile), args.out)
    print(f"{built.path}: {built.size / 1e6:.1f} MB")
    if built.left_out:
        print(f"over the budget of images, left out: {', '.join(built.left_out)}")
    return 0


def _add_live(commands: Commands[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("live", help="what runs now")
    command.add_argument("profile", nargs="?", help="only this profile's jobs")
    command.add_argument("--project", type=Path, default=Path("."), help="folder of the project")
    command.add_argument("--once", action="store_true", help="print once instead of following")
    command.set_defaults(run=_live)


def _live(args: argparse.Namespace) -> int:
    from crgan.report.live import follow

    follow(args.project, args.profile, once=args.once)
    return 0
