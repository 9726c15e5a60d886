"""Which images the figures show: chosen at random by a seed, spread over people and cameras.

Nothing here looks at a score or a rendering, so no figure shows chosen successes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crgan.data.store import Split

Integers = NDArray[np.int64]

_PER_PERSON = 2


def different_first(labels: Integers, count: int, rng: np.random.Generator) -> Integers:
    """At most `count` random positions in `labels`: one of each label first, then any."""
    order = rng.permutation(len(labels))
    _, first = np.unique(labels[order], return_index=True)
    one_each = order[np.sort(first)]
    return np.concatenate([one_each, order[~np.isin(order, one_each)]])[:count]


def pick_pairs(
    source: Split, target: Split, people: int, contexts: int, rng: np.random.Generator
) -> tuple[Integers, Integers]:
    """Places of source images, of different people first, and of target ones, of different
    cameras first; fewer where a split has fewer images.
    """
    return (
        different_first(source.pid, people, rng),
        different_first(target.camid, contexts, rng),
    )


def pick_people(split: Split, people: int, rng: np.random.Generator) -> Integers:
    """Positions (p, 2) in a split: two images of each of `people` people, of two cameras.

    People seen by one camera only are taken when there are too few others, and without labels
    (pid -2) any two images stand in a column. Fewer than `people` where the split has no more.
    """
    named = np.unique(split.pid[split.pid > 0])
    if len(named) == 0:
        pairs = rng.permutation(len(split))[: _PER_PERSON * people].astype(np.int64)
        return pairs[: len(pairs) // _PER_PERSON * _PER_PERSON].reshape(-1, _PER_PERSON)
    chosen: list[list[int]] = []
    spare: list[list[int]] = []
    for pid in rng.permutation(named):
        if len(chosen) == people:
            break
        own = rng.permutation(np.flatnonzero(split.pid == pid))
        other = own[split.camid[own] != split.camid[own[0]]]
        if len(other) > 0:
            chosen.append([int(own[0]), int(other[0])])
        elif len(own) > 1:
            spare.append([int(own[0]), int(own[1])])
    return np.array((chosen + spare)[:people], dtype=np.int64).reshape(-1, _PER_PERSON)


def pick_queries(query: Split, gallery: Split, count: int, rng: np.random.Generator) -> Integers:
    """Positions of at most `count` queries that have a true match, of different people first."""
    elsewhere = {(pid, camid) for pid, camid in zip(gallery.pid, gallery.camid, strict=True)}
    cameras = np.unique(gallery.camid)
    has_match = [
        any((pid, other) in elsewhere for other in cameras if other != camid)
        for pid, camid in zip(query.pid, query.camid, strict=True)
    ]
    able = np.flatnonzero(has_match)
    return able[different_first(query.pid[able], count, rng)]
