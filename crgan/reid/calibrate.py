"""How hard a benchmark is, by four yardsticks that no adaptation has touched.

    supervised  D_id, trained and ranked within a network
    direct      D_id, ranked on another network as it is
    lomo, bow   hand-crafted features, which see clothes' colours and textures alone

The generated benchmark's difficulty was set from these, never from how CR-GAN or a rival fares.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from crgan.common.io import atomic_path
from crgan.data.store import Dataset
from crgan.metrics.ranking import Ranking
from crgan.reid.evaluate import Protocol, score
from crgan.reid.model_file import build_reid

# Where R1 should lie, percent: where the paper's own tables have these systems.
AIMS = {
    "supervised": (75.0, 90.0), "direct": (30.0, 50.0), "lomo": (10.0, 30.0), "bow": (15.0, 40.0),
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A yardstick on one target over all seeds, percent: means and (population) deviations.

    `source` is what D_id was trained on; the target itself for what learns from no labels.
    """

    yardstick: str
    source: str
    target: str
    seeds: int
    R1: float
    R1_std: float
    mAP: float
    mAP_std: float

    @property
    def aim(self) -> tuple[float, float]:
        """Where R1 should lie."""
        return AIMS[self.yardstick]

    @property
    def met(self) -> bool:
        """Whether it lies there."""
        return self.aim[0] <= self.R1 <= self.aim[1]


def line(yardstick: str, source: str, target: str, found: Sequence[Ranking]) -> Line:
    """The line of one ranking a seed."""
    r1, m_ap = [r.rank1 for r in found], [r.mAP for r in found]
    means = (fmean(r1), pstdev(r1), fmean(m_ap), pstdev(m_ap))
    return Line(yardstick, source, target, len(found), *means)


def rankable(data: Mapping[str, Dataset]) -> list[str]:
    """The data sets with a query and a gallery; the others can only be sources."""
    return [name for name, d in data.items() if len(d.split("query")) and len(d.split("gallery"))]


def measure(
    data: Mapping[str, Dataset],
    trained: Mapping[str, Sequence[Mapping[str, Any]]],
    protocol: Protocol,
    *,
    device: str = "cpu",
    threads: int = 1,
) -> list[Line]:
    """Score the D_id of each source on every data set that can be ranked.

    Args:
        data: by name.
        trained: {source: contents of its re-id files, one a seed}.
    """
    lines = []
    for source, files in trained.items():
        networks = [build_reid(file, f"D_id of {source}") for file in files]
        for name in rankable(data):
            query, gallery = data[name].split("query"), data[name].split("gallery")
            found = [
                score(net, query, gallery, protocol, device=device, threads=threads)
                for net in networks
            ]
            rankings = [scores.by_pooling["global"] for scores in found]
            lines.append(line("supervised" if name == source else "direct", source, name, rankings))
    return lines


def write_csv(path: str | Path, lines: Sequence[Line]) -> None:
    """One row a line, percent."""
    names = [field.name for field in fields(Line)]
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in lines:
            values = (getattr(row, name) for name in names)
            writer.writerow(f"{v:.1f}" if isinstance(v, float) else v for v in values)


def markdown(lines: Sequence[Line], title: str) -> str:
    """The same for people, by yardstick, with what was aimed at."""
    rows = [
        f"# {title}",
        "",
        "Single query, global pooling; percent, mean ± deviation over the seeds.",
        "",
        "| yardstick | source | target | seeds | R1 | aim | | mAP |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(lines, key=lambda row: list(AIMS).index(row.yardstick)):
        source = row.source if row.yardstick == "direct" else "-"
        rows.append(
            f"| {row.yardstick} | {source} | {row.target} | {row.seeds} | "
            f"{row.R1:.1f} ± {row.R1_std:.1f} | {row.aim[0]:.0f}-{row.aim[1]:.0f} | "
            f"{'met' if row.met else 'missed'} | {row.mAP:.1f} ± {row.mAP_std:.1f} |"
        )
    return "\n".join(rows) + "\n"
