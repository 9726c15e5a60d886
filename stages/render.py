"""Write pictures of source persons rendered into target contexts, and a sheet of how they came.

    python -m stages.render --gan gan.pt --source-manifest ... --target-manifest ... \\
        --source-masks ... --target-masks ... --count 100 --out rendered

Not part of the workflow: fine-tuning renders on the fly and stores nothing. Each picture is named
`<source picture>__pid<pid>__<target picture>.png`. `sheet.png` shows X_S, X_T, M, X_R, X_C and X_G
of the first pairs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.errors import UserError
from crgan.common.io import load_torch
from crgan.data.batches import from_gan
from crgan.data.manifest import read_manifest
from crgan.data.store import Split
from crgan.gan.base import Task, open_task
from crgan.gan.crgan import load_generator
from crgan.gan.pairs import pictures
from crgan.looks.samples import draw, input_rows, output_rows, parts, write_png

_BATCH = 16


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.render",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("gan", "source-manifest", "target-manifest", "source-masks", "target-masks"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100, help="pictures to write")
    parser.add_argument("--sheet", type=int, default=12, help="pairs on the sheet")
    parser.add_argument("--seed", type=int, default=0, help="which random pairs")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    return parser


def render(args: argparse.Namespace) -> None:
    """Draw random pairs, render and write them."""
    if args.count < 1 or args.sheet < 1:
        raise UserError(f"--count {args.count} --sheet {args.sheet}: both must be 1 at least")
    file = load_torch(args.gan)
    generator = load_generator(file, "cpu", str(args.gan))
    size = (file["config"]["height"], file["config"]["width_px"])
    task = open_task(
        args.source_manifest, args.target_manifest, args.source_masks, args.target_masks, size
    )
    rng = np.random.default_rng(args.seed)
    s_rows, t_rows = (rng.integers(len(d), size=args.count) for d in (task.source, task.target))
    s_names = _names(args.source_manifest, task.source, s_rows)
    t_names = _names(args.target_manifest, task.target, t_rows)
    for start in range(0, args.count, _BATCH):
        some = slice(start, start + _BATCH)
        made = parts(generator, *_inputs(task, s_rows[some], t_rows[some]))
        for i, picture in enumerate(from_gan(made.x_g), start):
            name = f"{s_names[i]}__pid{task.source.pid[s_rows[i]]}__{t_names[i]}.png"
            write_png(args.out / name, picture)
    shown = _inputs(task, s_rows[: args.sheet], t_rows[: args.sheet])
    rows = [*input_rows(*shown), *output_rows(parts(generator, *shown))]
    write_png(args.out / "sheet.png", draw(rows))


def _names(manifest: Path, split: Split, places: NDArray[np.int64]) -> list[str]:
    """Paths of pictures as file names: without suffix, folders joined by underscores."""
    paths = read_manifest(manifest).paths
    chosen = (PurePosixPath(paths[row]).with_suffix("") for row in split.rows[places])
    return [str(path).replace("/", "_") for path in chosen]


def _inputs(
    task: Task, s_rows: NDArray[np.int64], t_rows: NDArray[np.int64]
) -> tuple[Tensor, Tensor, Tensor]:
    """X_S, X_T and M_T of pairs."""
    x_s, _ = pictures(task.source, task.source_masks, s_rows)
    return x_s, *pictures(task.target, task.target_masks, t_rows)


if __name__ == "__main__":
    parser = arguments()
    try:
        render(parser.parse_args())
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
