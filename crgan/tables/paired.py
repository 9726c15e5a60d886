"""Two methods on the same queries: the difference, its interval, and who is right where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from crgan.common.errors import UserError
from crgan.metrics.bootstrap import Interval, Settings, interval
from crgan.tables.marks import marks_of
from crgan.tables.names import profile_warning
from crgan.tables.printed import Cell, Row, cell_of
from crgan.tables.queries import RATES, Queries, Sample
from crgan.tables.scores import WhyStale
from crgan.tables.written import direction_label


@dataclass(frozen=True)
class Discordance:
    """Of one seed: how many queries each method has right at rank 1, and McNemar's exact test.

    Attributes:
        p: of the two-sided test that either method is as likely to be right where one alone is.
    """

    seed: int
    both: int
    first_only: int
    second_only: int
    neither: int
    p: float


@dataclass(frozen=True)
class Paired:
    """The comparison of two methods in one direction."""

    first: str
    second: str
    source: str
    target: str
    profile: str
    seeds: tuple[int, ...]
    rates: Mapping[str, tuple[float, float, Interval]]
    discordance: tuple[Discordance, ...]
    marks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        rates = {
            metric: {"first": a, "second": b, "difference": asdict(found)}
            for metric, (a, b, found) in self.rates.items()
        }
        return {**asdict(self), "rates": rates}


def compare(
    names: tuple[str, str],
    source: str,
    target: str,
    *,
    folder: str | Path,
    params: Mapping[str, Any],
    settings: Settings,
    why_stale: WhyStale | None,
) -> Paired:
    """Compare two methods by all rates, on the seeds measured of both.

    Args:
        names: keys of section `methods` (pooled globally), or names as printed ("CR-GAN+LMP").
        folder: of per-query results, `results/<profile>/queries`.
        why_stale: says why a file is not current, or None; None takes them as they are.

    Raises:
        UserError: a name that is none, or a cell that was not measured.
    """
    cells = [_cell(name, params["methods"]) for name in names]
    files = [_files(folder, str(cell.method), source, target) for cell in cells]
    queries = Queries(
        [path for found in files for path in found],
        profile=params["profile"],
        why_stale=why_stale,
    )
    what = f"{names[0]} and {names[1]}"
    rates: dict[str, tuple[float, float, Interval]] = {}
    for metric in RATES:
        first, second = (_sample(queries, cell, source, target, metric) for cell in cells)
        difference = first.minus(second, what)
        means = _mean(first, difference.seeds), _mean(second, difference.seeds)
        rates[metric] = (*means, interval(difference.values, settings))
    first, second = (_sample(queries, cell, source, target, "R1") for cell in cells)
    seeds = first.minus(second, what).seeds
    marks = [mark for cell in cells for mark in marks_of(cell.method, params["chosen"])]
    return Paired(
        *names, source, target, params["profile"], seeds,
        rates,
        tuple(_discordance(first, second, seed) for seed in seeds),
        tuple(dict.fromkeys(marks)),
    )  # fmt: skip


def mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided exact McNemar test: the p of a fair coin among the discordant queries."""
    total = first_only + second_only
    return float(binomtest(first_only, total).pvalue) if total else 1.0


def report(paired: Paired) -> str:
    """The comparison as text; ends with a line break."""
    where = direction_label(paired.source, paired.target)
    lines = [
        f"{paired.first} against {paired.second}, {where}, profile {paired.profile}: "
        f"{profile_warning(paired.profile)}",
        "",
        f"{'':6}{paired.first[:18]:>20}{paired.second[:18]:>20}{'difference':>12}  interval",
    ]
    for metric, (first, second, found) in paired.rates.items():
        ends = f"{found.low:+.1f} to {found.high:+.1f}" if found.low is not None else "none"
        lines.append(f"{metric:6}{first:>20.1f}{second:>20.1f}{found.value:>+12.1f}  {ends}")
    lines += ["", next(iter(paired.rates.values()))[2].covers, ""]
    lines.append("Right at rank 1, queries:")
    for d in paired.discordance:
        lines.append(
            f"  seed {d.seed}: both {d.both}, {paired.first} alone {d.first_only}, "
            f"{paired.second} alone {d.second_only}, neither {d.neither}; "
            f"McNemar's exact p = {d.p:.2g}"
        )
    return "\n".join([*lines, *(["", *paired.marks] if paired.marks else [])]) + "\n"


def _cell(name: str, methods: Mapping[str, Any]) -> Cell:
    if name in methods:
        return Cell(name, "global")
    cell = cell_of(Row(name, "", "", {}), methods)
    if cell is None or cell.method is None:
        known = ", ".join(methods)
        raise UserError(
            f"{name!r}: no method; use one of {known}, or a name as printed, such as CR-GAN+LMP"
        )
    return cell


def _files(folder: str | Path, method: str, source: str, target: str) -> Sequence[Path]:
    place = Path(folder) / method / f"{source}-{target}"
    found = sorted(place.glob("seed*.npz"))
    if not found:
        raise UserError(f"{place}: no per-query results; evaluate that cell first")
    return found


def _sample(queries: Queries, cell: Cell, source: str, target: str, metric: str) -> Sample:
    sample = queries.sample(str(cell.method), source, target, cell.pooling, metric)
    if sample is None:
        raise UserError(f"{cell.method} {source} to {target} has no results by {cell.pooling}")
    return sample


def _mean(sample: Sample, seeds: Sequence[int]) -> float:
    return float(sample.values[[sample.seeds.index(seed) for seed in seeds]].mean())


def _discordance(first: Sample, second: Sample, seed: int) -> Discordance:
    one, other = (s.values[s.seeds.index(seed)] > 0 for s in (first, second))
    alone = int(np.sum(one & ~other)), int(np.sum(other & ~one))
    return Discordance(
        seed, int(np.sum(one & other)), *alone, int(np.sum(~one & ~other)), mcnemar(*alone)
    )
