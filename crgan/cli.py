"""`crgan`: what one types beside `snakemake` and `dvc`. Each room registers its subcommands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import shtab

from crgan import __version__
from crgan.common.errors import UserError
from crgan.common.io import unwritable

# Modules with a function `register(subparsers)`. They import the libraries they need when a command
# runs, so that `crgan --help` is there at once.
ROOMS = ("crgan.deploy.cli", "crgan.report.cli", "crgan.cli")

EXAMPLES = """\
examples:
  crgan datasets                               known data sets, and what is here of them
  crgan adapt --target cameras/ --out mysite/  a re-id model for cameras of your own
  crgan search --model mysite/model.onnx --gallery cameras/ QUERY.jpg
                                               the images most like a person
  crgan report                                 all that was measured, results/report.html
  crgan live                                   what runs now, and how long it will take
  crgan trace results/table6.csv --cell "CR-GAN+LMP" --source market1501 --target dukemtmc
                                               what made a cell of a table
  crgan verify results/table6.csv --cell "CR-GAN+LMP" --source market1501 --target dukemtmc
                                               make it again, and compare
  crgan rebuild --profile study                tables of the recorded run, without training
  crgan COMMAND --help                         more of a command
  crgan --print-completion bash                completions, to be saved where your shell looks
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status; a `UserError` ends with status 2."""
    args = parser().parse_args(argv)
    try:
        status = args.run(args)
    except UserError as error:
        print(f"crgan {args.command}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # `crgan trace ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:  # of a place that the user named, or of the disk below it
        if error.filename is None or error.errno is None:
            raise
        told = unwritable(Path(os.fsdecode(error.filename)), error)
        reason = told or f"{os.fsdecode(error.filename)}: {os.strerror(error.errno)}"
        print(f"crgan {args.command}: {reason}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    raise SystemExit(status)


def parser() -> argparse.ArgumentParser:
    """The command line with the subcommands of every room."""
    parser = argparse.ArgumentParser(
        prog="crgan",
        description="CR-GAN: re-id models for cameras of your own; results and what made them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    shtab.add_argument_to(parser, "--print-completion")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for room in ROOMS:
        import_module(room).register(commands)
    return parser


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands of rooms that have but one."""
    render = commands.add_parser("render", help="images of source persons in target contexts")
    render.add_argument("--gan", type=Path, required=True, help="a file of the stage train_gan")
    for domain in ("source", "target"):
        render.add_argument(f"--{domain}-manifest", type=Path, required=True)
        render.add_argument(f"--{domain}-masks", type=Path, required=True)
    render.add_argument("--count", type=int, default=100, help="images to write")
    render.add_argument("--sheet", type=int, default=12, help="pairs on the sheet")
    render.add_argument("--seed", type=int, default=0, help="which random pairs")
    render.add_argument("--out", type=Path, required=True, help="folder")
    render.set_defaults(run=_render)
    adopt = commands.add_parser(
        "adopt",
        help="take over outputs of DVC or another checkout that are current",
        description="Compare every output with its record, as each run does first: current ones "
        "are kept though made elsewhere, others are put aside and made again when asked for.",
    )
    adopt.add_argument("--look", action="store_true", help="change nothing, only say what is found")
    adopt.set_defaults(run=_adopt)
    _add_recorded(commands)


def _add_recorded(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    record = commands.add_parser(
        "record",
        help="keep what was measured in git, as the recorded run of a profile",
        description="Copy scores, per-query results, histories and records of what stands into "
        "recorded/PROFILE, in place of the recorded run that is there.",
    )
    rebuild = commands.add_parser(
        "rebuild",
        help="tables, claims and the report of a recorded run, without training",
        description="Make tables, intervals, curves, claims and the report of recorded/PROFILE in "
        ".scratch/recorded/PROFILE; refused where present sources would not make its numbers.",
    )
    for command in (record, rebuild):
        command.add_argument("--profile", help="that of params.yaml by default")
    record.add_argument("--seeds", type=int, nargs="+", default=(),
                        help="only these; recorded others stay; all by default")  # fmt: skip
    record.add_argument("--force", action="store_true", help="replace what is recorded")
    record.set_defaults(run=_record)
    rebuild.add_argument("--cores", default="all", help="for Snakemake")
    rebuild.set_defaults(run=_rebuild)


def _render(args: argparse.Namespace) -> int:
    from crgan.looks.render import Domains, render

    domains = Domains(
        args.source_manifest, args.target_manifest, args.source_masks, args.target_masks
    )
    render(args.gan, domains, args.out, count=args.count, sheet=args.sheet, seed=args.seed)
    return 0


def _adopt(args: argparse.Namespace) -> int:
    from crgan.pipeline.params import load
    from crgan.workflow.adopt import adopt

    found = adopt(load(), look_only=args.look)
    print(found.message(real=not args.look) or "every output is current and known here")
    return 0


def _record(args: argparse.Namespace) -> int:
    from crgan.workflow.recorded import record

    print(record(args.profile, args.seeds, force=args.force).message())
    return 0


def _rebuild(args: argparse.Namespace) -> int:
    from crgan.workflow.recorded import rebuild

    print(rebuild(args.profile, args.cores).message())
    return 0


if __name__ == "__main__":
    main()
