"""The layouts beyond the paper's three: names, numbers, and what each refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.data.counts import check_counts
from crgan.data.entries import FilePixels, Listing, natural
from crgan.data.layout import label_of, layout_of, names
from crgan.data.layouts import (
    cuhk03_np,
    dukemtmc,
    folder,
    market1501,
    market_style,
    msmt17,
    persons,
)
from crgan.data.standins import published_entries
from crgan.data.usable import check_usable
from tests.data_trees import MARKET, write_tree

FULL_SIZE = "CRGAN_FULL_SIZE"  # set it to write 213,000 files: minutes
MSMT17 = {
    "list_train.txt": "0000/0000_000_01_0303morning_0015_0.jpg 0\n"
    "0001/0001_000_02_0303morning_0016_0_ex.jpg 1\n",
    "list_val.txt": "0001/0001_001_12_0303noon_0017_1.jpg 1\n",
    "list_query.txt": "0000/0000_000_01_0113noon_0018_0.jpg 0\n",
    "list_gallery.txt": "0000/0000_001_15_0113noon_0019_0.jpg 0\n"
    "0007/0007_000_03_0113noon_0020_0.jpg 7\n",
}


def rows(listing: Listing) -> list[tuple[str, int, int, str]]:
    return [(e.path, e.pid, e.camid, e.split) for e in listing.entries]


def write_msmt17(root: Path, train: str = "train", test: str = "test") -> Path:
    for name, text in MSMT17.items():
        where = train if name in ("list_train.txt", "list_val.txt") else test
        for line in text.splitlines():
            path = root / where / line.split()[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("version", "train", "test"),
    [("MSMT17_V1", "train", "test"), ("MSMT17_V2", "mask_train_v2", "mask_test_v2")],
)
def test_msmt17_numbers_both_halves_from_zero_on_disk(
    tmp_path: Path, version: str, train: str, test: str
) -> None:
    write_msmt17(tmp_path / version, train, test)
    assert rows(msmt17.load(tmp_path)) == [
        (f"{train}/0000/0000_000_01_0303morning_0015_0.jpg", 1, 1, "train"),
        (f"{train}/0001/0001_000_02_0303morning_0016_0_ex.jpg", 2, 2, "train"),
        (f"{train}/0001/0001_001_12_0303noon_0017_1.jpg", 2, 12, "train"),
        (f"{test}/0000/0000_000_01_0113noon_0018_0.jpg", 3, 1, "query"),
        (f"{test}/0000/0000_001_15_0113noon_0019_0.jpg", 3, 15, "gallery"),
        (f"{test}/0007/0007_000_03_0113noon_0020_0.jpg", 10, 3, "gallery"),
    ]
    fewer = msmt17.load(tmp_path, msmt17.Options(validation=False))
    assert [e.split for e in fewer.entries] == ["train", "train", "query", "gallery", "gallery"]
    assert fewer.strangers == ()


def test_msmt17_faults(tmp_path: Path) -> None:
    root = write_msmt17(tmp_path)
    (root / "train/0000/extra.jpg").touch()
    assert msmt17.load(tmp_path).strangers == ("train/0000/extra.jpg",)
    (root / "test/0007/0007_000_03_0113noon_0020_0.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of the 6 listed images are not in .*0007_000_03_0113"):
        msmt17.load(tmp_path)
    (root / "list_val.txt").write_text("0000/../../etc/passwd 0\n")
    with pytest.raises(UserError, match=r"list_val.txt, line 1: .* is not understood; lines read"):
        msmt17.load(tmp_path)
    (root / "list_val.txt").unlink()
    with pytest.raises(UserError, match=r"lacks list_val\.txt; copy the whole data set"):
        msmt17.load(tmp_path)


def test_cuhk03_np_has_two_versions(tmp_path: Path) -> None:
    tree = {"bounding_box_train": ["0001_c1_1.png"], "query": ["0003_c2_27.png"]}
    write_tree(tmp_path / "cuhk03-np/detected", tree | {"bounding_box_test": ["0003_c1_21.png"]})
    write_tree(tmp_path / "cuhk03-np/labeled", tree | {"bounding_box_test": ["0003_c1_22.png"]})
    assert rows(cuhk03_np.load(tmp_path))[2] == (
        "bounding_box_test/0003_c1_21.png",
        3,
        1,
        "gallery",
    )
    labeled = cuhk03_np.Options("labeled")
    assert rows(cuhk03_np.load(tmp_path, labeled))[2][0] == "bounding_box_test/0003_c1_22.png"
    assert len(cuhk03_np.load(tmp_path / "cuhk03-np/labeled", labeled).entries) == 3
    with pytest.raises(UserError, match="the other version; set boxes: labeled"):
        cuhk03_np.load(tmp_path / "cuhk03-np/labeled")


def test_market_style_has_any_numbers_and_no_junk(tmp_path: Path) -> None:
    tree = {
        "bounding_box_train": ["0_c1_a.jpg", "0_c12s3_000151_01.jpg", "123456_c2.png"],
        "query": ["9_c10_1.jpg", "10_c1_1.jpg"],
        "bounding_box_test": ["9_c1_1.jpg", "-1_c1_1.jpg", "7_c0_1.jpg"],
    }
    listing = market_style.load(write_tree(tmp_path, tree))
    assert rows(listing) == [
        ("bounding_box_train/0_c1_a.jpg", 1, 1, "train"),
        ("bounding_box_train/0_c12s3_000151_01.jpg", 1, 12, "train"),
        ("bounding_box_train/123456_c2.png", 123457, 2, "train"),
        ("query/9_c10_1.jpg", 10, 10, "query"),
        ("query/10_c1_1.jpg", 11, 1, "query"),
        ("bounding_box_test/9_c1_1.jpg", 10, 1, "gallery"),
    ]
    assert listing.strangers == ("bounding_box_test/-1_c1_1.jpg", "bounding_box_test/7_c0_1.jpg")


def test_market_style_takes_camera_names_from_a_file(tmp_path: Path) -> None:
    tree = {
        "bounding_box_train": ["0_cdoor_1.jpg", "0_chall way_2.jpg"],
        "query": ["1_cdoor_1.jpg"],
        "bounding_box_test": ["1_cgarage_1.jpg"],
    }
    root, file = write_tree(tmp_path / "site", tree), tmp_path / "cameras.txt"
    options = market_style.Options(str(file))
    with pytest.raises(UserError, match="no such file of cameras"):
        market_style.load(root, options)
    for text, message in [
        ("door one\n", r"line 1: 'door one'; write `<name> <number>`"),
        ("door 1\ndoor 2\n", "line 2: .* each camera once"),
        ("# nothing\n", "no camera in it"),
    ]:
        file.write_text(text)
        with pytest.raises(UserError, match=message):
            market_style.load(root, options)
    file.write_text("door 1  # the front\nhall way 2\n")
    listing = market_style.load(root, options)
    assert [(e.pid, e.camid) for e in listing.entries] == [(1, 1), (1, 2), (2, 1)]
    assert listing.strangers == ("bounding_box_test/1_cgarage_1.jpg",)


def test_zero_is_nobody_in_market1501_alone(tmp_path: Path) -> None:
    tree = {name: list(files) for name, files in MARKET.items()}
    tree["bounding_box_train"].append("0000_c1s1_000001_01.jpg")
    with pytest.raises(UserError, match=r"mean distractor and junk in Market-1501; .*market_style"):
        market1501.load(write_tree(tmp_path / "m", tree))
    duke = {"bounding_box_train": ["0000_c1_f01.jpg", "0001_c1_f01.jpg"], "query": [],
            "bounding_box_test": []}  # fmt: skip
    people = {e.pid for e in dukemtmc.load(write_tree(tmp_path / "d", duke)).entries}
    assert people == {1, 10_000}  # person 0 is trained on like any other


def test_persons_are_numbered_through_all_splits(tmp_path: Path) -> None:
    write_tree(tmp_path / "a", {"p10": ["cam2_x.jpg"], "p9": ["cam10_1.png", "cam2_1.png"]})
    assert rows(persons.load(tmp_path / "a")) == [
        ("p9/cam2_1.png", 1, 1, "train"),
        ("p9/cam10_1.png", 1, 2, "train"),
        ("p10/cam2_x.jpg", 2, 1, "train"),
    ]
    tree = {"train/eve": ["hall_1.jpg"], "query/ann": ["door_1.jpg"], "gallery/ann": ["hall_1.jpg"]}
    write_tree(tmp_path / "b", tree)
    assert rows(persons.load(tmp_path / "b")) == [
        ("train/eve/hall_1.jpg", 2, 2, "train"),
        ("query/ann/door_1.jpg", 1, 1, "query"),
        ("gallery/ann/hall_1.jpg", 1, 2, "gallery"),
    ]
    (tmp_path / "b/somebody").mkdir()
    with pytest.raises(UserError, match="somebody beside gallery, query, train"):
        persons.load(tmp_path / "b")
    write_tree(tmp_path / "c", {"ann": ["1.jpg", "2.jpg"]})
    with pytest.raises(UserError, match=r"holds ann/1\.jpg, ann/2\.jpg; it is <person>/<camera>_"):
        persons.load(tmp_path / "c")


def test_cameras_count_as_people_do(tmp_path: Path) -> None:
    write_tree(tmp_path, {f"cam{i}": ["10.jpg", "9.jpg"] for i in (1, 2, 10, 11)})
    listing = folder.load(tmp_path)
    assert [e.path for e in listing.entries] == [
        f"cam{i}/{image}.jpg" for i in (1, 2, 10, 11) for image in (9, 10)
    ]
    assert {e.path.split("/")[0]: e.camid for e in listing.entries} == {
        "cam1": 1, "cam2": 2, "cam10": 3, "cam11": 4,
    }  # fmt: skip
    assert sorted(["b", "a10", "a9", "10", "9", "a09"], key=natural) == [
        "9", "10", "a09", "a9", "a10", "b",
    ]  # fmt: skip


def test_a_cameras_days_may_be_nested_and_links_are_followed_once(tmp_path: Path) -> None:
    write_tree(
        tmp_path, {"door/2024-01-09/am": ["1.jpg"], "door/2024-01-10": ["1.jpg"], "hall": []}
    )
    (tmp_path / "hall/all").symlink_to(tmp_path / "door")
    found = [(e.path, e.camid) for e in folder.load(tmp_path).entries]
    assert found == [
        ("door/2024-01-09/am/1.jpg", 1),
        ("door/2024-01-10/1.jpg", 1),
        ("hall/all/2024-01-09/am/1.jpg", 2),
        ("hall/all/2024-01-10/1.jpg", 2),
    ]
    (tmp_path / "hall/again").symlink_to(tmp_path / "hall")
    assert folder.load(tmp_path).strangers == ("hall/again (leads back to a folder above it)",)


def test_dangling_links_and_pipes_are_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"door": ["a.jpg"], "hall": ["b.jpg"]})
    (tmp_path / "door/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "door/pipe.jpg")
    listing = folder.load(tmp_path)
    assert listing.strangers == (
        "door/gone.jpg (a link to nothing)",
        "door/pipe.jpg (no regular file)",
    )
    with pytest.raises(UserError, match=r"2 names not understood: door/gone.jpg .a link to"):
        check_counts(listing, "none", None)
    (tmp_path / "yard").symlink_to(tmp_path / "unmounted")
    with pytest.raises(UserError, match=r"yard in .* lead nowhere; mend the links"):
        folder.load(tmp_path)


def test_names_that_break_the_rule_are_shown_with_it(tmp_path: Path) -> None:
    tree = {name: [f"{i}.jpg" for i in range(5)] for name in MARKET}
    with pytest.raises(UserError, match=r"15 names, .*train/0.jpg.*layout reads <pid>_c<camera>s"):
        market1501.load(write_tree(tmp_path / "m", tree))
    site = write_tree(tmp_path / "site", {"door": ["a.mp4", "b.mp4"], "hall": ["a.jpg"]})
    with pytest.raises(UserError, match=r"holds no image, only door/a.mp4, door/b.mp4; it takes"):
        folder.load(site)
    good = write_tree(tmp_path / "d", {name: list(files) for name, files in MARKET.items()})
    (good / "query/person.jpg").touch()
    with pytest.raises(UserError) as caught:
        check_counts(market1501.load(good), "none", None)
    assert "query/person.jpg; this layout reads <pid>_c<camera>s<sequence>" in str(caught.value)
    assert "Copy the data set again" not in str(caught.value)  # these may be one's own


def test_labels_for_tables() -> None:
    assert [label_of(name) for name in ("market1501", "msmt17", "mysite")] == [
        "Market-1501", "MSMT17", "mysite",
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"layout is '../x'; use one of"):
        layout_of("../x")


STAND_INS = [n for n in names() if layout_of(n).published(layout_of(n).options())]
STAND_INS.remove("cuhk03")  # one file: tests of its own


def load_written(name: str, root: Path) -> tuple[Listing, list[tuple[str, int, int, str]]]:
    """A layout's published images as empty files, listed by its loader; and what was written."""
    layout = layout_of(name)
    counts = layout.published(layout.options())
    assert counts is not None
    entries = published_entries(layout, counts)
    if FULL_SIZE not in os.environ:  # a slice through all splits and cameras, and MSMT17's last
        last = max((e for e in entries if e.split == "train"), key=lambda e: e.pid)
        entries = list({e.path: e for e in [*entries[:: len(entries) // 400], last]}.values())
    for where in {(root / entry.path).parent for entry in entries}:
        where.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        (root / entry.path).touch()
    lists = layout.stand_in_lists(entries) if layout.stand_in_lists else {}
    for file, text in lists.items():
        (root / file).write_text(text)
    wanted = [(e.path, e.pid, e.camid, e.split) for e in entries]
    return layout.load(root, layout.options(), name), sorted(wanted)


@pytest.mark.parametrize("name", STAND_INS)
def test_stand_ins_are_read_as_they_were_meant(name: str, tmp_path: Path) -> None:
    """Some hundreds on disk, every name of the whole by the published counts in memory."""
    layout = layout_of(name)
    counts = layout.published(layout.options())
    assert counts is not None
    whole = tuple(published_entries(layout, counts))
    meant = Listing(name, tmp_path, whole, (), FilePixels(tmp_path))
    check_counts(meant, "published", counts)
    check_usable(meant)
    listing, wanted = load_written(name, tmp_path)
    assert sorted(rows(listing)) == wanted
    assert listing.strangers == ()
    if FULL_SIZE in os.environ:
        check_counts(listing, "published", counts)
