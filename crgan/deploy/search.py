"""Who is this, and where else was he seen: queries ranked against a gallery folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.deploy.gallery import Gallery, open_gallery
from crgan.deploy.listing import camera_of, list_images
from crgan.deploy.model import ReidModel, as_array
from crgan.deploy.nearest import top_k
from crgan.deploy.page import data_uri, printable, write_page

PAGE_QUERIES = 200  # on the page; the table has all


@dataclass(frozen=True)
class Hit:
    """A gallery image found for a query: path below the gallery, camera, cosine similarity."""

    name: str
    camera: str
    similarity: float


@dataclass(frozen=True)
class Ranking:
    """A query and what was found for it, the most similar first."""

    query: Path
    camera: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Found:
    """What `search` gives: a ranking for each query, and the gallery they are from."""

    rankings: list[Ranking]
    gallery: Gallery


def search(
    model: ReidModel,
    gallery: str | Path,
    queries: Sequence[str | Path],
    *,
    top: int = 10,
    same_camera: bool = False,
    matrix: str | Path | None = None,
) -> Found:
    """Rank a gallery for each query, exactly.

    Args:
        gallery: a folder, `<camera>/*.jpg` or any other; its features are kept in it.
        queries: image files, or folders of them.
        top: images to find for each.
        same_camera: also find images of the query's own camera, where that is known; a person
            walking by is otherwise found in the images next to the query. The query itself is
            never found.
        matrix: a file .npy for all similarities, float32 (queries, images), rows as `rankings`,
            columns as `gallery.names`.

    Raises:
        UserError: a query or a folder that is not there or cannot be used.
    """
    if top < 1:
        raise UserError(f"--top is {top}; at least 1")
    asked = [image for query in queries for image in _images_of(Path(query))]
    if not asked:
        raise UserError("no query; name an image or a folder of images")
    features = model(path for path, _ in asked)
    there = open_gallery(gallery, model)
    place = {os.path.realpath(there.root / name): row for row, name in enumerate(there.names)}
    itself = np.array([place.get(os.path.realpath(path), -1) for path, _ in asked])
    known = {camera: code for code, camera in enumerate(dict.fromkeys(there.cameras)) if camera}
    cameras = [
        there.cameras[row] if row >= 0 else camera_of(name) or _folder_camera(path, known)
        for row, (path, name) in zip(itself, asked, strict=True)
    ]
    codes = (_codes(cameras, known), _codes(there.cameras, known))
    with _matrix(matrix, (len(asked), len(there.names))) as whole:
        rows, similarity = top_k(
            features, there.features, min(top, len(there.names)),
            cameras=None if same_camera else codes, itself=itself, matrix=whole,
        )  # fmt: skip
    rankings = []
    for query, (path, _) in enumerate(asked):
        hits = tuple(
            Hit(there.names[row], there.cameras[row], float(value))
            for row, value in zip(rows[query], similarity[query], strict=True)
            if row >= 0
        )
        rankings.append(Ranking(path, cameras[query], hits))
    return Found(rankings, there)


def write_csv(found: Found, path: str | Path) -> None:
    """All rankings as a table: query, rank, image, camera, similarity."""
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["query", "query_camera", "rank", "image", "camera", "similarity"])
        for ranking in found.rankings:
            for rank, hit in enumerate(ranking.hits, 1):
                writer.writerow([ranking.query, ranking.camera, rank, hit.name, hit.camera,
                                 f"{hit.similarity:.4f}"])  # fmt: skip


def write_html(found: Found, path: str | Path, title: str) -> None:
    """The first rankings as one page with the images in it; a click opens an image's own file."""
    path = Path(path)
    uris: dict[Path, str] = {}

    def image(file: Path, caption: str) -> dict[str, str]:
        if file not in uris:
            uris[file] = data_uri(as_array(file, (128, 64)))
        href = quote(os.path.relpath(file, path.parent), errors="surrogateescape")
        return {"uri": uris[file], "href": href, "caption": printable(caption)}

    root = found.gallery.root
    rankings = [
        {
            "query": image(ranking.query, ranking.camera or "camera unknown"),
            "name": printable(str(ranking.query)),
            "hits": [
                image(root / hit.name, f"{hit.similarity:.3f} {hit.camera}") for hit in ranking.hits
            ],
        }
        for ranking in found.rankings[:PAGE_QUERIES]
    ]
    write_page(
        path, "search.html.j2", title=title, rankings=rankings, queries=len(found.rankings),
        gallery=printable(str(root)), images=len(found.gallery.names),
        skipped={printable(k): printable(v) for k, v in sorted(found.gallery.skipped.items())},
    )  # fmt: skip


def as_text(found: Found) -> Iterator[str]:
    """Lines for a terminal."""
    width = max((len(h.camera) for r in found.rankings for h in r.hits), default=6)
    width = min(max(width, 6), 24)
    for ranking in found.rankings:
        camera = f" (camera {printable(ranking.camera)})" if ranking.camera else ""
        yield f"{printable(str(ranking.query))}{camera}"
        yield f"  rank  similarity  {'camera':{width}}  image"
        for rank, hit in enumerate(ranking.hits, 1):
            yield (
                f"  {rank:4}  {hit.similarity:10.4f}  {printable(hit.camera):{width}}  "
                f"{printable(hit.name)}"
            )
        if not ranking.hits:
            yield "  no image of another camera; --same-camera looks in the query's own too"


def _images_of(query: Path) -> list[tuple[Path, str]]:
    """A query's images, each with its path below the folder that was named."""
    if query.is_dir():
        return [(query / name, name) for name in list_images(query)]
    if not query.is_file():
        raise UserError(f"{query}: no such image or folder")
    return [(query, query.name)]


def _folder_camera(path: Path, known: Mapping[str, int]) -> str:
    """A single image's camera is its folder, if the gallery has one of that name."""
    folder = path.resolve().parent.name
    return folder if folder in known else ""


def _codes(cameras: Sequence[str], known: Mapping[str, int]) -> NDArray[np.int64]:
    return np.array([known.get(camera, -1) for camera in cameras], dtype=np.int64)


@contextmanager
def _matrix(
    path: str | Path | None, shape: tuple[int, int]
) -> Iterator[NDArray[np.float32] | None]:
    if path is None:
        yield None
        return
    with atomic_path(path) as temporary:
        whole = np.lib.format.open_memmap(temporary, "w+", dtype=np.float32, shape=shape)
        yield whole
        whole.flush()
