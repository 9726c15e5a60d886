"""Claims weighed on measured cells: the difference, its interval, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.metrics.bootstrap import Interval, Settings, interval
from crgan.tables.claims import Claim, Comparison, Place, kind_of
from crgan.tables.marks import marks_of
from crgan.tables.printed import DATA_ROW, Row, cell_of
from crgan.tables.queries import Queries, Sample
from crgan.tables.scores import WhyStale, read_scores

HOLDS, FAILS, UNDECIDED, ABSENT = "holds", "fails", "undecided", "not measured"
UNMEASURED = "not measurable"
VERDICTS = (HOLDS, FAILS, UNDECIDED, ABSENT)


@dataclass(frozen=True)
class Weighed:
    """A comparison and what was measured of it; `found` is None where a cell was not measured."""

    comparison: Comparison
    found: Interval | None
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """By the interval alone: holds or fails where it lies on one side of 0, else undecided."""
        if self.found is None:
            return ABSENT
        if self.found.low is None or self.found.high is None:
            return UNDECIDED
        low, high = sorted(self.comparison.sign * x for x in (self.found.low, self.found.high))
        return HOLDS if low > 0 else FAILS if high < 0 else UNDECIDED


class Images:
    """LPIPS and FID (`visual`), and what the judges said (`judged`): one number a seed."""

    def __init__(
        self,
        visual: Iterable[str | Path],
        judged: Iterable[str | Path],
        *,
        profile: str,
        seeds: Sequence[int],
        why_stale: WhyStale,
    ) -> None:
        self._values: dict[tuple[str, str, str, str], dict[int, float]] = {}
        for score in read_scores(visual, profile=profile, seeds=seeds, why_stale=why_stale):
            for metric, value in score.values["global"].items():
                self._add(score.method, score.source, score.target, metric, score.seed, value)
            for metric, value in score.reference.items():
                self._add(DATA_ROW, score.source, score.target, metric, score.seed, value)
        for path in judged:
            if reason := why_stale(str(path)):
                raise UserError(f"{path}: not current: {reason}; judge the renderings again")
            record = read_json(path)
            if record["profile"] != profile:
                raise UserError(f"{path}: of profile {record['profile']!r}, not {profile!r}")
            for metric in ("identity", "domain", "camera", "diversity"):
                if record[metric] is not None:
                    cell = (record["method"], record["source"], record["target"])
                    self._add(*cell, metric, record["seed"], record[metric])

    def _add(
        self, method: str, source: str, target: str, metric: str, seed: int, value: float
    ) -> None:
        self._values.setdefault((method, source, target, metric), {})[seed] = float(value)

    def sample(self, method: str, source: str, target: str, metric: str) -> Sample | None:
        """A cell's values; None where it was not measured."""
        found = self._values.get((method, source, target, metric))
        if not found:
            return None
        seeds = tuple(sorted(found))
        return Sample(seeds, np.array([[found[seed]] for seed in seeds]))


def weigh(
    comparisons: Iterable[Comparison],
    queries: Queries,
    images: Images,
    *,
    params: Mapping[str, Any],
    settings: Settings,
) -> list[Weighed]:
    """Weigh each comparison by its paired difference.

    Args:
        params: `methods` and `chosen` are read.

    Raises:
        UserError: cells that cannot be paired.
    """
    return [_weigh(c, queries, images, params, settings) for c in comparisons]


def _weigh(
    comparison: Comparison,
    queries: Queries,
    images: Images,
    params: Mapping[str, Any],
    settings: Settings,
) -> Weighed:
    places = (comparison.better, comparison.worse)
    notes = []
    if comparison.paper is not None and comparison.sign * comparison.paper <= 0:
        notes.append("the paper's own numbers say the reverse")
    samples = [_sample(comparison, place, queries, images, params) for place in places]
    for place, sample in zip(places, samples, strict=True):
        if sample is None:
            notes.append(f"{place.method} {place.source} to {place.target} was not measured")
    for place in places:
        notes += marks_of(_method(place, params), params["chosen"])
    first, second = samples
    if first is None or second is None:
        return Weighed(comparison, None, tuple(notes))
    difference = first.minus(second, f"claim {comparison.claim.id}, {comparison.name}")
    found = interval(difference.values, settings)
    notes.append(found.covers)
    of = max(len(first.seeds), len(second.seeds))
    if len(difference.seeds) < of:
        notes.append(f"{len(difference.seeds)} of {of} seeds measured of both")
    return Weighed(comparison, found, tuple(dict.fromkeys(notes)))


def _sample(
    comparison: Comparison,
    place: Place,
    queries: Queries,
    images: Images,
    params: Mapping[str, Any],
) -> Sample | None:
    cell = cell_of(Row(place.method, place.source, place.target, {}), params["methods"])
    if cell is None:
        return None
    direction, metric = (place.source, place.target), comparison.metric
    if kind_of(metric) != "queries":
        return images.sample(cell.method or DATA_ROW, *direction, metric)
    if cell.method is None:
        return None
    return queries.sample(cell.method, *direction, cell.pooling, metric)


def _method(place: Place, params: Mapping[str, Any]) -> str | None:
    cell = cell_of(Row(place.method, place.source, place.target, {}), params["methods"])
    return cell.method if cell else None


def tally(weighed: Iterable[Weighed]) -> dict[str, int]:
    """How many have each verdict."""
    found = dict.fromkeys(VERDICTS, 0)
    for one in weighed:
        found[one.verdict] += 1
    return found


def by_claim(weighed: Sequence[Weighed]) -> list[tuple[Claim, list[Weighed]]]:
    """The comparisons of each claim, in order."""
    found: dict[str, tuple[Claim, list[Weighed]]] = {}
    for one in weighed:
        claim = one.comparison.claim
        found.setdefault(claim.id, (claim, []))[1].append(one)
    return list(found.values())
