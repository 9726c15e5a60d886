"""Images of source persons rendered into target contexts, and a sheet of how they came.

Not part of the workflow: fine-tuning renders on the fly and stores nothing. Each image is named
`<source image>__pid<pid>__<target image>.png`. `sheet.png` shows X_S, X_T, M, X_R, X_C and X_G of
the first pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import load_torch
from crgan.data.manifest import read_manifest
from crgan.data.store import Split
from crgan.gan.base import open_task
from crgan.gan.crgan import load_generator
from crgan.looks.generators import part_columns
from crgan.looks.samples import draw, write_png

_BATCH = 16
_ROWS = ("X_S", "X_T", "M", "X_R", "X_C", "X_G")  # of the sheet


@dataclass(frozen=True)
class Domains:
    """Files of the two data sets that a GAN was trained on."""

    source_manifest: Path
    target_manifest: Path
    source_masks: Path
    target_masks: Path


def render(
    gan: Path, domains: Domains, out: Path, *, count: int = 100, sheet: int = 12, seed: int = 0
) -> None:
    """Draw random pairs, render and write them.

    Args:
        gan: a file of the stage train_gan.
        out: folder of the images.
        count: images to write.
        sheet: pairs on the sheet.
        seed: which random pairs.

    Raises:
        UserError: files that do not fit each other, or a count below 1.
    """
    if count < 1 or sheet < 1:
        raise UserError(f"--count {count} --sheet {sheet}: both must be 1 at least")
    file = load_torch(gan)
    generator = load_generator(file, "cpu", str(gan))
    size = (file["config"]["height"], file["config"]["width_px"])
    task = open_task(
        domains.source_manifest, domains.target_manifest,
        domains.source_masks, domains.target_masks, size,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    s_rows, t_rows = (rng.integers(len(d), size=count) for d in (task.source, task.target))
    s_names = _names(domains.source_manifest, task.source, s_rows)
    t_names = _names(domains.target_manifest, task.target, t_rows)
    for start in range(0, count, _BATCH):
        some = slice(start, start + _BATCH)
        made = dict(part_columns(generator, task, s_rows[some], t_rows[some]))
        for i, image in enumerate(made["X_G"], start):
            name = f"{s_names[i]}__pid{task.source.pid[s_rows[i]]}__{t_names[i]}.png"
            write_png(out / name, image)
    shown = dict(part_columns(generator, task, s_rows[:sheet], t_rows[:sheet]))
    shown["M"] = shown["M_T"]
    write_png(out / "sheet.png", draw([(name, shown[name]) for name in _ROWS]))


def _names(manifest: Path, split: Split, places: NDArray[np.int64]) -> list[str]:
    """Paths of images as file names: without suffix, folders joined by underscores."""
    paths = read_manifest(manifest).paths
    chosen = (PurePosixPath(paths[row]).with_suffix("") for row in split.rows[places])
    return [str(path).replace("/", "_") for path in chosen]
