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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.hdf5 import dataset, open_hdf5, own_data
from crgan.data.counts import SplitCount
from crgan.data.entries import BadImage, Entry, Listing, find_root, in_order
from crgan.data.layout import Layout
from crgan.data.mat5 import load_mat

MAT = "cuhk-03.mat"
PROTOCOL_FILE = "cuhk03_new_protocol_config_detected.mat"
PUBLISHED = {
    "all": {"train": SplitCount(1467, (6918, 7179))},
    "new": {
        "train": SplitCount(767, (3601, 3764)),
        "query": SplitCount(700, (700, 700)),
        "gallery": SplitCount(700, (2617, 2715)),
    },
}
_LARGEST = 1 << 26  # values of one array; the file claims its sizes, memory is had before reading
_VERSION = "detected"  # the harder and usual version; `labeled` has boxes drawn by hand
_NAME = re.compile(r"\d_\d{3,4}_[12]_\d\d\.png")


@dataclass(frozen=True)
class Options:
    """What the parameters may say of CUHK03.

    Attributes:
        protocol: `all` 1,467 identities to train, or the `new` 767/700 split.
        protocol_file: the new protocol's .mat; None looks beside cuhk-03.mat.
    """

    protocol: Literal["all", "new"] = "all"
    protocol_file: str | None = None


class MatPixels:
    """Reads crops out of `cuhk-03.mat` by their pseudo path `detected/<name>.png`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _open(path)
        self.cells: dict[str, Any] = {}  # pseudo path -> reference into the file

    def read(self, path: str) -> NDArray[np.generic]:
        """The crop (H, W, 3) RGB, as MATLAB would show it.

        Raises:
            BadImage: it cannot be read, or claims to be larger than any crop.
        """
        try:
            cell = own_data(self._file[self.cells[path]])
            if cell.size > _LARGEST:
                raise BadImage("huge", f"array of shape {cell.shape}")
            return np.ascontiguousarray(np.asarray(cell).T)
        except (KeyError, ValueError, TypeError, RuntimeError, OSError) as error:
            raise BadImage("corrupt", str(error)) from None


def load(source: Path, options: Options | None = None, name: str = "cuhk03") -> Listing:
    """List CUHK03's detected crops.

    Args:
        source: `cuhk-03.mat`, its folder, or one above it.
        options: the protocol and its file.
        name: the data set's name.

    Raises:
        UserError: file missing, of another layout, or not in agreement with the protocol file.
    """
    options = options or Options()
    path = source if source.is_file() else find_root(source, (MAT,), name) / MAT
    pixels = MatPixels(path)
    entries = _scan(pixels, path)
    if options.protocol == "new":
        given = options.protocol_file
        config = Path(given) if given else path.parent / PROTOCOL_FILE
        entries = _apply_new_protocol(entries, config, path)
    return Listing(name, path.parent, in_order(entries), (), pixels)


def _open(path: Path) -> h5py.File:
    mend = "copy cuhk-03.mat again, whole and raw"
    file = open_hdf5(path, "a readable HDF5 file", mend)
    if _VERSION not in file:
        raise UserError(f"{path}: no variable {_VERSION!r}, only {', '.join(file)}")
    return file


def _scan(pixels: MatPixels, path: Path) -> list[Entry]:
    """Every non-empty cell as a training image; identities counted through the pairs."""
    file = pixels._file
    entries: list[Entry] = []
    first = 0
    try:
        for pair, reference in enumerate(_references(dataset(file, _VERSION)).ravel(), start=1):
            if _is_empty(file[reference]):
                continue  # a pair nobody walked past; the published file has none
            cells = _references(own_data(file[reference])).T  # persons x 10
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


def _references(cells: h5py.Dataset) -> NDArray[np.object_]:
    if cells.size > _LARGEST:
        raise ValueError(f"a cell array of shape {cells.shape}")
    return np.asarray(cells)


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
    content = load_mat(config, squeeze_me=True)
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


LAYOUT = Layout(
    label="CUHK03",
    how_to_get="CUHK03: on request from its authors (W. Li et al., CVPR 2014), as "
    "cuhk03_release.zip holding cuhk-03.mat",
    load=load,
    options=Options,
    published=lambda options: PUBLISHED[options.protocol],
    generated=True,
)
