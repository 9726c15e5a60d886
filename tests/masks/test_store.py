"""The mask file: round trip, refusals, repeatable bytes, resizing; IoU and the sheet."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.common.io import sha256_bytes
from crgan.data.entries import SPLITS
from crgan.data.manifest import Manifest, write_manifest
from crgan.looks import masks as sheet
from crgan.looks.masks import mask_sheet, overlay
from crgan.masks import iou
from crgan.masks.backend import Batch
from crgan.masks.extract import extract_masks
from crgan.masks.iou import intersection_over_union
from crgan.masks.store import MaskStore, open_masks, pack, shrink, unpack, write_masks

N, H, W = 300, 10, 7  # more than one block of writing, and H W not a multiple of 8


def random_masks(n: int = N, height: int = H, width: int = W) -> np.ndarray:
    return np.random.default_rng(3).random((n, height, width)) < 0.4


def write_data(
    folder: Path, n: int = N, salt: str = "", pid: int = 1, tested: tuple[int, int] = (0, 0)
) -> Path:
    """A manifest of n rows, the last `tested` query and gallery, with an image store beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = Manifest(
        paths=tuple(f"{i:05d}.png" for i in range(n)),
        pid=np.full(n, pid, dtype=np.int64),
        camid=np.ones(n, dtype=np.int64),
        split=("train",) * (n - sum(tested)) + ("query",) * tested[0] + ("gallery",) * tested[1],
        sha256=tuple(sha256_bytes(f"{salt}{i}".encode()) for i in range(n)),
    )
    write_manifest(folder / "manifest.csv", manifest)
    images = np.random.default_rng(5).integers(0, 256, (n, H, W, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    return folder / "manifest.csv"


class Given:
    """A backend that hands out given masks, batch by batch."""

    name = "given"
    weights_sha256 = "ab" * 32

    def __init__(self, masks: np.ndarray) -> None:
        self.settings = {"b": 2, "a": 0.5}
        self._masks = masks

    def masks(self, batch: Batch) -> np.ndarray:
        return self._masks[[int(Path(path).stem) for path in batch.paths]]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


@pytest.fixture
def stored(tmp_path: Path, manifest: Path) -> Path:
    extract_masks(manifest, Given(random_masks()), tmp_path / "masks.h5")
    return tmp_path / "masks.h5"


def test_round_trip_keeps_masks_and_how_they_were_made(stored: Path, manifest: Path) -> None:
    store = open_masks(stored, manifest)
    assert len(store) == N
    assert (store.height, store.width, store.backend) == (H, W, "given")
    assert store.weights_sha256 == "ab" * 32
    assert store.settings == {"a": 0.5, "b": 2}
    rows = np.array([299, 0, 256, 256, 17])
    read = store.read(rows)
    assert read.dtype == np.bool_
    np.testing.assert_array_equal(read, random_masks()[rows])
    np.testing.assert_array_equal(store.read(range(N)), random_masks())


def test_equal_masks_make_equal_files(stored: Path, manifest: Path, tmp_path: Path) -> None:
    extract_masks(manifest, Given(random_masks()), tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == stored.read_bytes()


def test_bytes_per_mask_at_demo_size(tmp_path: Path) -> None:
    n = 4000
    write_masks(
        tmp_path / "m.h5",
        iter(np.zeros((n, 128, 64), dtype=np.bool_)),
        manifest_sha256="0" * 64,
        image_sha256s=[sha256_bytes(str(i).encode()) for i in range(n)],
        shape=(n, 128, 64),
        splits=["train"],
        backend="given",
        weights_sha256=None,
        settings={},
    )
    assert (tmp_path / "m.h5").stat().st_size / n <= 1040


def test_masks_of_other_images_are_refused_and_the_row_named(stored: Path, tmp_path: Path) -> None:
    other = write_data(tmp_path / "other")
    lines = other.read_text().splitlines()
    lines[42] = lines[42].replace(lines[42].split(",")[4], "f" * 64)  # row 42, below the header
    other.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=r"row 42 was made from another image \(1 of 300"):
        open_masks(stored, other)


def test_an_image_hash_that_differs_late_is_still_refused(stored: Path, tmp_path: Path) -> None:
    other = write_data(tmp_path / "other")
    lines = other.read_text().splitlines()
    digest = lines[7].split(",")[4]
    lines[7] = lines[7].replace(digest, digest[:-1] + ("0" if digest[-1] != "0" else "1"))
    other.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="other images"):
        open_masks(stored, other)


def test_another_number_of_rows_is_refused(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="masks of 300 rows for 299"):
        open_masks(stored, write_data(tmp_path / "fewer", n=N - 1))


def test_another_version_of_the_manifest_is_refused(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="same images, but another version of their manifest"):
        open_masks(stored, write_data(tmp_path / "relabelled", pid=2))


def test_absent_and_damaged_files_are_named(tmp_path: Path, stored: Path, manifest: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.h5: no such mask file"):
        open_masks(tmp_path / "absent.h5", manifest)
    cut = tmp_path / "cut.h5"
    cut.write_bytes(stored.read_bytes()[:1500])
    with pytest.raises(UserError, match=r"cut\.h5: not a mask file"):
        open_masks(cut, manifest)
    with h5py.File(tmp_path / "earlier.h5", "w") as file:
        file.attrs["format"] = "crgan masks 1"
    with pytest.raises(UserError, match=r"format 'crgan masks 1', not .* run extract_masks again"):
        open_masks(tmp_path / "earlier.h5", manifest)
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(UserError, match=r"foreign\.h5: not a mask file"):
        open_masks(tmp_path / "foreign.h5", manifest)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((N - 1, H, W), dtype=np.bool_), "299 masks, expected 300"),
        (np.zeros((N + 1, H, W), dtype=np.bool_), "more than 300 masks"),
        (np.zeros((N, W, H), dtype=np.bool_), "mask is bool"),
        (np.zeros((N, H, W), dtype=np.uint8), "mask is uint8"),
    ],
)
def test_a_failed_write_leaves_nothing(tmp_path: Path, masks: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_masks(
            tmp_path / "out" / "m.h5",
            masks,
            manifest_sha256="0" * 64,
            image_sha256s=["0" * 64] * N,
            shape=(N, H, W),
            splits=["train"],
            backend="given",
            weights_sha256=None,
            settings={},
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_masks_of_some_splits(tmp_path: Path) -> None:
    manifest = write_data(tmp_path / "data", tested=(20, 50))  # rows 230 to 249, 250 to 299
    extract_masks(manifest, Given(random_masks()), tmp_path / "m.h5", ["gallery", "train"])
    store = open_masks(tmp_path / "m.h5", manifest)
    assert len(store) == 280
    assert store.splits == ("train", "gallery")
    np.testing.assert_array_equal(store.rows, [*range(230), *range(250, 300)])
    rows = np.array([299, 0, 250, 229])
    np.testing.assert_array_equal(store.read(rows), random_masks()[rows])
    small = shrink(random_masks()[rows], 5, 3)
    np.testing.assert_array_equal(unpack(store.packed_rows(rows, (5, 3)), 5, 3), small)
    np.testing.assert_array_equal(store.spread(3), [0, 140, 299])  # places 0, 139.5 up, 279
    for row in (230, 249):
        with pytest.raises(UserError, match=f"row {row + 1} has no mask; these are of train, gal"):
            store.read([0, row, 299])


def test_a_row_past_the_last_mask_is_refused(tmp_path: Path) -> None:
    manifest = write_data(tmp_path / "data", tested=(20, 50))
    extract_masks(manifest, Given(random_masks()), tmp_path / "m.h5", ["train"])
    store = open_masks(tmp_path / "m.h5", manifest)
    assert len(store) == 230
    with pytest.raises(UserError, match="row 300 has no mask"):
        store.read([299])


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (["tests"], r"masks\.splits is \['tests'\]; give a list of any of train, query, gallery"),
        ("train", "masks.splits is 'train'; give"),
        ([], r"masks.splits is \[\]; give"),
        (["query", "gallery"], "no images in query, gallery"),
    ],
)
def test_splits_that_there_are_not(
    tmp_path: Path, manifest: Path, splits: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        extract_masks(manifest, Given(random_masks()), tmp_path / "m.h5", splits)
    assert not (tmp_path / "m.h5").exists()


def test_packing_puts_the_first_pixel_in_the_highest_bit() -> None:
    masks = np.zeros((1, 3, 3), dtype=np.bool_)
    masks[0, 0, 0] = masks[0, 2, 2] = True
    np.testing.assert_array_equal(pack(masks), [[0b10000000, 0b10000000]])
    np.testing.assert_array_equal(unpack(pack(masks), 3, 3), masks)


def test_shrinking_asks_for_more_than_half_of_the_area() -> None:
    mask = np.array([[[1, 1, 1, 0], [1, 0, 0, 1]]], dtype=np.bool_)  # areas 3/4 and 2/4
    np.testing.assert_array_equal(shrink(mask, 1, 2), [[[True, False]]])


def test_read_at_training_size_is_the_shrunk_mask() -> None:
    masks = random_masks(600, 32, 16)
    store = MaskStore(
        Path("m.h5"), pack(masks), np.arange(600), ("train",), 32, 16, "given", None, {}
    )
    rows = [599, 3, 255, 256]
    np.testing.assert_array_equal(store.read(rows, (16, 8)), shrink(masks[rows], 16, 8))
    with pytest.raises(UserError, match="64x32 is asked for"):
        store.read(rows, (64, 32))


def test_iou_by_hand() -> None:
    masks = np.zeros((3, 2, 4), dtype=np.bool_)
    truth = np.zeros((3, 2, 4), dtype=np.bool_)
    masks[0, 0, :3] = True
    truth[0, 0, 1:] = True  # 2 in common of 4
    truth[1, 0, 0] = True  # the mask is empty
    np.testing.assert_allclose(intersection_over_union(masks, truth), [0.5, 0.0, 1.0])


def test_iou_command(
    stored: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halved = random_masks()
    halved[::2] = ~halved[::2]  # nothing in common on every second row
    extract_masks(manifest, Given(halved), tmp_path / "halved.h5")
    common = ["--manifest", str(manifest), "--truth", str(stored)]
    iou.main([*common, "--masks", str(tmp_path / "halved.h5")])
    facts = json.loads(capsys.readouterr().out)
    assert set(facts) == {"backend", "all", "train"}
    assert facts["all"] == facts["train"]
    assert facts["all"]["mean"] == 0.5
    assert facts["all"]["below_half"] == 0.5
    with pytest.raises(SystemExit) as stop:
        iou.main([*common, "--masks", str(tmp_path / "absent.h5")])
    assert stop.value.code == 2
    assert "absent.h5" in capsys.readouterr().err


def test_iou_of_the_rows_both_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_data(tmp_path / "data", tested=(20, 50))
    halved = random_masks()
    halved[:115] = ~halved[:115]  # half of the training rows
    files = {"whole": (random_masks(), SPLITS), "train": (halved, ["train"]),
             "query": (halved, ["query"])}  # fmt: skip
    for name, (masks, splits) in files.items():
        extract_masks(manifest, Given(masks), tmp_path / f"{name}.h5", splits)
    common = ["--manifest", str(manifest), "--masks", str(tmp_path / "train.h5")]
    iou.main([*common, "--truth", str(tmp_path / "whole.h5")])
    facts = json.loads(capsys.readouterr().out)
    assert set(facts) == {"backend", "all", "train"}
    assert facts["train"]["n"] == 230
    assert facts["train"]["mean"] == 0.5
    with pytest.raises(SystemExit):
        iou.main([*common, "--truth", str(tmp_path / "query.h5")])
    assert "extract both of the same splits" in capsys.readouterr().err


def test_overlay_tints_the_person_only() -> None:
    images = np.full((1, 2, 2, 3), 100, dtype=np.uint8)
    mask = np.array([[[True, False], [False, False]]])
    tinted = overlay(images, mask)
    np.testing.assert_array_equal(tinted[0, 0, 0], [185, 45, 45])  # 0.45 * 100 (+ 0.55 * 255)
    assert (tinted[0, 1] == 100).all()


def test_sheet_stands_image_mask_overlay_below_each_other() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 2, 3), dtype=np.uint8)
    masks = random_masks(3, 4, 2)
    image = mask_sheet(images, masks, columns=2)
    assert image.shape == (2 * (3 * 4 + 4), 4, 3)
    np.testing.assert_array_equal(image[16:20, :2], images[2])  # second line, first column
    np.testing.assert_array_equal(image[20:24, :2, 0] == 255, masks[2])


def test_sheet_command_writes_a_image(stored: Path, manifest: Path, tmp_path: Path) -> None:
    common = ["--manifest", str(manifest), "--masks", str(stored)]
    sheet.main([*common, "--out", str(tmp_path / "sheet.png"), "--count", "10", "--columns", "5"])
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (2 * (3 * H + 4), 5 * W, 3)
    with pytest.raises(SystemExit):
        sheet.main([*common, "--out", str(tmp_path / "sheet.jpeg")])
