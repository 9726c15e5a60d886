"""Scores of a re-id CNN (or of given features), as they rank the gallery and re-ranked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.settings import Natural, settings_from
from crgan.data.store import Dataset, Split
from crgan.metrics.ranking import ApDefinition, Metric, Ranking, evaluate, evaluate_distances
from crgan.metrics.reranking import check_parameters, rerank
from crgan.nets.reid import ReidNet
from crgan.reid.features import Feature, Parts, extract

RATES = ("rank1", "rank5", "rank10", "mAP")
RERANKED = "_rr"  # a pooling's name ends so where its distances were re-ranked


@dataclass(frozen=True)
class Reranking:
    """Parameters of `crgan.metrics.reranking.rerank`; the paper's are 20, 6 and 0.3."""

    k1: int
    k2: int
    lambda_value: float

    def __post_init__(self) -> None:
        check_parameters(self.k1, self.k2, self.lambda_value)


@dataclass(frozen=True)
class Protocol:
    """How features are taken and ranked: the section `evaluate` of the parameters.

    Attributes:
        average_precision: step or trapezoid (`crgan.metrics.ranking`).
        metric: cosine or euclidean.
        lmp_parts: stripes of LMP, or "rows".
        feature: pooled or pooled_mirror (`features.extract`).
        ranks_kept: nearest gallery images written down for each query.
        rerank: how each pooling is also re-ranked; None for not at all.
    """

    average_precision: ApDefinition
    metric: Metric
    lmp_parts: Parts
    feature: Feature
    ranks_kept: Natural = 0
    rerank: Reranking | None = None


def protocol_from(section: Mapping[str, Any]) -> Protocol:
    """The protocol written in section `evaluate` of the parameters.

    Raises:
        UserError: a key that is unknown or missing, or a value there is no such choice for.
    """
    return settings_from(Protocol, section, "evaluate")


@dataclass(frozen=True)
class Scores:
    """Rankings of one model on one target, by pooling, and the stripes LMP had.

    Poolings: global; lmp, where there is a map to pool (else `parts` is 0); and where the protocol
    re-ranks, each again with _rr behind its name.
    """

    by_pooling: Mapping[str, Ranking]
    parts: int
    protocol: Protocol

    def to_dict(self) -> dict[str, Any]:
        """The blocks `pooling` and `protocol` of a score file; rates in percent."""
        facts, again = self.by_pooling["global"], self.protocol.rerank
        return {
            "pooling": {
                pooling: {rate: getattr(ranking, rate) for rate in RATES}
                for pooling, ranking in self.by_pooling.items()
            },
            "protocol": {
                "average_precision": self.protocol.average_precision,
                "metric": self.protocol.metric,
                "feature": self.protocol.feature,
                "lmp_parts": self.parts,
                "rerank": asdict(again) if again else None,
                "queries": facts.queries,
                "dropped_queries": facts.dropped_queries,
                "gallery": facts.gallery,
                "junk": facts.junk,
            },
        }

    def by_query(self) -> dict[str, NDArray[Any]]:
        """Each query's own result by pooling P, for intervals, CMC curves and rank lists.

        Returns:
            ap_P: (Q,) float32 average precision in 0..1, NaN where the query was dropped.
            first_P: (Q,) int32 rank of the first true match from 1, 0 where it was dropped.
            top_P: (Q, ranks_kept) int32 rows of the gallery split, nearest first; -1 past its end.
            right_P: (Q, ranks_kept) bool, whether that image shows the query's person.
        """
        arrays: dict[str, NDArray[Any]] = {}
        for pooling, ranking in self.by_pooling.items():
            arrays[f"ap_{pooling}"] = ranking.ap.astype(np.float32)
            arrays[f"first_{pooling}"] = ranking.first_match.astype(np.int32)
            arrays[f"top_{pooling}"] = ranking.nearest.astype(np.int32)
            arrays[f"right_{pooling}"] = ranking.nearest_right
        return arrays


def query_and_gallery(data: Dataset) -> tuple[Split, Split]:
    """The splits a ranking needs.

    Raises:
        UserError: one of them is empty, as in an unlabelled target or a set that only trains.
    """
    query, gallery = data.split("query"), data.split("gallery")
    empty = [name for name, split in (("query", query), ("gallery", gallery)) if not len(split)]
    if empty:
        raise UserError(
            f"{data.path}: no {' and no '.join(empty)} images, so nothing can be ranked. A target "
            "without labels can be adapted to, but not evaluated on; take it out of the matrix's "
            "evaluated cells, or label a query and a gallery"
        )
    return query, gallery


def rows_of(query: Split, gallery: Split) -> dict[str, NDArray[Any]]:
    """Which images were ranked: their rows in the manifest, int32 (Q,) and (G,)."""
    splits = {"query_rows": query, "gallery_rows": gallery}
    return {name: split.rows.astype(np.int32) for name, split in splits.items()}


def score(
    net: ReidNet,
    query: Split,
    gallery: Split,
    protocol: Protocol,
    *,
    device: str = "cpu",
    threads: int = 1,
) -> Scores:
    """Rank the gallery for each query by the features of `net`, single query.

    Raises:
        UserError: parts that do not divide the last map, or labels that cannot be ranked.
    """
    q, g = (
        extract(
            net,
            split.images,
            parts=protocol.lmp_parts,
            feature=protocol.feature,
            device=device,
            description=name,
        )
        for name, split in (("query", query), ("gallery", gallery))
    )

    features = {"global": (q.pooled, g.pooled), "lmp": (q.lmp, g.lmp)}
    return _rank(features, q.parts, query, gallery, protocol, threads)


def score_features(
    file: Mapping[str, Any],
    name: str,
    query: Split,
    gallery: Split,
    protocol: Protocol,
    *,
    threads: int = 1,
) -> Scores:
    """Rank by features that are already there, those of a hand-crafted system.

    Args:
        file: `{"kind": "features", "query": (Q, D), "gallery": (G, D), ...}`; `name` is the
            file's, for messages.

    Raises:
        UserError: another kind of file, or features of other images.
    """
    if file.get("kind") != "features":
        raise UserError(f"{name}: kind is {file.get('kind')!r}, a 'features' file is needed here")
    q, g = file["query"].numpy(), file["gallery"].numpy()
    if (len(q), len(g)) != (len(query), len(gallery)):
        raise UserError(
            f"{name}: features of {len(q)} query and {len(g)} gallery images, the target has "
            f"{len(query)} and {len(gallery)}; describe it again"
        )
    return _rank({"global": (q, g)}, 0, query, gallery, protocol, threads)


def _rank(
    features: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
    parts: int,
    query: Split,
    gallery: Split,
    protocol: Protocol,
    threads: int,
) -> Scores:
    """Rank by each pooling's features of query and gallery."""
    labels = (query.pid, query.camid, gallery.pid, gallery.camid)
    ap, metric, again = protocol.average_precision, protocol.metric, protocol.rerank
    keep = protocol.ranks_kept
    by_pooling = {}
    for pooling, (q, g) in features.items():
        by_pooling[pooling] = evaluate(
            q, g, *labels, ap=ap, metric=metric, keep=keep, threads=threads
        )
        if again:
            distances = rerank(q, g, **asdict(again), metric=metric, threads=threads)
            again_ranked = evaluate_distances(distances, *labels, ap=ap, keep=keep)
            by_pooling[pooling + RERANKED] = again_ranked
    return Scores(by_pooling, parts, protocol)
