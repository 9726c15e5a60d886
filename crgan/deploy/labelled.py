"""Labelled folders of one's own: which layout one has, and how good a model is on its people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crgan.common.errors import UserError
from crgan.data.entries import UNLABELLED_PID, Entry, Listing
from crgan.data.layout import layout_of, names
from crgan.metrics.ranking import Ranking, evaluate

if TYPE_CHECKING:
    from crgan.deploy.model import ReidModel


def readings(folder: Path, name: str) -> Iterable[tuple[str, Listing]]:
    """The layouts whose loaders understand a folder, and what each finds in it."""
    for layout_name in names():
        layout = layout_of(layout_name)
        try:
            yield layout_name, layout.load(folder, layout.options(), name)
        except UserError:
            continue


def score(models: Sequence[ReidModel], folder: str | Path) -> list[Ranking]:
    """Rank labelled images by each model: the single-query protocol, as the paper's tables do.

    Queries and gallery are those of the folder's layout. Where it has none (a folder for each
    person), each labelled image is a query and all are the gallery. Images of the query's person
    in the query's own camera, itself among them, never count. Average precision and distance are
    those of `evaluate` in params.yaml.

    Args:
        models: to be compared on the same images.
        folder: `<person>/<camera>_*.jpg`, or a data set of any known layout.

    Raises:
        UserError: no labelled data set, nobody seen by two cameras, or an image of no use, named.
    """
    query, gallery = _queries_and_gallery(Path(folder))
    root = Path(folder)
    labels: list[Any] = [
        np.array([getattr(entry, key) for entry in entries])
        for entries in (query, gallery)
        for key in ("pid", "camid")
    ]
    rankings = []
    for model in models:
        asked, there = (model(root / e.path for e in entries) for entries in (query, gallery))
        rankings.append(evaluate(asked, there, *labels, ap="step", metric="cosine"))
    return rankings


def _queries_and_gallery(folder: Path) -> tuple[list[Entry], list[Entry]]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    for _, listing in readings(folder, folder.name):
        by_split = {
            split: [entry for entry in listing.entries if entry.split == split]
            for split in ("query", "gallery")
        }
        query = [entry for entry in by_split["query"] if entry.pid > 0]
        gallery = [e for e in by_split["gallery"] if e.pid != UNLABELLED_PID]
        if not by_split["query"]:
            query = gallery = [entry for entry in listing.entries if entry.pid > 0]
        if query and gallery:
            return query, gallery
    raise UserError(
        f"{folder}: no labelled data set of a known layout ({', '.join(names())}); put crops under "
        "<person>/<camera>_*.jpg"
    )
