"""What evaluation or training would refuse, refused when data are prepared.

A data set with one camera can be drawn, stored, masked and trained on for hours before an
evaluation finds no true match in it. Everything that can be known from the labels and the bytes
alone is asked here, once.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.data.entries import DISTRACTOR_PID, SPLITS, UNLABELLED_PID, Entry, Listing


def check_usable(listing: Listing) -> None:
    """Refuse labels that no stage can do anything with.

    Raises:
        UserError: with one line for each reason.
    """
    by_split = {s: [e for e in listing.entries if e.split == s] for s in SPLITS}
    reasons = [*_training(by_split["train"]), *_test(by_split["query"], by_split["gallery"])]
    if reasons:
        listed = "\n".join(f"  {line}" for line in reasons)
        raise UserError(f"{listing.dataset}: {listing.root} cannot be used:\n{listed}")


def _training(train: Sequence[Entry]) -> list[str]:
    if len(train) < 2:
        return [f"{len(train)} training images: at least two are needed, add some"]
    people = Counter(e.pid for e in train if e.pid > DISTRACTOR_PID)
    if not people and all(e.pid == UNLABELLED_PID for e in train):
        if len({e.camid for e in train}) < 2:
            return [
                "all images are of one camera: there are no differences between cameras to adapt "
                "to, nor another to find a person before; put the crops into a folder per camera"
            ]
        return []
    if len(people) < 2:
        return [f"{len(people)} people to train on: at least two are needed to tell them apart"]
    if max(people.values()) < 2:
        return [
            f"each of the {len(people):,} people to train on has one image: nothing shows what "
            "stays the same of a person; add images of them, or leave their labels away (layout: "
            "folder)"
        ]
    return []


def _test(query: Sequence[Entry], gallery: Sequence[Entry]) -> list[str]:
    if not query and not gallery:
        return []  # a source, or a target without labels
    if not query or not gallery:
        lacking, there = ("query", "gallery") if not query else ("gallery", "query")
        return [f"a {there} without a {lacking}: nothing can be ranked; add it, or remove both"]
    if nobody := sum(e.pid <= DISTRACTOR_PID for e in query):
        return [f"{nobody} queries are of nobody: a query needs a person; remove them"]
    cameras = defaultdict(set)
    for entry in gallery:
        cameras[entry.pid].add(entry.camid)
    if any(cameras[e.pid] - {e.camid} for e in query):
        return []
    seen = {e.camid for e in (*query, *gallery)}
    why = "all images are of one camera" if len(seen) == 1 else "nobody was seen by two cameras"
    return [
        f"no query has a true match in another camera ({why}), and matches of the query's own "
        "camera do not count: nothing can be scored; add images of other cameras, or take query "
        "and gallery away and use it without a score"
    ]


_COPY = 0.998  # correlation of thumbnails; JPEG of quality 30 keeps 0.9995
_STRUCTURE = 8.0  # grey levels of deviation below which a thumbnail tells nothing


def check_copies(dataset: str, entries: Sequence[Entry], images: NDArray[np.uint8]) -> None:
    """Look for queries whose true match in another camera is the very same image.

    A gallery that is the queries again under another camera scores 100 and says nothing, encoded
    anew or not. A few such copies are told by a warning: a published set may have them.

    Args:
        dataset: its name.
        entries: n images.
        images: (n, H, W, 3) as stored.

    Raises:
        UserError: more than half of the queries are so.
    """
    shown: dict[int, list[int]] = defaultdict(list)
    for row, entry in enumerate(entries):
        if entry.split == "gallery":
            shown[entry.pid].append(row)
    queries = copies = 0
    first = ""
    for row, entry in enumerate(entries):
        if entry.split == "query":
            queries += 1
            others = [r for r in shown[entry.pid] if entries[r].camid != entry.camid]
            if any(_is_copy(images[row], images[other]) for other in others):
                copies += 1
                first = first or entry.path
    if not copies:
        return
    text = (
        f"{dataset}: {copies:,} of {queries:,} queries are in the gallery, too, as the same image "
        f"under another camera (for example {first})"
    )
    if 2 * copies > queries:
        raise UserError(
            f"{text}: such a set scores 100 whatever ranks it; put images of that camera there"
        )
    warnings.warn(f"{text}; their scores mean nothing", stacklevel=2)


def _is_copy(image: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two images (H, W, 3) are one, pixel by pixel or encoded anew."""
    if np.array_equal(image, other):
        return True
    a, b = (cv2.resize(i, (8, 16), interpolation=cv2.INTER_AREA).mean(2) for i in (image, other))
    if min(a.std(), b.std()) < _STRUCTURE:
        return False
    return bool(np.corrcoef(a.ravel(), b.ravel())[0, 1] > _COPY)
