"""Counts of a data set, and what a found copy lacks or has too much of.

Each layout has the counts of the released files, by split and camera, counted from the published
file lists (CUHK03: from the new protocol's configuration file).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from crgan.common.errors import UserError
from crgan.data.entries import DISTRACTOR_PID, JUNK_PID, Entry, Listing

EXPECT = ("published", "none")
_EXAMPLES = 5


@dataclass(frozen=True)
class SplitCount:
    """One split: identities (without junk and distractors), images by camera 1, 2, ..."""

    ids: int
    cameras: tuple[int, ...]
    junk: int = 0
    distractors: int = 0

    @property
    def images(self) -> int:
        return sum(self.cameras)


def count(entries: Iterable[Entry]) -> dict[str, SplitCount]:
    """Count entries by split; cameras up to the highest number seen."""
    by_split: dict[str, list[Entry]] = {}
    for entry in entries:
        by_split.setdefault(entry.split, []).append(entry)
    return {split: _count_split(found) for split, found in by_split.items()}


def _count_split(entries: list[Entry]) -> SplitCount:
    cameras = Counter(entry.camid for entry in entries)
    pids = Counter(entry.pid for entry in entries)
    return SplitCount(
        ids=sum(pid > 0 for pid in pids),
        cameras=tuple(cameras.get(c, 0) for c in range(1, max(cameras) + 1)),
        junk=pids.get(JUNK_PID, 0),
        distractors=pids.get(DISTRACTOR_PID, 0),
    )


def differences(entries: Iterable[Entry], published: Mapping[str, SplitCount]) -> list[str]:
    """Every deviation from the published counts, one line each; empty when all agree."""
    found = count(entries)
    lines = []
    for split in [*published, *sorted(set(found) - set(published))]:
        want = published.get(split, SplitCount(0, ()))
        have = found.get(split, SplitCount(0, ()))
        pairs = [("images", have.images, want.images), ("identities", have.ids, want.ids)]
        for i in range(max(len(have.cameras), len(want.cameras))):
            h, w = (c.cameras[i] if i < len(c.cameras) else 0 for c in (have, want))
            pairs.append((f"images of camera {i + 1}", h, w))
        pairs.append(("junk images (-1)", have.junk, want.junk))
        pairs.append(("distractor images (0000)", have.distractors, want.distractors))
        lines += [f"{split}: {_compare(*pair)}" for pair in pairs if pair[1] != pair[2]]
    return lines


def _compare(what: str, have: int, want: int) -> str:
    verdict = f"{want - have:,} missing" if have < want else f"{have - want:,} too many"
    return f"{have:,} {what}, published {want:,} ({verdict})"


def overlaps(entries: Iterable[Entry]) -> list[str]:
    """Identities where they must not be: trained and tested on, or queried but never shown."""
    ids: dict[str, set[int]] = {"train": set(), "query": set(), "gallery": set()}
    for entry in entries:
        if entry.pid > 0:
            ids[entry.split].add(entry.pid)
    lines = []
    if both := ids["train"] & (ids["query"] | ids["gallery"]):
        lines.append(f"{len(both)} identities are in train and in test (for example {min(both)})")
    if lonely := ids["query"] - ids["gallery"]:
        lines.append(f"{len(lonely)} queried identities are not in the gallery ({min(lonely)})")
    return lines


def check_counts(listing: Listing, expect: str, published: Mapping[str, SplitCount] | None) -> None:
    """Refuse a listing that is not what it should be, saying precisely what is missing or extra.

    Names that were not understood are refused whatever is expected, since each may be a lost image.

    Args:
        listing: what was found.
        expect: `published` compares with the published counts; `none` does not.
        published: these counts (None: a data set of one's own, without any).

    Raises:
        UserError: with one line per deviation.
    """
    if expect not in EXPECT:
        raise UserError(f"{listing.dataset}: expect is {expect!r}; use {' or '.join(EXPECT)}")
    if expect == "published" and published is None:
        raise UserError(f"{listing.dataset}: this layout has no published counts; set expect: none")
    lines = overlaps(listing.entries)
    if listing.strangers:
        shown = ", ".join(listing.strangers[:_EXAMPLES])
        more = ", ..." if len(listing.strangers) > _EXAMPLES else ""
        rule = f"; this layout reads {listing.rule}" if listing.rule else ""
        lines.append(f"{len(listing.strangers):,} names not understood: {shown}{more}{rule}")
    if expect == "published" and published is not None:
        lines += differences(listing.entries, published)
    if not lines:
        return
    listed = "\n".join(f"  {line}" for line in lines)
    if expect == "published":
        what = "the published data set"
        mend = (
            "Copy the data set again, remove what does not belong, or set expect: none for a set "
            "that is different on purpose"
        )
    else:
        what = "a consistent data set"
        mend = "Mend or rename these files, or remove what does not belong"
    raise UserError(f"{listing.dataset}: {listing.root} is not {what}:\n{listed}\n{mend}.")
