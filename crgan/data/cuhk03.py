"""CUHK03 (Li et al., CVPR 2014), the detected crops, from the raw `cuhk-03.mat`.

The file is MATLAB 7.3, that is HDF5. `detected` refers to five camera pairs, each a cell array of
persons x 10 images: 01-05 from view 1, 06-10 from view 2, some of them empty. h5py shows every
array transposed. Images are named `<pair>_<person>_<view>_<image>.png` as in the new protocol's
file list, and identities are numbered 1 to 1,467 through the pairs, as there.

Two protocols. `all`: every image is a training image, 14,097 of 1,467 identities, the numbers the
CR-GAN paper gives for its source set. `new`: 767 identities to train and 700 to test (Zhong et
al., CVPR 2017), from that protocol's configuration file, whose indices count from 1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.data.entries import Entry, Listing, find_root, in_order

MAT = "cuhk-03.mat"
PROTOCOL_FILE = "cuhk03_new_protocol_config_detected.mat"
PROTOCOLS = ("all", "new")
_VERSION = "detected"  # the harder and usual version; `labeled` has boxes drawn by hand
_NAME = re.compile(r"\d_\d{3,4}_[12]_\d\d\.png")


class MatPixels:
    """Reads crops out of `cuhk-03.mat` by their pseudo path `detected/<name>.png`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open(path)
        self.cells: dict[str, Any] = {}  # pseudo path -> reference into the file

    def read(self, path: str) -> NDArray[np.generic]:
        """The crop (H, W, 3) RGB, as MATLAB would show it."""
        return np.ascontiguousarray(np.asarray(self._file[self.cells[path]]).T)


def load(
    source: str | Path,
    protocol: str = "all",
    protocol_file: str | Path | None = None,
    name: str = "cuhk03",
) -> Listing:
    """List CUHK03's detected crops.

    Args:
        source: `cuhk-03.mat`, its folder, or one above it.
        protocol: all or new.
        protocol_file: the new protocol's configuration; None looks beside `cuhk-03.mat`.
        name: the data set's name.

    Raises:
        UserError: file missing, of another layout, or not in agreement with the protocol file.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"{name}: protocol is {protocol!r}; use {' or '.join(PROTOCOLS)}")
    source = Path(source)
    path = source if source.is_file() else find_root(source, (MAT,), name) / MAT
    pixels = MatPixels(path)
    entries = _scan(pixels, path)
    if protocol == "new":
        config = Path(protocol_file) if protocol_file else path.parent / PROTOCOL_FILE
        entries = _apply_new_protocol(entries, config, path)
    return Listing(name, path.parent, in_order(entries), (), pixels)


def _open(path: Path) -> h5py.File:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise UserError(
            f"{path}: not a readable HDF5 file ({error}); copy cuhk-03.mat again, whole and raw"
        ) from None
    if _VERSION not in file:
        raise UserError(f"{path}: no variable {_VERSION!r}, only {', '.join(file)}")
    return file


def _scan(pixels: MatPixels, path: Path) -> list[Entry]:
    """Every non-empty cell as a training image; identities counted through the pairs."""
    file = pixels._file
    entries: list[Entry] = []
    first = 0
    try:
        for pair, reference in enumerate(np.asarray(file[_VERSION]).ravel(), start=1):
            if _is_empty(file[reference]):
                continue  # a pair nobody walked past; the published file has none
            cells = np.asarray(file[reference]).T  # persons x 10
            if cells.ndim != 2 or cells.shape[1] != 10:
                raise UserError(f"{path}: pair {pair} is {cells.shape}, expected persons x 10")
            for person, row in enumerate(cells, start=1):
                for number, cell in enumerate(row, start=1):
                    if not _is_empty(file[cell]):
                        view = 1 if number <= 5 else 2
                        key = f"{_VERSION}/{pair}_{person:03d}_{view}_{number:02d}.png"
                        pixels.cells[key] = cell
                        entries.append(Entry(key, first + person, view, "train"))
            first += len(cells)
    except (KeyError, ValueError, TypeError, AttributeError, OSError, RuntimeError) as error:
        raise UserError(f"{path}: not the layout of cuhk-03.mat ({error}); copy it again") from None
    if not entries:
        raise UserError(f"{path}: no image in {_VERSION!r}; copy cuhk-03.mat again")
    return entries


def _is_empty(cell: h5py.Dataset) -> bool:
    """MATLAB writes [] as its shape, two zeros, with an attribute that says so."""
    return "MATLAB_empty" in cell.attrs or cell.ndim < 2 or 0 in cell.shape


def _apply_new_protocol(entries: list[Entry], config: Path, path: Path) -> list[Entry]:
    """Give each image the split and identity of the 767/700 protocol."""
    names, labels, splits = _read_config(config)
    by_path = {entry.path: entry for entry in entries}
    result, missing = [], []
    for file_name, label, split in zip(names, labels, splits, strict=True):
        entry = by_path.get(f"{_VERSION}/{file_name}")
        if entry is None:
            missing.append(file_name)
        else:
            result.append(Entry(entry.path, label, entry.camid, split))
    surplus = sorted(set(by_path) - {f"{_VERSION}/{file_name}" for file_name in names})
    if missing or surplus:
        examples = ", ".join([*missing[:3], *surplus[:3]])
        raise UserError(
            f"{path}: does not fit {config.name}: {len(missing)} of its images are not in the "
            f".mat, {len(surplus)} of the .mat's are not in it (for example {examples})"
        )
    return result


def _read_config(config: Path) -> tuple[list[str], list[int], list[str]]:
    """File names, identities and splits; indices in the file count from 1."""
    if not config.is_file():
        raise UserError(
            f"{config}: protocol 'new' needs this file (from the authors of CUHK03-NP); "
            "put it beside cuhk-03.mat, or choose protocol: all"
        )
    try:
        content = scipy.io.loadmat(config, squeeze_me=True)
    except Exception as error:  # scipy raises many kinds on a file that is no .mat
        raise UserError(f"{config}: not a readable .mat file ({error})") from None
    try:
        names = [str(text) for text in np.atleast_1d(content["filelist"])]
        labels = [int(label) for label in np.atleast_1d(content["labels"])]
        splits = [""] * len(names)
        for split in ("train", "query", "gallery"):
            for index in np.atleast_1d(content[f"{split}_idx"]).astype(np.int64):
                if not 1 <= index <= len(names) or splits[index - 1]:
                    raise UserError(
                        f"{config}: {split}_idx holds {index}, out of range or used twice"
                    )
                splits[index - 1] = split
    except KeyError as error:
        raise UserError(f"{config}: no variable {error} in it; use {PROTOCOL_FILE}") from None
    if len(labels) != len(names):
        raise UserError(f"{config}: {len(labels)} labels for {len(names)} files")
    if bad := [name for name in names if not _NAME.fullmatch(name)]:
        raise UserError(f"{config}: file name {bad[0]!r} not understood; use {PROTOCOL_FILE}")
    if "" in splits:
        raise UserError(f"{config}: {names[splits.index('')]} is in no split")
    return names, labels, splits
