"""Files that nobody vouches for: what they claim is bounded, and no other file is read for them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image, ImageOps

from crgan.common.errors import UserError
from crgan.common.hdf5 import dataset, open_hdf5
from crgan.data.entries import FilePixels, NoRegularFile
from crgan.data.integrity import BadImage, Checks, decode
from crgan.data.layouts import cuhk03
from crgan.data.mat5 import load_mat
from crgan.data.prepare import DataSpec, prepare
from tests.data_trees import MARKET, write_cuhk03, write_tree
from tests.data_trees import image as crop

SECRET = bytes(range(256)) * 8
CONVERT = Checks(on_odd="convert")


def external(path: Path, secret: Path) -> None:
    with h5py.File(path, "w") as file:
        shape = (3, 16, 32)
        file.create_dataset("a", shape, np.uint8, external=[(str(secret), 0, 3 * 16 * 32)])


def virtual(path: Path, secret: Path) -> None:
    other = path.with_suffix(".other")
    with h5py.File(other, "w") as file:
        file["a"] = np.zeros(5)
    layout = h5py.VirtualLayout((5,), np.float64)
    layout[:] = h5py.VirtualSource(str(other), "a", (5,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("a", layout)


def linked(path: Path, secret: Path) -> None:
    other = path.with_suffix(".other")
    with h5py.File(other, "w") as file:
        file["a"] = np.zeros(5)
    with h5py.File(path, "w") as file:
        file["a"] = h5py.ExternalLink(str(other), "/a")


def soft(path: Path, secret: Path) -> None:
    linked(path, secret)
    with h5py.File(path, "a") as file:
        file["b"] = file.get("a", getlink=True)
        del file["a"]
        file["a"] = h5py.SoftLink("/b")


@pytest.mark.parametrize("make", [external, virtual, linked, soft])
def test_data_from_other_files_are_refused(tmp_path: Path, make: object) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    path = tmp_path / "x.h5"
    make(path, secret)  # type: ignore[operator]
    with (
        open_hdf5(path, "a file", "make it again") as file,
        pytest.raises(UserError, match=r"x\.h5: .*refused, since such a file can show any file"),
    ):
        dataset(file, "a")


def test_a_mat_that_shows_a_local_file_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    path = write_cuhk03(tmp_path / "c")
    with h5py.File(path, "a") as file:
        del file["#refs#/i0"]  # the first crop, now bytes of another file
        storage = [(str(secret), 0, 3 * 16 * 32)]
        crop = file["#refs#"].create_dataset("i0", (3, 16, 32), np.uint8, external=storage)
        cells = file[file["detected"][0, 0]]
        row = cells[:]
        row[0, 0] = crop.ref
        cells[...] = row
    chosen = DataSpec("cuhk03", str(path), expect="none")
    with pytest.raises(UserError, match="keeps its data in other files"):
        prepare("c", chosen, tmp_path / "out", tmp_path / "raw", (16, 8))
    assert not (tmp_path / "out/images.npy").exists()


def test_a_mat_that_claims_a_huge_crop_is_told_as_any_bad_image(tmp_path: Path) -> None:
    path = write_cuhk03(tmp_path / "c")
    with h5py.File(path, "a") as file:
        crop = file["#refs#"].create_dataset("big", (3, 100_000, 100_000), np.uint8)
        cells = file[file["detected"][0, 0]]
        row = cells[:]
        row[0, 0] = crop.ref
        cells[...] = row
    listing = cuhk03.load(path)
    with pytest.raises(BadImage, match=r"huge: array of shape \(3, 100000, 100000\)"):
        listing.pixels.read("detected/1_001_1_01.png")


def test_a_pipe_never_holds_the_work_up(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "m", MARKET)
    os.mkfifo(root / "query" / "0003_c1s1_000001_00.jpg")
    chosen = DataSpec("market1501", str(root), expect="none")
    with pytest.raises(UserError, match=r"0003_c1s1_000001_00\.jpg .no regular file"):
        prepare("m", chosen, tmp_path / "out", tmp_path / "raw", (16, 8))
    with pytest.raises(NoRegularFile):  # put there after the listing
        FilePixels(root).read("query/0003_c1s1_000001_00.jpg")
    os.mkfifo(tmp_path / "cuhk-03.mat")
    with pytest.raises(UserError, match="no regular file, a readable HDF5 file is expected"):
        cuhk03.load(tmp_path)


def test_locks_are_not_asked_for_and_the_systems_reasons_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(3)
    writer = h5py.File(path, "a")  # holds the lock that readers would ask for
    try:
        read = (
            "import sys; from crgan.common.hdf5 import open_hdf5;"
            f"sys.exit(int(open_hdf5({str(path)!r}, '', '')['a'][2]))"
        )
        done = subprocess.run([sys.executable, "-c", read]).returncode  # flock is per process
        assert done == 2
    finally:
        writer.close()
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(UserError, match=r"text\.h5: not a mask file .*; make it again"):
        open_hdf5(tmp_path / "text.h5", "a mask file", "make it again")

    def denied(*args: object, **options: object) -> None:
        raise PermissionError(13, "Unable to open file (errno = 13)")

    monkeypatch.setattr(h5py, "File", denied)
    with pytest.raises(
        UserError, match=r"cannot be read .Permission denied.; see to its"
    ) as caught:
        open_hdf5(path, "a mask file", "make it again")
    assert "make it again" not in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    image = Image.fromarray(crop(3, 48, 24))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    image.save(buffer, kind, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)).convert("RGB"))
    assert expected.shape == ((48, 24, 3) if orientation < 5 else (24, 48, 3))
    found = decode(buffer.getvalue(), Checks())
    np.testing.assert_array_equal(found, expected)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_few_bits_in_sixteen_are_refused_with_the_mend(bits: int) -> None:
    deep = (crop(3, 20, 10)[:, :, 0].astype(np.uint16) << 8) >> (16 - bits)
    buffer = io.BytesIO()
    Image.fromarray(deep).save(buffer, "PNG")
    for raw in (buffer.getvalue(), np.repeat(deep[:, :, None], 3, axis=2)):
        with pytest.raises(BadImage, match=r"too dark: no value of its 16 bits above") as caught:
            decode(raw, CONVERT)
        assert caught.value.kind == "too dark"
    whole = np.repeat((deep << (16 - bits))[:, :, None], 3, axis=2)
    assert decode(whole, CONVERT).max() > 128


def test_label_files_that_unpack_to_too_much_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "duke_attribute.mat"
    scipy.io.savemat(path, {"a": np.zeros(1 << 22)}, do_compression=True)
    assert path.stat().st_size < 1 << 16
    assert load_mat(path)["a"].size == 1 << 22
    whole = path.read_bytes()
    element = whole[128:]
    path.write_bytes(whole[:128] + element * 9)  # 9 x 32 MB
    with pytest.raises(UserError, match="unpacks to more than 268,435,456 bytes"):
        load_mat(path)
    path.write_bytes(whole[:200])
    with pytest.raises(UserError, match=r"not a readable \.mat file"):
        load_mat(path)
