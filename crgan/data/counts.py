"""Published counts of the data sets, and what a found copy lacks or has too much of.

The counts are those of the released files, counted per split and camera from the published file
lists (CUHK03: from the new protocol's configuration file).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
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


PUBLISHED: dict[str, dict[str, SplitCount]] = {
    "market1501": {
        "train": SplitCount(751, (2017, 1709, 2707, 920, 2338, 3245)),
        "query": SplitCount(750, (668, 530, 717, 248, 622, 583)),
        "gallery": SplitCount(750, (3156, 2944, 3803, 1671, 3814, 4344), 3819, 2798),
    },
    "dukemtmc": {
        "train": SplitCount(702, (2809, 3009, 1088, 1395, 1685, 3700, 1330, 1506)),
        "query": SplitCount(702, (413, 383, 190, 155, 216, 369, 239, 263)),
        "gallery": SplitCount(1110, (2704, 2798, 828, 1139, 1209, 3308, 1255, 4420)),
    },
    "cuhk03/all": {"train": SplitCount(1467, (6918, 7179))},
    "cuhk03/new": {
        "train": SplitCount(767, (3601, 3764)),
        "query": SplitCount(700, (700, 700)),
        "gallery": SplitCount(700, (2617, 2715)),
    },
}


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


def differences(entries: Iterable[Entry], published: dict[str, SplitCount]) -> list[str]:
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


def check_counts(listing: Listing, expect: str, key: str | None) -> None:
    """Refuse a listing that is not what it should be, saying precisely what is missing or extra.

    Names that were not understood are refused whatever is expected, since each may be a lost image.

    Args:
        listing: what was found.
        expect: `published` compares with the published counts; `none` does not.
        key: entry of `PUBLISHED` (None: a data set of one's own, without published counts).

    Raises:
        UserError: with one line per deviation.
    """
    if expect not in EXPECT:
        raise UserError(f"{listing.dataset}: expect is {expect!r}; use {' or '.join(EXPECT)}")
    lines = overlaps(listing.entries)
    if listing.strangers:
        shown = ", ".join(listing.strangers[:_EXAMPLES])
        more = ", ..." if len(listing.strangers) > _EXAMPLES else ""
        lines.append(f"{len(listing.strangers):,} names not understood: {shown}{more}")
    if expect == "published":
        if key not in PUBLISHED:
            raise UserError(
                f"{listing.dataset}: this layout has no published counts; set expect: none"
            )
        lines += differences(listing.entries, PUBLISHED[key])
    if not lines:
        return
    what = "the published data set" if expect == "published" else "a consistent data set"
    mend = "Copy the data set again, remove what does not belong"
    if expect == "published":
        mend += ", or set expect: none for a set that is different on purpose"
    listed = "\n".join(f"  {line}" for line in lines)
    raise UserError(f"{listing.dataset}: {listing.root} is not {what}:\n{listed}\n{mend}.")
