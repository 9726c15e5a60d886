"""Gallery features in the plane, before adaptation and after: Direct Transfer's and CR-GAN's.

t-SNE, started from PCA and with a fixed seed, of some people's gallery images; people are drawn
by `figures.seed`. What is computed is kept in scratch under the keys of the jobs it came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crgan.common.io import canonical_json, load_torch, read_json, sha256_bytes, write_json
from crgan.data.store import Split, open_dataset
from crgan.pipeline.places import place_of, scored_file
from crgan.reid.evaluate import query_and_gallery
from crgan.report.page.project import Project
from crgan.tables.written import direction_label

PEOPLE, IMAGES = 10, 400
METHODS = ("direct_transfer", "crgan")
_CACHE = Path(".scratch/report")
_VERSION = 1  # of what is computed here


@dataclass(frozen=True)
class Embedding:
    """One method's features of a direction: points with x, y, camera and person; the nearest
    neighbour's person and camera agree with an image's own in so many percent of images."""

    method: str
    key: str
    points: list[dict[str, Any]]
    same_person: float
    same_camera: float


@dataclass(frozen=True)
class Before:
    """A direction, and its embeddings in the order of `METHODS`."""

    direction: str
    embeddings: tuple[Embedding, ...]


def embeddings(project: Project) -> list[Before]:
    """All directions in which both methods' models are there."""
    found = []
    for pair in project.params["matrix"]["renderings"]:
        names = [
            scored_file(project.params, place_of({"method": method, **pair}), project.seeds[0])
            for method in METHODS
        ]
        if all(project.file(name) for name in names):
            own = tuple(
                _cached(project, m, n, pair["target"]) for m, n in zip(METHODS, names, strict=True)
            )
            found.append(Before(direction_label(pair["source"], pair["target"]), own))
    return found


def _cached(project: Project, method: str, name: str, target: str) -> Embedding:
    key = project.key_of(name)
    data = project.artifacts / "data" / target / "manifest.csv"
    made = project.records[data.relative_to(project.root).as_posix()]["key"]
    seed = project.params["figures"]["seed"]
    identity = sha256_bytes(canonical_json([_VERSION, key, made, seed, PEOPLE, IMAGES]).encode())
    path = _CACHE / f"embedding-{identity[:24]}.json"
    if not path.is_file():
        write_json(path, _computed(project.root / name, data, seed))
    facts = read_json(path)
    return Embedding(project.label(method), key, **facts)


def _computed(model: Path, data: Path, seed: int) -> dict[str, Any]:
    from crgan.reid.features import extract
    from crgan.reid.model_file import build_reid

    file = load_torch(model)
    net = build_reid(file, str(model))
    _, gallery = query_and_gallery(open_dataset(data, (file["height"], file["width_px"])))
    rows = people_of(gallery, np.random.default_rng(seed))
    features = extract(net, np.ascontiguousarray(gallery.images[rows])).pooled
    features /= np.linalg.norm(features, axis=1, keepdims=True) + 1e-12
    pid, camid = gallery.pid[rows], gallery.camid[rows]
    nearest = _nearest(features)
    return {
        "points": [
            {"x": float(f"{x:.3g}"), "y": float(f"{y:.3g}"), "camera": int(c), "person": int(p)}
            for (x, y), c, p in zip(plane(features), camid, pid, strict=True)
        ],
        "same_person": round(100 * float((pid == pid[nearest]).mean()), 1),
        "same_camera": round(100 * float((camid == camid[nearest]).mean()), 1),
    }


def people_of(split: Split, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places in a split of all images of some people, at most `IMAGES`."""
    named = np.unique(split.pid[split.pid > 0])
    chosen = rng.permutation(named)[:PEOPLE]
    return np.flatnonzero(np.isin(split.pid, chosen))[:IMAGES].astype(np.int64)


def plane(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """t-SNE of features (n, D), (n, 2); the same bytes every time, whatever the threads."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = max(1.0, min(15.0, (len(features) - 1) / 3))
    with threadpool_limits(1):
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=0, n_jobs=1)
        return np.asarray(tsne.fit_transform(features), dtype=np.float32)


def _nearest(features: NDArray[np.float32]) -> NDArray[np.int64]:
    likeness = features @ features.T
    np.fill_diagonal(likeness, -np.inf)
    return likeness.argmax(1)
