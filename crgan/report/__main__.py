"""Commands about what was measured.

python -m crgan.report html            # results/report.html
python -m crgan.report live            # what runs now
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crgan.run import params as parameters
from crgan.run.errors import UserError


def main(argv: list[str] | None = None) -> None:
    """Run one command; a `UserError` ends with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m crgan.report", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    html = commands.add_parser("html", help="write the report")
    html.add_argument("--project", type=Path, default=Path("."), help="folder of the project")
    html.add_argument("--profile", help="whose numbers; that of params.yaml by default")
    html.add_argument("--out", type=Path, default=Path("results/report.html"))
    live = commands.add_parser("live", help="show what runs now")
    live.add_argument("profile", nargs="?", help="only this profile's jobs")
    live.add_argument("--project", type=Path, default=Path("."), help="folder of the project")
    live.add_argument("--once", action="store_true", help="print once instead of following")
    args = parser.parse_args(argv)
    try:
        {"html": _html, "live": _live}[args.command](args)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _html(args: argparse.Namespace) -> None:
    from crgan.report.page.build import build
    from crgan.report.page.project import open_project

    own = args.project == Path(".")
    params = parameters.load(None if own else args.project / parameters.DEFAULT)
    built = build(open_project(args.project, params, args.profile), args.out)
    print(f"{built.path}: {built.size / 1e6:.1f} MB")
    if built.left_out:
        print(f"over the budget of pictures, left out: {', '.join(built.left_out)}")


def _live(args: argparse.Namespace) -> None:
    from crgan.report.live import follow

    follow(args.project, args.profile, once=args.once)


if __name__ == "__main__":
    main()
