"""Reading score files into tables: whatever does not stand is refused, by name and reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.tables.lineage import mask_backends

WhyStale = Callable[[str], str | None]
"""Why a file is not what the present parameters and sources would make; None when it is.
`crgan.pipeline.records.Auditor(params).why_stale` is the one to use."""

_PERCENT = {"R1": "rank1", "R5": "rank5", "R10": "rank10", "mAP": "mAP"}
_DISTANCE = {"LPIPS": "lpips", "FID": "fid"}


@dataclass(frozen=True)
class Score:
    """One cell measured with one seed.

    Attributes:
        values: {pooling: {metric as printed: value}}; pooling "global" for LPIPS and FID.
        reference: the same metrics of the two data sets themselves; empty for re-id scores.
        notes: what a reader must know about the values (substituted weights and the like).
        reference_notes: the same about the reference.
    """

    path: str
    method: str
    source: str
    target: str
    seed: int
    values: Mapping[str, Mapping[str, float]]
    reference: Mapping[str, float]
    notes: tuple[str, ...]
    reference_notes: tuple[str, ...]


def read_scores(
    paths: Iterable[str | Path], *, profile: str, seeds: Iterable[int], why_stale: WhyStale
) -> list[Score]:
    """Read score files (re-id or visual), in the order of their cells.

    Args:
        profile: the present profile.
        seeds: the seeds of the experiment matrix.
        why_stale: says why a file is not current, or None.

    Raises:
        UserError: naming the file and the reason, when a score is stale, belongs to another
            profile or seed, is measured twice, or is not finite.
    """
    wanted = set(seeds)
    found: dict[tuple[str, str, str, int], Score] = {}
    for path in sorted({str(path) for path in paths}):
        score = _read(path, profile, why_stale)
        if score.seed not in wanted:
            raise UserError(
                f"{path}: seed {score.seed} is not in matrix.seeds ({_listed(wanted)}); "
                "add it there or leave the file out"
            )
        key = (score.method, score.source, score.target, score.seed)
        if key in found:
            raise UserError(f"{path}: the same cell as {found[key].path}; give one of them")
        found[key] = score
    return [found[key] for key in sorted(found)]


def _read(path: str, profile: str, why_stale: WhyStale) -> Score:
    reason = why_stale(path)
    if reason:
        raise UserError(f"{path}: not current: {reason}; measure it again (snakemake does)")
    record = read_json(path)
    try:
        if record["profile"] != profile:
            raise UserError(
                f"{path}: measured with profile {record['profile']!r}, this is a table of "
                f"{profile!r}; scores of two profiles are not comparable"
            )
        return _score(path, record)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a score file ({error!r}); measure it again") from None


def _score(path: str, record: Mapping[str, Any]) -> Score:
    if "pooling" in record:
        values = {
            pooling: _metrics(path, block, _PERCENT, most=100.0)
            for pooling, block in record["pooling"].items()
        }
        reference: dict[str, float] = {}
    else:
        values = {"global": _metrics(path, record, _DISTANCE)}
        reference = _metrics(path, record["reference"], _DISTANCE)
    return Score(
        path,
        record["method"],
        record["source"],
        record["target"],
        record["seed"],
        values,
        reference,
        (*_setting_notes(path, record), *record["notes"]),
        tuple(_metric_notes(record)),
    )


def _metrics(
    path: str, block: Mapping[str, Any], names: Mapping[str, str], most: float = math.inf
) -> dict[str, float]:
    values = {}
    for printed, name in names.items():
        value = float(block[name])
        # -1e-3: the Frechet distance of two equal sets comes out a rounding error below zero
        if not math.isfinite(value) or not -1e-3 <= value <= most:
            raise UserError(f"{path}: {name} is {value}; the model has failed, train it again")
        values[printed] = value
    return values


def _setting_notes(path: str, record: Mapping[str, Any]) -> list[str]:
    """What may deviate from the paper's own setting: ResNet50, masks by LIP-JPPNet."""
    backbone = record.get("backbone")
    started = f" (started from: {weights})" if (weights := record.get("backbone_weights")) else ""
    notes = [] if backbone in (None, "resnet50") else [f"backbone {backbone}{started}"]
    return [*notes, *(f"masks by {backend}" for backend in mask_backends(path))]


def _metric_notes(record: Mapping[str, Any]) -> list[str]:
    """What is to be said of LPIPS and FID themselves, whichever images they compare."""
    weights = record.get("settings", {}).get("weights", {})
    random = [role for role, origin in weights.items() if origin["origin"] == "random"]
    return [f"{role} with random weights: no published quantity" for role in random]


def _listed(values: Iterable[int]) -> str:
    return ", ".join(str(value) for value in sorted(values))
