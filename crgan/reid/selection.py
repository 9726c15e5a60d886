"""What may be looked at when a parameter is chosen: not the target's query and gallery."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from crgan.common.errors import UserError
from crgan.common.settings import Count, Positive
from crgan.data.store import open_dataset
from crgan.metrics.neighbourhood import (
    camera_mixing,
    reciprocity,
    soft_neighbourhood_density,
)
from crgan.nets.reid import ReidNet
from crgan.reid.evaluate import Protocol, query_and_gallery, score
from crgan.reid.features import extract


@dataclass(frozen=True)
class Settings:
    """Section `selection` of the parameters.

    Attributes:
        temperature: of soft neighbourhood density; its paper's is 0.05.
        neighbours: of each image, for camera mixing.
        held_out: data sets whose query and gallery are training identities held out of training.
    """

    temperature: Positive
    neighbours: Count
    held_out: tuple[str, ...]


def on_target(
    net: ReidNet, manifest: str | Path, size: tuple[int, int], settings: Settings, device: str
) -> dict[str, float]:
    """Criteria of the target's training images; neither their identities nor its test is read."""
    train = open_dataset(manifest, size).split("train")
    if len(train) < 2:
        raise UserError(f"{manifest}: fewer than two training images; nothing to select by")
    features = extract(net, train.images, device=device, description="target").pooled
    return {
        "snd": round(soft_neighbourhood_density(features, settings.temperature), 4),
        "reciprocity": round(reciprocity(features, train.camid), 4),
        "camera_mixing": round(camera_mixing(features, train.camid, settings.neighbours), 4),
    }


def on_source(
    net: ReidNet, manifest: str | Path, size: tuple[int, int], protocol: Protocol, device: str
) -> dict[str, dict[str, float]]:
    """Rates in percent on the source's held-out identities, by pooling, not re-ranked."""
    query, gallery = query_and_gallery(open_dataset(manifest, size))
    scores = score(net, query, gallery, replace(protocol, rerank=None), device=device)
    found: dict[str, dict[str, float]] = scores.to_dict()["pooling"]
    return found
