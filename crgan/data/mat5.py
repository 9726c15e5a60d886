"""MATLAB files up to version 7, read without trust: what they unpack to is bounded."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError

_FILE = 1 << 26  # bytes; the label files read here have some 100 kB
_UNPACKED = 1 << 28
_HEADER = 128
_COMPRESSED = 15  # miCOMPRESSED


def load_mat(path: str | Path, **options: Any) -> dict[str, Any]:
    """`scipy.io.loadmat` of a file that may be anything.

    Raises:
        UserError: no such file, no .mat file, or one that is or unpacks to too much.
    """
    import scipy.io  # 0.1 s, which labels and listings need not wait for

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > _FILE:
        raise UserError(f"{path}: more than {_FILE:,} bytes, no file of labels; check its name")
    try:
        raw = path.read_bytes()
        if _unpacked(raw) > _UNPACKED:
            raise UserError(f"{path}: unpacks to more than {_UNPACKED:,} bytes; refused")
        content: dict[str, Any] = scipy.io.loadmat(path, **options)
    except UserError:
        raise
    except Exception as error:  # scipy raises many kinds on a file that is no .mat
        raise UserError(f"{path}: not a readable .mat file ({error})") from None
    return content


def _unpacked(raw: bytes) -> int:
    """Bytes of the compressed elements of a version 7 file, unpacked; counted no further than is
    needed to refuse them.
    """
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:128])
    place, total = _HEADER, 0
    while order and place + 8 <= len(raw) and total <= _UNPACKED:
        kind, size = struct.unpack(f"{order}II", raw[place : place + 8])
        place += 8
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            rest = raw[place : place + size]
            while rest and total <= _UNPACKED:
                total += len(unpacker.decompress(rest, 1 << 20))
                rest = unpacker.unconsumed_tail
        place += size
    return total
