"""The gallery: a query, and what each method ranks first for it, as numbers and one sheet of tiles.

The queries are drawn at random by `figures.seed`, before any score is looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import load_arrays
from crgan.data.store import Dataset, open_dataset
from crgan.looks.picks import pick_queries
from crgan.reid.evaluate import query_and_gallery
from crgan.report.page.album import Album, Encoded, tiles
from crgan.report.page.project import Project
from crgan.tables.names import dataset_label

QUERIES, RANKS = 16, 10
TILES = 1200  # images of one target at most; queries are taken away until they suffice
_TALL = 128
_COLUMNS = 40
_POOLINGS = {"global": "", "lmp": "+LMP"}


@dataclass(frozen=True)
class Gallery:
    """One target: its sheet of tiles, and for the script the queries and each method's ranks."""

    target: str
    label: str
    sheet: Encoded
    data: dict[str, Any]


def galleries(project: Project, album: Album) -> list[Gallery]:
    """A gallery for each target of which queries were kept."""
    found = []
    for target in project.params["matrix"]["targets"]:
        views = _views(project, target)
        manifest = project.artifacts / "data" / target / "manifest.csv"
        if views and manifest.is_file():
            found.append(_gallery(project, target, open_dataset(manifest), views, album))
    return found


_View = tuple[str, dict[str, NDArray[Any]], str]  # label, arrays, pooling


def _views(project: Project, target: str) -> list[_View]:
    """Every method and pooling that ranked this target, of the first seed there is."""
    views = []
    matrix = project.params["matrix"]
    cells = [c for group in ("adapt", "gan", "rendered", "handcrafted") for c in matrix[group]]
    many = len({cell["source"] for cell in cells if cell["target"] == target}) > 1
    for cell in sorted(cells, key=lambda c: matrix["sources"].index(c["source"])):
        files = list(project.seed_files("queries", cell, ".npz"))
        if cell["target"] != target or not files:
            continue
        arrays = load_arrays(project.root / files[0][1])
        start = f" from {dataset_label(cell['source'])}" if many else ""
        for pooling, ending in _POOLINGS.items():
            if arrays.get(f"top_{pooling}", np.empty((0, 0))).shape[1]:
                views.append((f"{project.label(cell['method'])}{ending}{start}", arrays, pooling))
    return views


def _gallery(
    project: Project, target: str, data: Dataset, views: list[_View], album: Album
) -> Gallery:
    query, gallery = query_and_gallery(data)
    seed = project.params["figures"]["seed"]
    chosen = pick_queries(query, gallery, QUERIES, np.random.default_rng(seed))
    for label, arrays, _ in views:
        if not np.array_equal(arrays["gallery_rows"], gallery.rows):
            raise UserError(
                f"{label} on {target}: ranked other images than {data.path} holds; evaluate again"
            )
    while len(chosen) > 1 and len(_shown(chosen, views)) + len(chosen) > TILES:
        chosen = chosen[:-1]
    there = _shown(chosen, views)
    place = {int(row): i + len(chosen) for i, row in enumerate(there)}
    images = [data.store[query.rows[q]] for q in chosen] + [
        data.store[gallery.rows[g]] for g in there
    ]
    height = min(_TALL, data.store.shape[1])
    width = round(data.store.shape[2] * height / data.store.shape[1])
    small = np.stack([_shrunk(image, height, width) for image in images])
    label = dataset_label(target)
    sheet = album.add(
        tiles(small, _COLUMNS), f"Query and gallery images of {label}", widest=_COLUMNS * width
    )
    return Gallery(
        target,
        label,
        sheet,
        {
            "tile": [width, height],
            "columns": _COLUMNS,
            "queries": [
                {"person": int(query.pid[q]), "camera": int(query.camid[q])} for q in chosen
            ],
            "cameras": [int(gallery.camid[g]) for g in there],
            "views": [_ranks(view, chosen, place) for view in views],
        },
    )


def _shown(chosen: NDArray[np.int64], views: list[_View]) -> NDArray[np.int64]:
    tops = [arrays[f"top_{pooling}"][chosen, :RANKS].ravel() for _, arrays, pooling in views]
    rows = np.unique(np.concatenate(tops)).astype(np.int64)
    return rows[rows >= 0]  # -1 is past the end of a small gallery


def _ranks(view: _View, chosen: NDArray[np.int64], place: dict[int, int]) -> dict[str, Any]:
    """For the script: of each query its AP in percent, and tile and rightness of each rank."""
    label, arrays, pooling = view
    queries = []
    for q in chosen:
        ap = float(arrays[f"ap_{pooling}"][q])
        top, right = arrays[f"top_{pooling}"][q, :RANKS], arrays[f"right_{pooling}"][q, :RANKS]
        queries.append(
            {
                "ap": round(100 * ap, 1) if math.isfinite(ap) else None,
                "first": int(arrays[f"first_{pooling}"][q]),
                "top": [[place[int(g)], int(r)] for g, r in zip(top, right, strict=True) if g >= 0],
            }
        )
    return {"label": label, "queries": queries}


def _shrunk(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return np.asarray(image)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)
