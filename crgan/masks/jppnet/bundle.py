"""Reader of TensorFlow's checkpoint format V2 ("tensor bundle"), without TensorFlow.

A checkpoint `P` is `P.index`, a table whose empty key holds a BundleHeaderProto and whose other
keys, the tensors' names, hold BundleEntryProto (tensorflow/core/protobuf/tensor_bundle.proto), and
data files `P.data-00000-of-00001` with the tensors' plain bytes. All numbers are checked before
they are used, each tensor that is read against its CRC-32C, and no file is opened whose name comes
from the content. Nothing is unpickled or run.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.masks.jppnet.crc32c import crc32c, masked
from crgan.masks.jppnet.table import Damaged, read_table, varint

_FLOAT = 1  # DT_FLOAT of types.proto
_VERSION = 1  # of the format; a file says the oldest reader it is for
_LARGEST_INDEX = 1 << 28  # bytes; JPPNet's has some 60 KB
_LARGEST_ARCHIVE = 1 << 33  # bytes unpacked; JPPNet's has one GB
_MOST_DIMENSIONS = 8
_SHARD = re.compile(r"\.data-(\d{5})-of-(\d{5})$")

Fields = dict[int, list[int | bytes]]


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies.

    Attributes:
        dtype: number of types.proto; 1 is float32.
        shape: its dimensions.
        shard: number of the data file.
        offset, size: its bytes in that file.
        crc: masked CRC-32C of these bytes.
        sliced: the tensor is stored in parts under other keys (partitioned variables).
    """

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    sliced: bool


@dataclass(frozen=True)
class Bundle:
    """An opened checkpoint: its files (index first) and its tensors by name."""

    files: tuple[Path, ...]
    entries: dict[str, Entry]

    def read(self, name: str) -> NDArray[np.float32]:
        """The tensor `name`, float32 in its own shape.

        Raises:
            UserError: no float32 tensor, or bytes that do not match their checksum.
        """
        entry = self.entries[name]
        path = self.files[1 + entry.shard]
        if entry.dtype != _FLOAT or entry.sliced:
            raise UserError(f"{self.files[0]}: {name} is not one whole float32 tensor")
        if entry.size != 4 * math.prod(entry.shape):
            raise _damaged(self.files[0], f"{name}: {entry.size} bytes for shape {entry.shape}")
        with open(path, "rb") as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        if len(data) != entry.size or masked(crc32c(data)) != entry.crc:
            raise _damaged(path, f"{name} does not match its checksum")
        return np.frombuffer(data, dtype="<f4").reshape(entry.shape)


@contextmanager
def opened(path: str | Path) -> Iterator[Bundle]:
    """The checkpoint at `path`: its folder, its `.index` file, its prefix, or a .zip of the folder.

    Raises:
        UserError: none there, more than one, or a damaged one.
    """
    path = Path(path)
    if path.is_file() and path.suffix == ".zip":
        with tempfile.TemporaryDirectory() as folder:
            yield read_bundle(_unzip(path, Path(folder)))
    else:
        yield read_bundle(_prefix(path))


def read_bundle(prefix: str | Path) -> Bundle:
    """Read the index of checkpoint `prefix` and check that its data files hold what it says.

    Raises:
        UserError: a missing or damaged file.
    """
    index = Path(f"{prefix}.index")
    if not index.is_file():
        raise UserError(
            f"{index}: no such file; give the checkpoint's folder, which holds a .index file and "
            "its .data files"
        )
    if index.stat().st_size > _LARGEST_INDEX:
        raise _damaged(index, "far larger than an index is")
    try:
        table = read_table(index.read_bytes())
        shards = _shards(table.pop(b"", None))
        entries = {key.decode(): _entry(value, shards) for key, value in table.items()}
    except (Damaged, UnicodeDecodeError) as error:
        raise _damaged(index, str(error)) from None
    files = [Path(f"{prefix}.data-{i:05d}-of-{shards:05d}") for i in range(shards)]
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: no such file; it belongs beside {index.name}")
    sizes = [file.stat().st_size for file in files]
    for name, entry in entries.items():
        if entry.offset + entry.size > sizes[entry.shard]:
            raise _damaged(files[entry.shard], f"{name} runs out of the file: cut short")
    return Bundle((index, *files), entries)


