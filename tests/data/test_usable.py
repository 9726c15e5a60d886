"""What training or evaluation would refuse hours later, refused when data are prepared."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from crgan.common.errors import UserError
from crgan.data.entries import Entry, FilePixels, Listing
from crgan.data.prepare import DataSpec, prepare
from crgan.data.usable import check_copies, check_usable
from tests.data_trees import jpeg, write_tree

TRAIN = [(1, 1, "train"), (1, 2, "train"), (2, 1, "train")]
TEST = [(3, 1, "query"), (3, 2, "gallery")]


def listing(rows: list[tuple[int, int, str]]) -> Listing:
    entries = tuple(Entry(f"{s}/{i}.jpg", pid, camid, s) for i, (pid, camid, s) in enumerate(rows))
    return Listing("mine", Path("d"), entries, (), FilePixels(Path("d")))


@pytest.mark.parametrize(
    "rows",
    [
        TRAIN,
        [*TRAIN, *TEST],
        [(-2, 1, "train"), (-2, 2, "train")],
        [*TRAIN, *TEST, (3, 1, "gallery"), (-1, 1, "gallery"), (0, 1, "gallery")],
        [*TRAIN, *TEST, (4, 1, "query")],  # one query without a match is dropped, not refused
        [(1, 1, "train"), (1, 1, "train"), (2, 1, "train"), *TEST],  # a source needs no cameras
    ],
)
def test_sets_that_can_be_used(rows: list[tuple[int, int, str]]) -> None:
    check_usable(listing(rows))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (TEST, "0 training images"),
        (TRAIN[:1], "1 training images"),
        ([(-2, 1, "train")] * 3, "all images are of one camera"),
        ([(1, 1, "train"), (1, 2, "train")], "1 people to train on"),
        ([(1, 1, "train"), (2, 2, "train")], "each of the 2 people to train on has one image"),
        ([*TRAIN, TEST[0]], "a query without a gallery"),
        ([*TRAIN, TEST[1]], "a gallery without a query"),
        ([*TRAIN, (0, 1, "query"), *TEST], "1 queries are of nobody"),
        ([*TRAIN, (3, 1, "query"), (3, 1, "gallery")], "true match in another camera .all images"),
        ([*TRAIN, (3, 1, "query"), (4, 2, "gallery")], "another camera .nobody was seen by two"),
    ],
)
def test_sets_that_cannot(rows: list[tuple[int, int, str]], reason: str) -> None:
    with pytest.raises(UserError, match=f"(?s)mine: d cannot be used:.*{reason}"):
        check_usable(listing(rows))


def test_a_labelled_target_with_one_camera_is_refused_before_an_image_is_read(
    tmp_path: Path,
) -> None:
    tree = {
        "bounding_box_train": ["1_c1_1.jpg", "1_c1_2.jpg", "2_c1_1.jpg"],
        "query": ["3_c1_1.jpg"],
        "bounding_box_test": ["3_c1_2.jpg"],
    }
    root = write_tree(tmp_path / "site", tree)
    (root / "query/3_c1_1.jpg").write_bytes(b"no image")
    chosen = DataSpec("market_style", str(root))
    with pytest.raises(UserError, match="no query has a true match in another camera"):
        prepare("site", chosen, tmp_path / "out", tmp_path / "raw", (16, 8))
    assert not (tmp_path / "out").exists()


def test_a_gallery_of_the_queries_is_refused(tmp_path: Path) -> None:
    names = [f"{pid}_c1_1.jpg" for pid in range(3, 7)]
    tree = {
        "bounding_box_train": ["1_c1_1.jpg", "1_c2_2.jpg", "2_c1_1.jpg"],
        "query": names,
        "bounding_box_test": [name.replace("_c1_", "_c2_") for name in names],
    }
    root = write_tree(tmp_path / "site", tree)
    for name in names:
        copy = root / "bounding_box_test" / name.replace("_c1_", "_c2_")
        copy.write_bytes((root / "query" / name).read_bytes())
    chosen = DataSpec("market_style", str(root))
    with pytest.raises(UserError, match="4 of 4 queries are in the gallery, too, as the same im"):
        prepare("site", chosen, tmp_path / "out", tmp_path / "raw", (16, 8))
    assert not list((tmp_path / "out").iterdir())
    for i, name in enumerate(names[1:]):
        (root / "query" / name).write_bytes(jpeg(100 + i))
    with pytest.warns(UserWarning, match="1 of 4 queries are in the gallery"):
        prepare("site", chosen, tmp_path / "out", tmp_path / "raw", (16, 8))


def test_a_copy_in_another_format_is_one(tmp_path: Path) -> None:
    names = ["3_c1_1.png", "4_c1_1.png"]
    tree = {
        "bounding_box_train": ["1_c1_1.jpg", "1_c2_2.jpg", "2_c1_1.jpg"],
        "query": names,
        "bounding_box_test": [name.replace("_c1_", "_c2_") for name in names],
    }
    root = write_tree(tmp_path / "site", tree)
    for i, name in enumerate(names):
        image = Image.open(BytesIO(jpeg(100 + i)))
        image.save(root / "query" / name, compress_level=1)
        image.save(root / "bounding_box_test" / name.replace("_c1_", "_c2_"), compress_level=9)
    with pytest.raises(UserError, match="2 of 2 queries are in the gallery"):
        prepare(
            "site", DataSpec("market_style", str(root)), tmp_path / "o", tmp_path / "r", (16, 8)
        )


@pytest.mark.parametrize("quality", [95, 30])
def test_a_copy_encoded_anew_with_loss_is_one(quality: int) -> None:
    """What a camera sees of a person in another place is none, however alike."""
    rng = np.random.default_rng(0)
    person = cv2.resize(rng.integers(0, 256, (8, 4, 3), dtype=np.uint8), (64, 128))
    data = cv2.imencode(".jpg", person, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    again = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    assert not np.array_equal(person, again)
    elsewhere = person.copy()
    elsewhere[:, :12] = 128  # other background beside the same person
    entries = [Entry("q", 1, 1, "query"), Entry("g", 1, 2, "gallery")]
    with pytest.raises(UserError, match="1 of 1 queries are in the gallery"):
        check_copies("mine", entries, np.stack([person, again]))
    check_copies("mine", entries, np.stack([person, elsewhere]))


def test_the_same_image_of_another_person_or_camera_is_no_copy(
    recwarn: pytest.WarningsRecorder,
) -> None:
    entries = [Entry("q", 1, 1, "query"), Entry("a", 2, 2, "gallery"), Entry("b", 1, 1, "gallery")]
    check_copies("mine", entries, np.zeros((3, 16, 8, 3), np.uint8))
    assert not recwarn.list
