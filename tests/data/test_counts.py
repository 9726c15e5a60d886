"""Published counts, and what the report says of a copy that deviates."""

from __future__ import annotations

from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.data.counts import SplitCount, check_counts, count, differences, overlaps
from crgan.data.entries import Entry, FilePixels, Listing
from crgan.data.layout import layout_of, names
from crgan.data.layouts import cuhk03, cuhk03_np, dukemtmc


def published_entries() -> list[Entry]:
    """As many entries as DukeMTMC-reID has, with its numbers of identities and cameras."""
    entries = []
    for split, wanted in dukemtmc.PUBLISHED.items():
        first = 1 if split == "train" else 3001
        i = 0
        for camid, images in enumerate(wanted.cameras, start=1):
            for _ in range(images):
                entries.append(Entry(f"{split}/{i}.jpg", first + i % wanted.ids, camid, split))
                i += 1
    return entries


def listing(entries: list[Entry], strangers: tuple[str, ...] = ()) -> Listing:
    return Listing("dukemtmc", Path("d"), tuple(entries), strangers, FilePixels(Path("d")))


def test_published_totals_are_those_of_the_papers() -> None:
    published = {name: layout_of(name).published(layout_of(name).options()) for name in names()}
    published |= {"cuhk03 new": cuhk03.PUBLISHED["new"], "labeled": cuhk03_np.PUBLISHED["labeled"]}
    totals = {
        name: {split: (c.images, c.ids, len(c.cameras)) for split, c in counts.items()}
        for name, counts in published.items()
        if counts
    }
    assert totals == {
        "market1501": {
            "train": (12936, 751, 6), "query": (3368, 750, 6), "gallery": (19732, 750, 6),
        },
        "dukemtmc": {
            "train": (16522, 702, 8), "query": (2228, 702, 8), "gallery": (17661, 1110, 8),
        },
        "msmt17": {
            "train": (32621, 1041, 15), "query": (11659, 3060, 15), "gallery": (82161, 3060, 15),
        },
        "cuhk03": {"train": (14097, 1467, 2)},
        "cuhk03 new": {
            "train": (7365, 767, 2), "query": (1400, 700, 2), "gallery": (5332, 700, 2),
        },
        "cuhk03_np": {
            "train": (7365, 767, 2), "query": (1400, 700, 2), "gallery": (5332, 700, 2),
        },
        "labeled": {"train": (7368, 767, 2), "query": (1400, 700, 2), "gallery": (5328, 700, 2)},
    }  # fmt: skip


def test_count_tells_junk_and_distractors_apart() -> None:
    entries = [Entry(str(i), pid, 3, "gallery") for i, pid in enumerate([-1, -1, 0, 5, 5, 6])]
    assert count(entries) == {"gallery": SplitCount(2, (0, 0, 6), junk=2, distractors=1)}


def test_the_published_set_passes() -> None:
    check_counts(listing(published_entries()), "published", dukemtmc.PUBLISHED)


def test_a_missing_and_an_extra_image_are_named_by_split_and_camera() -> None:
    entries = [e for e in published_entries() if e.path != "train/0.jpg"]
    entries.append(Entry("query/new.jpg", 3001, 9, "query"))
    with pytest.raises(UserError) as caught:
        check_counts(listing(entries), "published", dukemtmc.PUBLISHED)
    lines = str(caught.value).splitlines()
    assert lines[1:-1] == [
        "  train: 16,521 images, published 16,522 (1 missing)",
        "  train: 2,808 images of camera 1, published 2,809 (1 missing)",
        "  query: 2,229 images, published 2,228 (1 too many)",
        "  query: 1 images of camera 9, published 0 (1 too many)",
    ]
    assert "expect: none" in lines[-1]


def test_a_missing_split_and_missing_identity() -> None:
    lines = differences([e for e in published_entries() if e.split == "train"], dukemtmc.PUBLISHED)
    assert "query: 0 images, published 2,228 (2,228 missing)" in lines
    assert "gallery: 0 identities, published 1,110 (1,110 missing)" in lines
    assert not any(line.startswith("train") for line in lines)


def test_expect_none_still_refuses_strangers_and_overlaps() -> None:
    train, query = Entry("a", 1, 1, "train"), Entry("b", 1, 1, "query")
    check_counts(listing([train]), "none", dukemtmc.PUBLISHED)
    with pytest.raises(UserError, match=r"6 names not understood: q/0, q/1, q/2, q/3, q/4, \.\.\."):
        check_counts(listing([train], tuple(f"q/{i}" for i in range(6))), "none", None)
    assert overlaps([train, query]) == [
        "1 identities are in train and in test (for example 1)",
        "1 queried identities are not in the gallery (1)",
    ]
    with pytest.raises(UserError, match="not a consistent data set"):
        check_counts(listing([train, query]), "none", None)


def test_unknown_expectations() -> None:
    with pytest.raises(UserError, match="expect is 'some'; use published or none"):
        check_counts(listing([]), "some", dukemtmc.PUBLISHED)
    with pytest.raises(UserError, match="no published counts; set expect: none"):
        check_counts(listing([]), "published", None)
