"""The manifest: one CSV per data set, the only thing later stages know about its images.

Columns `path,pid,camid,split,sha256`, then `attr_<name>` where attributes are known. Rows stand in
the order split (train, query, gallery), then path (plainly, or with numbers compared as numbers,
as the layout has it); row i belongs to row i of the image store.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.io import atomic_path, require_regular
from crgan.data.entries import SPLITS, natural

COLUMNS = ("path", "pid", "camid", "split", "sha256")
_PREFIX = "attr_"
_RANK = {split: i for i, split in enumerate(SPLITS)}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_ATTRIBUTE = re.compile(r"attr_[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Manifest:
    """The rows of a manifest, by column; N rows.

    Attributes:
        paths: N names relative to the data set's root, unique.
        pid: int64 (N,): >= 1 a person, 0 distractor, -1 junk, -2 unlabelled.
        camid: int64 (N,), from 1.
        split: N of train, query, gallery, in that order.
        sha256: N hex digests of the image files (CUHK03: of the decoded arrays).
        attributes: name -> int64 (N,); the published values (1, 2, ...), 0 where unknown.
    """

    paths: tuple[str, ...]
    pid: NDArray[np.int64]
    camid: NDArray[np.int64]
    split: tuple[str, ...]
    sha256: tuple[str, ...]
    attributes: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _validate(self)

    def __len__(self) -> int:
        return len(self.paths)

    def rows(self, split: str) -> NDArray[np.int64]:
        """Row numbers of a split, ascending and contiguous; empty when it has no images."""
        if split not in _RANK:
            raise ValueError(f"no such split: {split!r}; one of {', '.join(SPLITS)}")
        return np.flatnonzero(np.array(self.split) == split).astype(np.int64)


def _validate(m: Manifest) -> None:
    """Hold the invariants that later stages rely on; the first broken one is reported."""
    n = len(m.paths)
    lengths = {"pid": len(m.pid), "camid": len(m.camid)}
    lengths |= {"split": len(m.split), "sha256": len(m.sha256)}
    lengths |= {name: len(column) for name, column in m.attributes.items()}
    for name, length in lengths.items():
        if length != n:
            raise UserError(f"manifest: {length} values of {name} for {n} paths")
    for name, array in {"pid": m.pid, "camid": m.camid, **m.attributes}.items():
        if array.dtype != np.int64 or array.ndim != 1:
            raise UserError(
                f"manifest: {name} is {array.dtype} {array.shape}, expected int64 ({n},)"
            )
    if n == 0:
        raise UserError("manifest: no rows; the data set is empty")
    for i in range(n):
        fault = _row_fault(m.paths[i], int(m.pid[i]), int(m.camid[i]), m.split[i], m.sha256[i])
        if fault:
            raise UserError(f"manifest row {i + 1} ({m.paths[i]!r}): {fault}")
    if len(set(m.paths)) != n:
        twice, _ = Counter(m.paths).most_common(1)[0]
        raise UserError(f"manifest: path {twice!r} stands twice; each image has one row")
    plain = [(_RANK[s], p) for s, p in zip(m.split, m.paths, strict=True)]
    wrong = _first_descent(plain)
    if wrong is not None and _first_descent([(rank, natural(p)) for rank, p in plain]) is not None:
        raise UserError(
            f"manifest row {wrong + 1} ({m.paths[wrong]!r}): out of order; rows stand by split "
            "(train, query, gallery), then path"
        )


def _first_descent(keys: list[Any]) -> int | None:
    """Index of the first key that is below the one before it."""
    pairs = enumerate(itertools.pairwise(keys), start=1)
    return next((i for i, (before, after) in pairs if before > after), None)


def _row_fault(path: str, pid: int, camid: int, split: str, sha256: str) -> str | None:
    if not path or path.startswith("/") or "\\" in path or ".." in path.split("/"):
        return "path must be relative to the data set's root, with forward slashes"
    if split not in _RANK:
        return f"split {split!r} is none of {', '.join(SPLITS)}"
    if pid < -2:
        return f"pid {pid} is below -2 (unlabelled)"
    if camid < 1:
        return f"camid {camid} is below 1"
    if not _SHA256.fullmatch(sha256):
        return f"sha256 {sha256!r} is not 64 lower-case hex digits"
    return None


def write_manifest(path: str | Path, manifest: Manifest) -> None:
    """Write the CSV atomically, with `\\n` line ends and attributes in sorted order."""
    names = sorted(manifest.attributes)
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(_PREFIX + name for name in names)])
        columns = [manifest.pid, manifest.camid, manifest.split, manifest.sha256]
        columns += [manifest.attributes[name] for name in names]
        writer.writerows(zip(manifest.paths, *columns, strict=True))


def read_manifest(path: str | Path) -> Manifest:
    """Read and validate a manifest.

    Raises:
        UserError: missing file, wrong columns, or a row that breaks the contract (named by line).
    """
    require_regular(path)
    try:
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except FileNotFoundError:
        raise UserError(f"{path}: no such manifest; run prepare_data first") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); see to its rights") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a readable CSV ({error}); run prepare_data again") from None
    extra = header[len(COLUMNS) :]
    if tuple(header[: len(COLUMNS)]) != COLUMNS or len(set(header)) != len(header):
        raise UserError(
            f"{path}: columns {','.join(header)}; expected {','.join(COLUMNS)}[,attr_*]"
        )
    if bad := [name for name in extra if not _ATTRIBUTE.fullmatch(name)]:
        raise UserError(f"{path}: unknown column {bad[0]!r}; attribute columns are attr_<name>")
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise UserError(f"{path} row {i + 1}: {len(row)} fields, the header has {len(header)}")
    columns = list(zip(*rows, strict=True)) or [()] * len(header)
    try:
        return Manifest(
            paths=columns[0],
            pid=_integers(columns[1], "pid"),
            camid=_integers(columns[2], "camid"),
            split=columns[3],
            sha256=columns[4],
            attributes={
                name.removeprefix(_PREFIX): _integers(column, name)
                for name, column in zip(extra, columns[len(COLUMNS) :], strict=True)
            },
        )
    except UserError as error:
        raise UserError(f"{path}: {error}; run prepare_data again") from None


def _integers(values: tuple[str, ...], name: str) -> NDArray[np.int64]:
    parsed: dict[str, int] = {}
    for value in set(values):  # few distinct ones, even among 36,000 rows
        if not _INTEGER.fullmatch(value):
            row = values.index(value) + 1
            raise UserError(f"manifest row {row}: {name} {value!r} is not an integer")
        parsed[value] = int(value)
    return np.array([parsed[value] for value in values], dtype=np.int64)
