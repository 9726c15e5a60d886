"""A small writer of TensorFlow checkpoints V2, for tests of the reader."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from crgan.masks.jppnet.convert import tensorflow_name
from crgan.masks.jppnet.crc32c import crc32c, masked
from crgan.masks.jppnet.network import JPPNet

MAGIC = 0xDB4775248B80FB57


def varint(n: int) -> bytes:
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def fixed32(field: int, value: int) -> bytes:
    return varint(field << 3 | 5) + value.to_bytes(4, "little")


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Entries with their shared prefixes, and one restart point."""
    out, last = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        own = key[shared:]
        out += varint(shared) + varint(len(own)) + varint(len(value)) + own + value
        last = key
    return out + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")


def snap(data: bytes) -> bytes:
    """Snappy's format with literals only."""
    out = varint(len(data))
    for start in range(0, len(data), 60):
        part = data[start : start + 60]
        out += bytes([(len(part) - 1) << 2]) + part
    return out


def table(entries: dict[bytes, bytes], per_block: int = 50, snappy: bool = False) -> bytes:
    """A sorted table of `per_block` entries a block."""
    out = b""

    def add(content: bytes) -> bytes:
        """Append a block; its handle."""
        nonlocal out
        stored = (snap(content) if snappy else content) + bytes([snappy])
        handle = varint(len(out)) + varint(len(stored) - 1)
        out += stored + masked(crc32c(stored)).to_bytes(4, "little")
        return handle

    keys = sorted(entries)
    index = []
    for start in range(0, len(keys), per_block):
        part = keys[start : start + per_block]
        index.append((part[-1], add(block([(key, entries[key]) for key in part]))))
    footer = add(block([])) + add(block(index))
    return out + footer.ljust(40, b"\0") + MAGIC.to_bytes(8, "little")


def header(shards: int = 1, endian: int = 0, oldest_reader: int = 0) -> bytes:
    version = number(1, 1) + number(2, oldest_reader)
    return number(1, shards) + number(2, endian) + message(3, version)


def entry(dtype: int, shape: tuple[int, ...], offset: int, data: bytes) -> bytes:
    dimensions = b"".join(message(2, number(1, n)) for n in shape)
    place = number(4, offset) + number(5, len(data))
    return number(1, dtype) + message(2, dimensions) + place + fixed32(6, masked(crc32c(data)))


def write(prefix: Path, tensors: dict[str, np.ndarray], **options: Any) -> Path:
    """Write a checkpoint of float32 (or int64) tensors at `prefix`; returns `prefix`."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    entries, data = {b"": header()}, b""
    for name in sorted(tensors):
        value = tensors[name]
        content = value.tobytes()
        dtype = 1 if value.dtype == np.float32 else 9
        entries[name.encode()] = entry(dtype, value.shape, len(data), content)
        data += content
    Path(f"{prefix}.index").write_bytes(table(entries, **options))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return prefix


def random_tensors(width: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    """Every variable of JPPNet under TensorFlow's name and in its shape."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for key, value in JPPNet(width).state_dict().items():
        shape = tuple(value.shape)
        shape = (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape
        scale = 1 if len(shape) == 1 else (2 / math.prod(shape[:3])) ** 0.5
        made = (rng.standard_normal(shape) * scale).astype(np.float32)
        tensors[tensorflow_name(key)] = np.abs(made) if key.endswith("running_var") else made
    return tensors
