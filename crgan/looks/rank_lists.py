"""Rank lists: a query and the gallery images nearest to it, right and wrong ones told apart.

Right: solid green frame and a tick. Wrong: dashed red frame and a cross. So neither colour nor
shape alone carries the meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crgan.data.store import Split
from crgan.looks.canvas import (
    BLACK,
    GREY,
    TEXT,
    Canvas,
    Colour,
    Pixels,
    enlarged,
    shown_size,
    text_width,
)
from crgan.metrics.ranking import Metric, top_matches

RIGHT: Colour = (0, 130, 70)
WRONG: Colour = (200, 30, 30)

_TICK, _CROSS = "✓", "✗"
_MARGIN = 12
_FRAME = 4
_GAP = 2 * _FRAME + 4
_AFTER_QUERY = 20
_LINE = TEXT + 6
_SMALL = TEXT - 2


@dataclass(frozen=True)
class Found:
    """One gallery image of a rank list."""

    image: Pixels
    camid: int
    is_right: bool


@dataclass(frozen=True)
class RankList:
    """A query and the images found for it, nearest first."""

    query: Pixels
    camid: int
    found: tuple[Found, ...]


def list_found(
    query: Split,
    gallery: Split,
    features: tuple[NDArray[np.float32], NDArray[np.float32]],
    chosen: NDArray[np.int64],
    *,
    count: int,
    metric: Metric,
    shown: tuple[Split, Split] | None = None,
) -> list[RankList]:
    """The first `count` gallery images of the chosen queries, ranked as scores are.

    Args:
        query, gallery: labels and, unless `shown` is given, the images to draw.
        features: of all queries (Q, D) and gallery images (G, D).
        chosen: positions of the queries to draw.
        shown: the same two splits at another size, to draw those instead.
    """
    near, is_right = top_matches(
        features[0][chosen],
        features[1],
        query.pid[chosen],
        query.camid[chosen],
        gallery.pid,
        gallery.camid,
        k=count,
        metric=metric,
        threads=1,
    )
    asked, there = shown or (query, gallery)
    return [
        RankList(
            asked.images[q],
            int(query.camid[q]),
            tuple(
                Found(there.images[g], int(gallery.camid[g]), bool(right))
                for g, right in zip(row, rights, strict=True)
                if g >= 0  # past the end of a small gallery
            ),
        )
        for q, row, rights in zip(chosen, near, is_right, strict=True)
    ]


def draw_rank_lists(lists: Sequence[RankList], title: str, notes: Sequence[str]) -> Canvas:
    """A row for each query: the query, then what was found, each with its camera.

    Args:
        lists: at least one; rows may differ in length.
        title: which model.
        notes: lines under the title: how to read the frames, what was removed.
    """
    height, width = size = shown_size(*lists[0].query.shape[:2])
    longest = max(len(ranks.found) for ranks in lists)
    start = _MARGIN + width + _AFTER_QUERY
    top = _MARGIN + (2 + len(notes)) * _LINE
    pitch = height + _LINE + _GAP
    widest = max([text_width(title, bold=True), *(text_width(note, _SMALL) for note in notes)])
    right = max(start + longest * (width + _GAP), _MARGIN + widest)
    sheet = Canvas(right + _MARGIN, top + len(lists) * pitch + _MARGIN)
    sheet.text(title, _MARGIN, _MARGIN, bold=True)
    for i, note in enumerate(notes, 1):
        sheet.text(note, _MARGIN, _MARGIN + i * _LINE, size=_SMALL, colour=GREY)
    heads = [
        (_MARGIN, "query"),
        *((start + i * (width + _GAP), str(i + 1)) for i in range(longest)),
    ]
    for x, head in heads:
        sheet.text(head, x + width // 2, top - _FRAME - 2, anchor="md", size=_SMALL, colour=GREY)
    for row, ranks in enumerate(lists):
        y = top + row * pitch
        sheet.image(enlarged(ranks.query, size), _MARGIN, y)
        _label(sheet, f"camera {ranks.camid}", _MARGIN + width // 2, y + height, BLACK)
        for i, found in enumerate(ranks.found):
            x = start + i * (width + _GAP)
            colour, mark = (RIGHT, _TICK) if found.is_right else (WRONG, _CROSS)
            sheet.image(enlarged(found.image, size), x, y)
            sheet.frame(x, y, size, colour, dashed=not found.is_right, thick=_FRAME)
            _label(sheet, f"{mark} camera {found.camid}", x + width // 2, y + height, colour)
    return sheet


def _label(sheet: Canvas, text: str, x: int, y: int, colour: Colour) -> None:
    sheet.text(text, x, y + _FRAME + 2, anchor="ma", size=TEXT - 3, colour=colour)
