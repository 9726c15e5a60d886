"""The loaders on small trees in the real layouts, with the clutter and faults real copies have."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from crgan.common.errors import UserError
from crgan.data.entries import Listing
from crgan.data.layout import options_from
from crgan.data.layouts import cuhk03, dukemtmc, folder, market1501
from tests.data_trees import CUHK03, DUKE, MARKET, image, jpeg, write_cuhk03, write_tree


def rows(listing: Listing) -> list[tuple[str, int, int, str]]:
    return [(e.path.rsplit("/", 1)[-1], e.pid, e.camid, e.split) for e in listing.entries]


def test_market_names_junk_and_distractors(tmp_path: Path) -> None:
    assert rows(market1501.load(write_tree(tmp_path, MARKET))) == [
        ("0002_c1s1_000451_03.jpg", 2, 1, "train"),
        ("0002_c2s1_000551_01.jpg", 2, 2, "train"),
        ("0007_c2s3_000776_01.jpg", 7, 2, "train"),
        ("0001_c1s1_001051_00.jpg", 1, 1, "query"),
        ("1488_c2s6_023021_00.jpg.jpg", 1488, 2, "query"),
        ("-1_c1s1_000401_03.jpg", -1, 1, "gallery"),
        ("0000_c2s1_000151_01.jpg", 0, 2, "gallery"),
        ("0001_c2s1_000376_03.jpg", 1, 2, "gallery"),
        ("1488_c1s2_000801_03.jpg", 1488, 1, "gallery"),
    ]


def test_duke_names(tmp_path: Path) -> None:
    assert rows(dukemtmc.load(write_tree(tmp_path, DUKE))) == [
        ("0001_c2_f0046182.jpg", 1, 2, "train"),
        ("0001_c3_f0046190.jpg", 1, 3, "train"),
        ("0008_c8_f0046302.jpg", 8, 8, "train"),
        ("0005_c2_f0046985.jpg", 5, 2, "query"),
        ("0005_c5_f0051781.jpg", 5, 5, "gallery"),
        ("3000_c1_f0044158.jpg", 3000, 1, "gallery"),
    ]


@pytest.mark.parametrize("nesting", ["Market-1501-v15.09.15", "a/Market-1501-v15.09.15"])
def test_usual_nesting_and_clutter(tmp_path: Path, nesting: str) -> None:
    root = write_tree(tmp_path / nesting, MARKET)
    for name in ("Thumbs.db", ".DS_Store", "._0002_c1s1_000451_03.jpg", "readme.txt"):
        (root / "bounding_box_train" / name).write_bytes(b"x")
    (root / "gt_bbox").mkdir()
    (root / "gt_bbox" / "0001_c1s1_001051_00.jpg").write_bytes(b"x")
    (root / "gt_query").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    listing = market1501.load(tmp_path)
    assert listing.root == root
    assert len(listing.entries) == 9
    assert listing.strangers == ()


def test_strangers_are_kept_not_lost(tmp_path: Path) -> None:
    root = write_tree(tmp_path, MARKET)
    (root / "query" / "0003_c1_f0046182.jpg").write_bytes(jpeg())  # a DukeMTMC-reID name
    (root / "query" / "0003_c1s1_000001_00.png").write_bytes(jpeg())
    (root / "bounding_box_train" / "0002_c1s1_000451_04.jpg").mkdir()
    assert market1501.load(root).strangers == (
        "bounding_box_train/0002_c1s1_000451_04.jpg (a folder)",
        "query/0003_c1_f0046182.jpg",
        "query/0003_c1s1_000001_00.png",
    )


def test_missing_partial_and_double_roots(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        market1501.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no folder at or below .* holds bounding_box_train"):
        market1501.load(tmp_path)
    (tmp_path / "one" / "query").mkdir(parents=True)
    with pytest.raises(UserError, match="lacks bounding_box_test, bounding_box_train"):
        market1501.load(tmp_path)
    for name in ("two", "three"):
        write_tree(tmp_path / name, MARKET)
    with pytest.raises(UserError, match="several copies"):
        market1501.load(tmp_path)
    empty = tmp_path / "empty"
    for name in MARKET:
        (empty / name).mkdir(parents=True)
    with pytest.raises(UserError, match="hold no image"):
        market1501.load(empty)


def test_camera_folders(tmp_path: Path) -> None:
    write_tree(tmp_path, {"hall": ["b.JPG", "a.png"], "door": ["x.jpeg"]})
    (tmp_path / "notes.txt").write_text("beside the cameras: none of ours")
    (tmp_path / "hall" / "clip.mp4").write_bytes(b"x")
    listing = folder.load(tmp_path)
    assert [(e.path, e.pid, e.camid, e.split) for e in listing.entries] == [
        ("door/x.jpeg", -2, 1, "train"),
        ("hall/a.png", -2, 2, "train"),
        ("hall/b.JPG", -2, 2, "train"),
    ]
    assert listing.strangers == ("hall/clip.mp4",)


def test_camera_folder_faults(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        folder.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no camera folder"):
        folder.load(tmp_path)
    (tmp_path / "hall").mkdir()
    with pytest.raises(UserError, match="hall holds no image"):
        folder.load(tmp_path)
    (tmp_path / "loose.jpg").write_bytes(jpeg())
    with pytest.raises(UserError, match=r"1 images lie in .* itself \(loose.jpg"):
        folder.load(tmp_path)


def test_cuhk03_all_images_train(tmp_path: Path) -> None:
    path = write_cuhk03(tmp_path / "cuhk03_release")
    listing = cuhk03.load(tmp_path)
    assert [(e.path, e.pid, e.camid, e.split) for e in listing.entries] == [
        ("detected/1_001_1_01.png", 1, 1, "train"),
        ("detected/1_001_2_06.png", 1, 2, "train"),
        ("detected/1_002_1_03.png", 2, 1, "train"),
        ("detected/1_002_2_10.png", 2, 2, "train"),
        ("detected/2_001_1_02.png", 3, 1, "train"),
    ]
    for i, entry in enumerate(listing.entries):
        np.testing.assert_array_equal(listing.pixels.read(entry.path), image(i, 30, 20))
    assert rows(cuhk03.load(path)) == rows(listing)


def write_config(path: Path, **changes: object) -> Path:
    cells = np.empty((len(CUHK03), 1), dtype=object)
    cells[:, 0] = CUHK03
    content = {
        "filelist": cells,
        "labels": np.array([[1], [1], [2], [2], [3]], dtype=np.uint16),
        "train_idx": np.array([[5]], dtype=np.uint16),
        "query_idx": np.array([[1], [3]], dtype=np.uint16),
        "gallery_idx": np.array([[2], [4]], dtype=np.uint16),
    }
    scipy.io.savemat(path, content | changes)
    return path


def test_cuhk03_new_protocol_counts_from_one(tmp_path: Path) -> None:
    write_cuhk03(tmp_path)
    write_config(tmp_path / cuhk03.PROTOCOL_FILE)
    expected = [
        ("2_001_1_02.png", 3, 1, "train"),
        ("1_001_1_01.png", 1, 1, "query"),
        ("1_002_1_03.png", 2, 1, "query"),
        ("1_001_2_06.png", 1, 2, "gallery"),
        ("1_002_2_10.png", 2, 2, "gallery"),
    ]
    assert rows(cuhk03.load(tmp_path, cuhk03.Options("new"))) == expected
    other = write_config(tmp_path / "elsewhere.mat")
    assert rows(cuhk03.load(tmp_path, cuhk03.Options("new", str(other)))) == expected


def test_cuhk03_protocol_file_faults(tmp_path: Path) -> None:
    write_cuhk03(tmp_path)
    with pytest.raises(UserError, match=r"data\.c\.protocol is 'old'; use one of all, new"):
        options_from("cuhk03", {"protocol": "old"}, "data.c")
    with pytest.raises(UserError, match="protocol 'new' needs this file"):
        cuhk03.load(tmp_path, cuhk03.Options("new"))
    config = tmp_path / "config.mat"
    for changes, message in [
        ({"train_idx": np.array([[0]])}, "train_idx holds 0, out of range or used twice"),
        ({"train_idx": np.array([[1], [5]])}, "query_idx holds 1, out of range or used twice"),
        ({"train_idx": np.array([[6]])}, "train_idx holds 6"),
        ({"gallery_idx": np.array([[2]])}, "1_002_2_10.png is in no split"),
        ({"labels": np.array([[1]])}, "1 labels for 5 files"),
    ]:
        write_config(config, **changes)
        with pytest.raises(UserError, match=message):
            cuhk03.load(tmp_path, cuhk03.Options("new", str(config)))
    config.write_bytes(b"no mat file")
    with pytest.raises(UserError, match=r"not a readable \.mat"):
        cuhk03.load(tmp_path, cuhk03.Options("new", str(config)))
    write_config(config)
    write_cuhk03(tmp_path, [*CUHK03[1:], "2_002_1_01.png"])
    with pytest.raises(UserError, match=r"1 of its images .* 1 of the .mat's .*1_001_1_01.png"):
        cuhk03.load(tmp_path, cuhk03.Options("new", str(config)))


def test_cuhk03_raw_file_faults(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds cuhk-03.mat"):
        cuhk03.load(tmp_path)
    path = write_cuhk03(tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="not a readable HDF5"):
        cuhk03.load(tmp_path)
    with h5py.File(path, "w") as file:
        file["labeled"] = np.zeros(3)
    with pytest.raises(UserError, match="no variable 'detected', only labeled"):
        cuhk03.load(tmp_path)
    with h5py.File(path, "w") as file:
        file["detected"] = np.zeros((1, 5))
    with pytest.raises(UserError, match=r"not the layout of cuhk-03.mat"):
        cuhk03.load(tmp_path)
