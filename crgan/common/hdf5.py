"""HDF5 files read without trust and written without risk.

Reading: no lock is taken, since many network file systems have none to give; and data that a file
claims to keep in other files (external or virtual storage, links) are refused, since a file from
outside could so turn any local file into pixels. Writing goes through `io.Sink`, since the HDF5
library crashes when the disk fills up under it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, open_sink


@contextmanager
def writing_hdf5(path: str | Path, track_order: bool | None = None) -> Iterator[h5py.File]:
    """A new HDF5 file that appears at `path` whole or not at all.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        open_sink(temporary) as sink,
        h5py.File(sink, "w", track_order=track_order) as file,
    ):
        yield file


def open_hdf5(path: str | Path, what: str, mend: str) -> h5py.File:
    """Open a file for reading, without locking it; use it as a context manager.

    Args:
        path: the file.
        what: it should be, for the message ("a mask file").
        mend: how it comes to be, where it is damaged ("run extract_masks again").

    Raises:
        FileNotFoundError: it is not there.
        UserError: it cannot be read (told by the system's reason), or is not HDF5.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: no regular file, {what} is expected; {mend}")
    try:
        return h5py.File(path, "r", locking=False)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno:  # the system's doing, not the file's
            raise UserError(
                f"{path}: cannot be read ({os.strerror(error.errno)}); "
                "see to its permissions and its disk, the file itself may be whole"
            ) from None
        raise UserError(f"{path}: not {what} ({error}); {mend}") from None


def dataset(group: h5py.Group, name: str) -> h5py.Dataset:
    """The dataset `name` of a group, whose data lie in this very file.

    Raises:
        KeyError: no such dataset.
        UserError: it is a link, or its data lie elsewhere.
    """
    link = group.get(name, getlink=True)
    if link is None:
        raise KeyError(name)
    if not isinstance(link, h5py.HardLink):
        raise _elsewhere(group, f"{name!r} is a link")
    return own_data(group[name])


def own_data(found: h5py.Dataset) -> h5py.Dataset:
    """`found` itself, when it is a dataset whose data lie in its own file.

    Raises:
        KeyError: a group.
        UserError: external or virtual storage.
    """
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{found.name} is no dataset")
    if found.external is not None or found.is_virtual:
        raise _elsewhere(found, f"{found.name or 'a dataset'!r} keeps its data in other files")
    return found


def _elsewhere(found: h5py.Group | h5py.Dataset, what: str) -> UserError:
    return UserError(
        f"{found.file.filename}: {what}; refused, since such a file can show any file of this "
        "machine as data: use one that holds its own data"
    )
