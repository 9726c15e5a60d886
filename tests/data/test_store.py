"""The image store: contents, order, faults, and how it is opened again."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.data.entries import Entry, FilePixels, Listing, in_order
from crgan.data.integrity import Checks
from crgan.data.manifest import Manifest, write_manifest
from crgan.data.store import IMAGES, open_dataset, write_store
from tests.data_trees import image as crop
from tests.data_trees import jpeg


def listing(root: Path, n: int) -> Listing:
    entries = []
    for i in range(n):
        path, split = f"{i:03d}.jpg", ("gallery", "train", "train", "query")[i % 4]
        (root / path).write_bytes(jpeg(i))
        entries.append(Entry(path, i + 1, 1 + i % 2, split))
    return Listing("some", root, in_order(entries), (), FilePixels(root))


def prepared(folder: Path, images: NDArray[np.uint8], rows: int | None = None) -> Path:
    """A store of `images` with a manifest of `rows` rows: half train, the rest gallery."""
    n = len(images) if rows is None else rows
    train = n // 2
    np.save(folder / IMAGES, images)
    manifest = Manifest(
        paths=tuple(f"{i:03d}.jpg" for i in range(n)),
        pid=np.arange(1, n + 1),
        camid=np.ones(n, dtype=np.int64),
        split=("train",) * train + ("gallery",) * (n - train),
        sha256=("0" * 64,) * n,
        attributes={"hat": np.arange(n)},
    )
    write_manifest(folder / "manifest.csv", manifest)
    return folder / "manifest.csv"


@pytest.mark.parametrize("workers", [1, 3])
def test_rows_follow_the_listing_whatever_the_workers(tmp_path: Path, workers: int) -> None:
    found = listing(tmp_path, 150)
    digests = write_store(tmp_path / IMAGES, found, 16, 8, workers=workers)
    store = np.load(tmp_path / IMAGES, mmap_mode="r")
    assert store.shape == (150, 16, 8, 3)
    assert store.dtype == np.uint8
    for i in (0, 70, 149):
        raw = (tmp_path / found.entries[i].path).read_bytes()
        assert digests[i] == hashlib.sha256(raw).hexdigest()
        whole = cv2.cvtColor(cv2.imdecode(np.frombuffer(raw, np.uint8), 1), cv2.COLOR_BGR2RGB)
        expected = cv2.resize(whole, (8, 16), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(store[i], expected)


def test_the_file_is_what_numpy_would_save(tmp_path: Path) -> None:
    write_store(tmp_path / IMAGES, listing(tmp_path, 3), 16, 8)
    buffer = io.BytesIO()
    np.save(buffer, np.load(tmp_path / IMAGES))
    assert (tmp_path / IMAGES).read_bytes() == buffer.getvalue()


def test_all_faults_in_one_report_and_no_file(tmp_path: Path) -> None:
    found = listing(tmp_path, 80)
    (tmp_path / "003.jpg").write_bytes(b"")
    (tmp_path / "040.jpg").write_bytes(jpeg(40)[:-20])
    (tmp_path / "079.jpg").unlink()
    (tmp_path / IMAGES).write_bytes(b"the old store")
    with pytest.raises(UserError) as caught:
        write_store(tmp_path / IMAGES, found, 16, 8, workers=2)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("some: 3 of 80 images")
    assert lines[1].startswith("  003.jpg: empty")
    assert lines[2].startswith("  040.jpg: truncated")
    assert lines[3].startswith("  079.jpg: unreadable (No such file")
    assert (tmp_path / IMAGES).read_bytes() == b"the old store"
    assert not list(tmp_path.glob(".*"))


def test_large_files_are_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg() + bytes(5000))
    entries = (Entry("a.jpg", 1, 1, "train"),)
    pixels = FilePixels(tmp_path, max_bytes=2000)
    assert len(pixels.read("a.jpg")) == 2001
    with pytest.raises(UserError, match="huge"):
        write_store(
            tmp_path / IMAGES, Listing("some", tmp_path, entries, (), pixels), 16, 8,
            Checks(max_bytes=2000),
        )  # fmt: skip


def test_splits_are_views_of_the_memory_map(tmp_path: Path) -> None:
    images = np.stack([crop(i) for i in range(5)])
    dataset = open_dataset(prepared(tmp_path, images))
    train, gallery = dataset.split("train"), dataset.split("gallery")
    assert len(train) == 2
    assert train.rows.tolist() == [0, 1]
    assert gallery.rows.tolist() == [2, 3, 4]
    assert gallery.pid.tolist() == [3, 4, 5]
    np.testing.assert_array_equal(gallery.images, images[2:])
    assert np.shares_memory(gallery.images, dataset.store)
    assert gallery.images.flags.c_contiguous
    assert dataset.split("train") is train
    empty = dataset.split("query")
    assert empty.images.shape == (0, 32, 16, 3)
    assert len(empty) == len(empty.pid) == 0


def test_splits_carry_their_attributes(tmp_path: Path) -> None:
    path = prepared(tmp_path, np.zeros((6, 8, 4, 3), dtype=np.uint8))
    assert open_dataset(path).split("gallery").attributes["hat"].tolist() == [3, 4, 5]


def test_a_smaller_size_is_an_area_average(tmp_path: Path) -> None:
    images = np.stack([crop(i) for i in range(4)])
    dataset = open_dataset(prepared(tmp_path, images), (16, 8))
    train = dataset.split("train")
    assert dataset.size == (16, 8)
    assert train.images.shape == (2, 16, 8, 3)
    assert train.images.flags.c_contiguous
    for got, image in zip(train.images, images, strict=False):
        blocks = image.reshape(16, 2, 8, 2, 3).astype(float).mean(axis=(1, 3))
        assert abs(got - blocks).max() <= 0.5
    same = open_dataset(tmp_path / "manifest.csv", (32, 16))
    assert np.shares_memory(same.split("train").images, same.store)


def test_stores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    images = np.stack([crop(i) for i in range(4)])
    path = prepared(tmp_path, images)
    with pytest.raises(UserError, match="images are 32x16, 64x16 is asked for"):
        open_dataset(path, (64, 16))
    with pytest.raises(UserError, match="4 images for 5 rows"):
        open_dataset(prepared(tmp_path, images, rows=5))
    prepared(tmp_path, images.astype(np.float32))
    with pytest.raises(UserError, match=r"float32 .* expected uint8"):
        open_dataset(path)
    prepared(tmp_path, images)
    whole = (tmp_path / IMAGES).read_bytes()
    for broken in (whole[:-1], whole[:20], b""):
        (tmp_path / IMAGES).write_bytes(broken)
        with pytest.raises(UserError, match="not a readable image store"):
            open_dataset(path)
    (tmp_path / IMAGES).unlink()
    with pytest.raises(UserError, match="no image store; run prepare_data"):
        open_dataset(path)
