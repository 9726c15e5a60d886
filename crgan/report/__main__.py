"""Commands about what was measured.

python -m crgan.report html     everything in one file, results/report.html
python -m crgan.report live     what runs now: iteration, losses, pictures a second, time left
"""

from __future__ import annotations

import argparse
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
    for add in (_add_html, _add_live):
        add(commands)
    args = parser.parse_args(argv)
    try:
        raise SystemExit(args.run(args))
    except UserError as error:
        print(f"{parser.prog} {args.command}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _add_html(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("html", help="everything in one file")
    command.add_argument("--project", type=Path, default=Path("."), help="folder of the project")
    command.add_argument("--profile", help="whose numbers; that of params.yaml by default")
    command.add_argument("--out", type=Path, default=Path("results/report.html"))
    command.set_defaults(run=_html)


def _html(args: argparse.Namespace) -> int:
    from crgan.report.page.build import build
    from crgan.report.page.project import open_project
    from crgan.run import params as parameters

    own = args.project == Path(".")
    params = parameters.load(None if own else args.project / parameters.DEFAULT)
    built = build(open_project(args.project, params, args.profile), args.out)
    print(f"{built.path}: {built.size / 1e6:.1f} MB")
    if built.left_out:
        print(f"over the budget of pictures, left out: {', '.join(built.left_out)}")
    return 0


def _add_live(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("live", help="what runs now")
    command.add_argument("profile", nargs="?", help="only this profile's jobs")
    command.add_argument("--project", type=Path, default=Path("."), help="folder of the project")
    command.add_argument("--once", action="store_true", help="print once instead of following")
    command.set_defaults(run=_live)


def _live(args: argparse.Namespace) -> int:
    from crgan.report.live import follow

    follow(args.project, args.profile, once=args.once)
    return 0


if __name__ == "__main__":
    main()
