"""MATLAB files as the published data sets ship them, byte for byte repeatable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import scipy.io

from crgan.common.io import Sink

_HEADER_TEXT = 116  # bytes of free text at the start of every .mat file
_USER_BLOCK = 512  # bytes MATLAB 7.3 puts before the HDF5 data


def save_mat5(path: Path, values: dict[str, Any]) -> None:
    """`scipy.io.savemat` without the date in the header."""
    scipy.io.savemat(path, values, oned_as="column")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 5.0 MAT-file, written by the demo benchmark".ljust(_HEADER_TEXT))


def text_cells(texts: Sequence[str], column: bool) -> npt.NDArray[np.object_]:
    """A MATLAB cell of strings, one column or one row."""
    cells = np.empty(len(texts), dtype=object)
    cells[:] = list(texts)
    return cells.reshape(-1, 1) if column else cells.reshape(1, -1)


class Mat73Writer:
    """Writes a MATLAB 7.3 file of nested cells (HDF5, arrays stored transposed).

    Use as a context manager. A cell is a dataset of references into the group `#refs#`; an empty
    cell entry is MATLAB's placeholder, a uint64 pair of zeros marked `MATLAB_empty`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sink = Sink(open(path, "w+b", buffering=0))  # noqa: SIM115 - closed by __exit__
        self._file = h5py.File(self._sink, "w", userblock_size=_USER_BLOCK)
        self._count = 0
        self._refs = self._file.create_group("#refs#")
        self.empty = self.array(np.zeros(2, np.uint64), "double")
        self._file[self.empty].attrs["MATLAB_empty"] = np.uint8(1)

    def __enter__(self) -> Mat73Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._sink.close()
        header = b"MATLAB 7.3 MAT-file, written by the demo benchmark".ljust(_HEADER_TEXT)
        with open(self._path, "r+b") as file:
            file.write(header + bytes(8) + b"\x00\x02IM")

    def array(self, values: npt.NDArray[Any], kind: str) -> h5py.Reference:
        """Store an array exactly as given (already transposed) and return its reference."""
        dataset = self._refs.create_dataset(f"r{self._count:06d}", data=values)
        self._count += 1
        dataset.attrs["MATLAB_class"] = np.bytes_(kind)
        return dataset.ref

    def image(self, crop: npt.NDArray[np.uint8]) -> h5py.Reference:
        """Store an RGB image (H, W, 3) the way MATLAB does: (3, W, H)."""
        return self.array(np.ascontiguousarray(crop.transpose(2, 1, 0)), "uint8")

    def cell(self, references: Sequence[Sequence[h5py.Reference]]) -> h5py.Reference:
        """A cell from rows of references; stored transposed, as h5py sees MATLAB's."""
        return self.array(_table(references), "cell")

    def variable(self, name: str, references: Sequence[Sequence[h5py.Reference]]) -> None:
        """A named top-level cell, its rows stored as given (h5py's view)."""
        table = _table(references).T
        dataset = self._file.create_dataset(name, data=table, dtype=h5py.ref_dtype)
        dataset.attrs["MATLAB_class"] = np.bytes_("cell")


def _table(references: Sequence[Sequence[h5py.Reference]]) -> npt.NDArray[np.object_]:
    table = np.empty((len(references), len(references[0])), dtype=h5py.ref_dtype)
    for row, line in enumerate(references):
        for column, reference in enumerate(line):
            table[row, column] = reference
    return table.T