def _prefix(path: Path) -> Path:
    if path.suffix == ".index":
        return path.with_suffix("")
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.index"))
    if len(found) != 1:
        has = ", ".join(file.name for file in found) or "none"
        raise UserError(f"{path}: holds {has}; a folder with one .index file, or that file")
    return found[0].with_suffix("")


def _unzip(archive: Path, folder: Path) -> Path:
    """Copy a checkpoint's members into `folder` under names of our own; the prefix there."""
    try:
        with zipfile.ZipFile(archive) as file:
            members = [m for m in file.infolist() if not m.is_dir()]
            found = [m for m in members if m.filename.endswith(".index")]
            if len(found) != 1:
                raise UserError(f"{archive}: holds {len(found)} .index files, expected one")
            stem = found[0].filename.removesuffix(".index")
            wanted = {"model.index": found[0]}
            for member in members:
                if member.filename.startswith(f"{stem}.data-") and (
                    match := _SHARD.search(PurePosixPath(member.filename).name)
                ):
                    wanted[f"model{match[0]}"] = member
            if sum(m.file_size for m in wanted.values()) > _LARGEST_ARCHIVE:
                raise UserError(f"{archive}: unpacks to more than any JPPNet; refused")
            for name, member in wanted.items():
                # zipfile stops at the member's declared size, so the sum above holds.
                with file.open(member) as source, open(folder / name, "wb") as target:
                    shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise UserError(f"{archive}: not a readable archive ({error})") from None
    return folder / "model"


def _shards(header: bytes | None) -> int:
    """Number of data files, from a BundleHeaderProto."""
    if header is None:
        raise Damaged("no header: a table, but of no checkpoint")
    fields = _fields(header)
    if _int(fields, 2):
        raise Damaged("written on a big-endian machine")
    if _int(_fields(_bytes(fields, 3)), 2) > _VERSION:
        raise Damaged("for a newer reader")
    shards = _int(fields, 1)
    if not 0 < shards < 1000:
        raise Damaged(f"{shards} data files")
    return shards


def _entry(message: bytes, shards: int) -> Entry:
    """A BundleEntryProto."""
    fields = _fields(message)
    dimensions = _fields(_bytes(fields, 2)).get(2, [])
    if len(dimensions) > _MOST_DIMENSIONS:
        raise Damaged(f"a tensor of {len(dimensions)} dimensions")
    shape = []
    for dimension in dimensions:
        if not isinstance(dimension, bytes):
            raise Damaged("a dimension that is no message")
        shape.append(_int(_fields(dimension), 1))
    shard, size = _int(fields, 3), _int(fields, 5)
    if shard >= shards or any(n >= 1 << 32 for n in shape):
        raise Damaged(f"a tensor of shape {tuple(shape)} in data file {shard} of {shards}")
    return Entry(
        dtype=_int(fields, 1),
        shape=tuple(shape),
        shard=shard,
        offset=_int(fields, 4),
        size=size,
        crc=_int(fields, 6),
        sliced=7 in fields,
    )


def _fields(message: bytes) -> Fields:
    """A protocol buffer's fields by number, each with its values; messages and strings as bytes."""
    fields: Fields = {}
    position = 0
    while position < len(message):
        tag, position = varint(message, position)
        value: int | bytes
        if tag & 7 == 0:
            value, position = varint(message, position)
        elif tag & 7 in (1, 2, 5):
            size = {1: 8, 5: 4}.get(tag & 7, 0)
            if not size:
                size, position = varint(message, position)
            if position + size > len(message):
                raise Damaged("a field runs out of its message")
            value = message[position : position + size]
            position += size
            if tag & 7 != 2:
                value = int.from_bytes(value, "little")
        else:
            raise Damaged(f"a field of unknown kind {tag & 7}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _int(fields: Fields, number: int) -> int:
    """The last value of an integer field; 0 where absent, as protocol buffers have it."""
    value = fields.get(number, [0])[-1]
    if not isinstance(value, int):
        raise Damaged(f"field {number} is no number")
    return value


def _bytes(fields: Fields, number: int) -> bytes:
    """The last value of a message field; empty where absent."""
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise Damaged(f"field {number} is no message")
    return value


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path}: not a whole TensorFlow checkpoint ({reason}); download it again")
