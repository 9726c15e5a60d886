"""What X_C opens and X_G changes, on people and on backgrounds, of trained CR-GANs.

    python -m benchmarks.context_mask --profile study --source market1501 --target campus \\
        artifacts/study/gan/*/market1501-campus/seed0.pt

The paper says what must be seen (section 4.3): people change slightly in colour, backgrounds in
structure. Printed for each file, over 512 training pairs: the mean of X_C and of |X_G - X_S| (grey
levels of 255) on source people and outside them, and how much of the change of a background is one
of structure: 1 minus the correlation of X_G with X_S there, the mean colour of each image removed.

Reads what the workflow left in artifacts/; writes nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crgan.common.io import load_torch
from crgan.gan.base import Task, open_task
from crgan.gan.crgan import load_generator
from crgan.gan.pairs import masked_images
from crgan.nets.generator import Generator
from crgan.pipeline import params as parameters

_PAIRS, _BATCH = 512, 64


def structure(a: Tensor, b: Tensor, where: Tensor) -> Tensor:
    """1 - correlation of two batches (B, 3, H, W) over the pixels of `where` (B, 1, H, W), (B,).

    Means are those of each image and channel, so one colour for another is no change.
    """
    area = where.sum((2, 3), keepdim=True).clamp(min=1)
    a, b = ((x - (x * where).sum((2, 3), keepdim=True) / area) * where for x in (a, b))
    norms = a.flatten(1).norm(dim=1) * b.flatten(1).norm(dim=1)
    return 1 - (a * b).flatten(1).sum(1) / norms.clamp(min=1e-9)


@torch.no_grad()
def measured(generator: Generator, task: Task, seed: int) -> dict[str, float]:
    """The five numbers of one generator; the same pairs for each."""
    rng = np.random.default_rng(seed)
    rows: list[list[float]] = []
    for _ in range(_PAIRS // _BATCH):
        s, t = (rng.integers(len(split), size=_BATCH) for split in (task.source, task.target))
        x_s, m_f = masked_images(task.source, task.source_masks, s)
        x_t, m_t = masked_images(task.target, task.target_masks, t)
        made = generator.parts(x_s, x_t, m_t)
        change = (made.x_g - x_s).abs().mean(1, keepdim=True) * 127.5
        outside = 1 - m_f
        rows.append([
            *(_mean(made.x_c.mean(1, keepdim=True), m) for m in (m_f, outside)),
            *(_mean(change, m) for m in (m_f, outside)),
            float(structure(made.x_g, x_s, outside).mean()),
        ])  # fmt: skip
    names = ("X_C, people", "X_C, background", "people moved", "background moved", "new structure")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def _mean(x: Tensor, where: Tensor) -> float:
    return float((x * where).sum() / where.sum())


def main(argv: list[str] | None = None) -> None:
    """Print a line for each file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.context_mask",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--source", default="market1501")
    parser.add_argument("--target", default="dukemtmc")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("gans", nargs="+", type=Path, help="GAN files of CR-GAN or its ablations")
    args = parser.parse_args(argv)
    params = parameters.load()
    params["profile"] = args.profile
    size = parameters.slice_of("train_gan", params, method="crgan")["image"]["train"]
    home = Path("artifacts") / args.profile
    source, target = (home / "data" / name / "manifest.csv" for name in (args.source, args.target))
    m_s, m_t = (home / "masks" / f"{name}.h5" for name in (args.source, args.target))
    task = open_task(source, target, m_s, m_t, size)
    for place, path in enumerate(args.gans):
        found = measured(load_generator(load_torch(path), "cpu", str(path)), task, args.seed)
        if not place:
            print(" | ".join(["GAN", *found]))
        print(" | ".join([str(path), *(f"{value:.2f}" for value in found.values())]), flush=True)


if __name__ == "__main__":
    main()
