"""What jobs will ask of the labels of a data set, asked before the first of them runs.

An own data set may lack a query and a gallery, labels of persons, or attributes. Each is fine for
something; what some job of this run cannot do without is told at once, not after the training that
comes before that job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.paths import is_address

Jobs = Iterable[tuple[str, Mapping[str, str]]]
_RANKED = ("evaluate", "handcraft", "draw_rank_lists")
_TAUGHT = {"pretrain_id": "source", "train_judges": "source"}


@dataclass(frozen=True)
class Labels:
    """What a data set has beside its images.

    Attributes:
        test: a query and a gallery.
        persons: labels of the persons it trains on.
        attributes: of these persons.
    """

    test: bool
    persons: bool
    attributes: bool


def require_labels(params: Mapping[str, Any], jobs: Jobs) -> None:
    """Refuse jobs whose data set lacks labels that they need.

    Data sets that are not on this disk yet, or drawn, or in an archive, are not looked at.

    Raises:
        UserError: with a line for each data set and what it lacks; or what its layout refuses.
    """
    jobs = list(jobs)
    drawn_anew = {w["dataset"] for rule, w in jobs if rule == "prepare_data"}
    known: dict[str, Labels | None] = {}
    lines: dict[str, None] = {}
    for rule, wildcards in jobs:
        for dataset, what, lacking in _needs(params, rule, wildcards):
            if dataset not in known:
                known[dataset] = _labels(params, dataset, dataset in drawn_anew)
            labels = known[dataset]
            if labels is not None and not getattr(labels, what):
                lines[f"{dataset} {lacking}"] = None
    if lines:
        listed = "\n".join(f"  - {line}" for line in lines)
        raise UserError(
            f"what is asked for cannot be made of these data:\n{listed}\nAdd the labels, or take "
            "the data set out of the methods' pairs in params.yaml"
        )


def _needs(
    params: Mapping[str, Any], rule: str, wildcards: Mapping[str, str]
) -> Iterable[tuple[str, str, str]]:
    """(data set, field of `Labels`, what to say where it is not so) of a job."""
    if rule in _RANKED:
        yield (
            wildcards["target"],
            "test",
            ("has no query and gallery, so nothing can be scored on it"),
        )
    if rule in _TAUGHT:
        yield (
            wildcards[_TAUGHT[rule]],
            "persons",
            ("has no labels of persons, so it can be a target but not a source"),
        )
    if rule == "adapt":
        method = wildcards["method"]
        uses = params["methods"][method]["uses"]
        if "attributes" in uses:
            yield (
                wildcards["source"],
                "attributes",
                (f"has no attributes of its persons, which {method} learns"),
            )
        if "tracklets" in uses:
            yield (
                wildcards["target"],
                "persons",
                (f"does not say which images of a camera show one person, which {method} needs"),
            )


def _labels(params: Mapping[str, Any], dataset: str, anew: bool) -> Labels | None:
    """Of a data set, from its manifest, or from its raw folder where that is to be read anew."""
    from crgan.data.layout import layout_of
    from crgan.data.manifest import read_manifest
    from crgan.data.prepare import GENERATED, MANIFEST, DataSpec

    profile = params["profile"]
    if not anew:
        path = Path("artifacts") / profile / "data" / dataset / MANIFEST
        try:
            found = read_manifest(path)
        except UserError:
            return None  # not here, or damaged, which the job that reads it says
        pids = (int(p) for p, s in zip(found.pid, found.split, strict=True) if s == "train")
        return _of(found.split, pids, bool(found.attributes))
    own = params["profiles"][profile]["data"][dataset]
    spec = DataSpec.of(dataset, {**params["data"][dataset], **own})
    place = Path(spec.source)
    if spec.source == GENERATED or is_address(spec.source) or not place.is_dir():
        return None
    listing = layout_of(spec.layout).load(place, spec.options, dataset)
    trained = (e.pid for e in listing.entries if e.split == "train")
    return _of((e.split for e in listing.entries), trained, bool(listing.attributes))


def _of(splits: Iterable[str], trained: Iterable[int], attributes: bool) -> Labels:
    test = {"query", "gallery"} <= set(splits)
    return Labels(test, any(pid > 0 for pid in trained), attributes)
