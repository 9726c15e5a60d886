"""How hard a benchmark is: D_id within each network, and carried over to the others as it is.

The demo benchmark's difficulty was set from these two alone, never from how CR-GAN fares.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean, pstdev

from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.data.store import Dataset
from crgan.reid.evaluate import Protocol, score
from crgan.reid.model_file import build_reid
from crgan.reid.pretrain import Start, pretrain_id
from crgan.train.classifier import Recipe
from crgan.train.compute import Compute

WITHIN_AIM = (70.0, 90.0)  # R1, percent
TRANSFER_AIM = (25.0, 50.0)


@dataclass(frozen=True)
class Line:
    """One direction over all seeds, percent: means and (population) deviations, global pooling."""

    source: str
    target: str
    seeds: int
    R1: float
    R1_std: float
    mAP: float
    mAP_std: float
    R1_lmp: float
    train_accuracy: float

    @property
    def aim(self) -> tuple[float, float]:
        """Where R1 should lie."""
        return WITHIN_AIM if self.source == self.target else TRANSFER_AIM

    @property
    def met(self) -> bool:
        """Whether it lies there."""
        return self.aim[0] <= self.R1 <= self.aim[1]


def calibrate(
    data: Mapping[str, Dataset],
    start: Start,
    recipe: Recipe,
    protocol: Protocol,
    *,
    seeds: Sequence[int],
    device: str = "cpu",
    threads: int = 1,
) -> list[Line]:
    """Train D_id on each data set with each seed and score it on every one that can be ranked.

    Sets without query and gallery (CUHK03 with all identities in training) are sources only.

    Raises:
        UserError: no seed, or a data set D_id cannot learn from.
    """
    if not seeds:
        raise UserError("give at least one seed to calibrate with")
    targets = [
        name for name, d in data.items() if len(d.split("query")) and len(d.split("gallery"))
    ]
    lines = []
    for source, dataset in data.items():
        results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in targets}
        accuracies = []
        for seed in seeds:
            file, history = pretrain_id(
                dataset.split("train"), start, recipe, seed=seed, compute=Compute(device=device)
            )
            accuracies.append(history.rows[-1]["accuracy"])
            net = build_reid(file, f"D_id of {source}")
            for name in targets:
                query, gallery = data[name].split("query"), data[name].split("gallery")
                found = score(net, query, gallery, protocol, device=device, threads=threads)
                pooled, lmp = (found.by_pooling[pooling] for pooling in ("global", "lmp"))
                results[name].append((pooled.rank1, pooled.mAP, lmp.rank1))
        lines += [_line(source, name, results[name], accuracies) for name in targets]
    return lines


def _line(
    source: str, target: str, results: list[tuple[float, float, float]], accuracies: list[float]
) -> Line:
    r1, m_ap, r1_lmp = zip(*results, strict=True)
    return Line(
        source=source,
        target=target,
        seeds=len(results),
        R1=fmean(r1),
        R1_std=pstdev(r1),
        mAP=fmean(m_ap),
        mAP_std=pstdev(m_ap),
        R1_lmp=fmean(r1_lmp),
        train_accuracy=fmean(accuracies),
    )


def write_csv(path: str | Path, lines: Sequence[Line]) -> None:
    """One row a direction, percent."""
    names = [field.name for field in fields(Line)]
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for line in lines:
            values = (getattr(line, name) for name in names)
            writer.writerow(f"{v:.1f}" if isinstance(v, float) else v for v in values)


def markdown(lines: Sequence[Line], title: str) -> str:
    """The same for people: within first, then the transfers, with what was aimed at."""
    rows = [
        f"# {title}",
        "",
        "D_id trained on the source's training split and ranked on the target's query and gallery,",
        "single query, global pooling; percent, mean ± deviation over the seeds.",
        "",
        "| source | target | seeds | R1 | aim | | mAP | R1, LMP | training accuracy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for line in sorted(lines, key=lambda line: line.source != line.target):
        kind = "within" if line.source == line.target else line.target
        rows.append(
            f"| {line.source} | {kind} | {line.seeds} | {line.R1:.1f} ± {line.R1_std:.1f} | "
            f"{line.aim[0]:.0f}-{line.aim[1]:.0f} | {'met' if line.met else 'missed'} | "
            f"{line.mAP:.1f} ± {line.mAP_std:.1f} | {line.R1_lmp:.1f} | {line.train_accuracy:.1f} |"
        )
    return "\n".join(rows) + "\n"
