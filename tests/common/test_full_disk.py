"""A disk that fills up or cannot be written: one line that names the file, nothing half written.

The limit of the process on the size of a file stands in for the end of the disk: the failed write
is the same, with another number.
"""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crgan.common.errors import UserError
from crgan.common.hdf5 import writing_hdf5
from crgan.common.io import atomic_path, save_arrays, save_torch, unwritable, write_json

NOISE = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may be larger than 50 kB."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def write_hdf5(path: Path) -> None:
    with writing_hdf5(path) as file:
        rows = file.create_dataset("a", NOISE.shape, np.uint8)
        for i, row in enumerate(NOISE):
            rows[i] = row


def write_npy(path: Path) -> None:
    with atomic_path(path) as temporary:
        np.save(temporary, NOISE)


def write_image(path: Path) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(NOISE).save(temporary, "PNG")


WRITERS: dict[str, Callable[[Path], None]] = {
    "x.h5": write_hdf5,
    "x.npy": write_npy,
    "x.png": write_image,
    "x.npz": lambda path: save_arrays(path, {"a": NOISE}),
    "x.pt": lambda path: save_torch(path, {"a": torch.zeros(300, 300)}),
    "x.json": lambda path: write_json(path, NOISE.ravel()[:50_000].tolist()),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("small_disk")
def test_a_failed_write_is_one_line_and_leaves_the_old_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(UserError) as caught:
        WRITERS[name](path)
    reason = "only a part went" if name == "x.npy" else "the file would be larger"
    assert str(caught.value).startswith(f"{path}: cannot be written, {reason}")
    assert "\n" not in str(caught.value)
    assert " MB free on /" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", WRITERS)
def test_with_room_all_is_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert path.stat().st_size > 50_000


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "your quota is used up"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "no permission to write there"),
    ],
)
def test_every_reason_has_its_words(number: int, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told), atomic_path(tmp_path / "a" / "b.txt"):
        raise OSError(number, "from the system")
    assert not list((tmp_path / "a").iterdir())


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("not a folder")
    with (
        pytest.raises(UserError, match=r"artifacts/x\.txt: cannot be written, a file stands"),
        atomic_path(tmp_path / "artifacts" / "x.txt"),
    ):
        pass


def test_trouble_with_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x.txt"):
        (tmp_path / "absent").read_text()
    with pytest.raises(PermissionError), atomic_path(tmp_path / "x.txt"):
        raise PermissionError(errno.EACCES, "denied", str(tmp_path / "other"))
    assert unwritable(tmp_path / "x", OSError(errno.EIO, "I/O error")) is None
