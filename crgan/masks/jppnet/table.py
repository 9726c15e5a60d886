"""Reader of LevelDB's sorted table, the form of a TensorFlow checkpoint's `.index` file.

Format: leveldb's doc/table_format.md. Blocks of prefix-compressed, sorted entries, each block
followed by its compression and masked CRC-32C; an index block that names the data blocks; a footer
that names the index. A table comes from strangers: every length and offset is checked, and what
does not fit is `Damaged`.
"""

from __future__ import annotations

from collections.abc import Iterator

from crgan.masks.jppnet.crc32c import crc32c, masked

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_TRAILER = 5  # compression and checksum behind each block
_NONE, _SNAPPY = 0, 1
_LARGEST_BLOCK = 1 << 26  # bytes uncompressed; TensorFlow writes blocks of 256 KB


class Damaged(ValueError):
    """Bytes that are not the format they should be; the message says where."""


def read_table(data: bytes) -> dict[bytes, bytes]:
    """All entries of a table, in key order.

    Raises:
        Damaged: cut short, a wrong checksum, unsorted keys, or no table at all.
    """
    if len(data) < _FOOTER or data[-8:] != _MAGIC:
        raise Damaged("no table footer at its end: cut short, or another kind of file")
    footer = data[-_FOOTER:]
    position = 0
    for _ in range(2):  # the metaindex, which TensorFlow leaves empty
        _, position = varint(footer, position)
    entries: dict[bytes, bytes] = {}
    last = None
    for _, handle in _entries(_block(data, footer, position)):
        for key, value in _entries(_block(data, handle, 0)):
            if last is not None and key <= last:
                raise Damaged("keys out of order")
            entries[key] = value
            last = key
    return entries


def varint(data: bytes, position: int) -> tuple[int, int]:
    """A base-128 number of up to 64 bits at `position`, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                break
            return value, position
    raise Damaged("a number is cut short or too long")


def unsnap(data: bytes) -> bytes:
    """Decompress Snappy's raw format (google/snappy, format_description.txt)."""
    length, position = varint(data, 0)
    if length > _LARGEST_BLOCK:
        raise Damaged(f"a compressed block claims {length} bytes")
    out = bytearray()
    while position < len(data):
        tag = data[position]
        position += 1
        if tag & 3 == 0:
            size, position = _literal_size(data, tag, position)
            if position + size > len(data):
                raise Damaged("a literal runs out of its compressed block")
            out += data[position : position + size]
            position += size
        else:
            size, offset, position = _copy(data, tag, position)
            if not 0 < offset <= len(out):
                raise Damaged("a copy reaches before its compressed block")
            for _ in range(size):  # source and destination may overlap
                out.append(out[-offset])
        if len(out) > length:
            break
    if len(out) != length:
        raise Damaged(f"a compressed block gives {len(out)} bytes, not its {length}")
    return bytes(out)


def _literal_size(data: bytes, tag: int, position: int) -> tuple[int, int]:
    size = tag >> 2
    if size < 60:
        return size + 1, position
    count = size - 59
    return _number(data, position, count) + 1, position + count


def _copy(data: bytes, tag: int, position: int) -> tuple[int, int, int]:
    """Size, offset and the position behind a copy tag."""
    if tag & 3 == 1:
        offset = (tag >> 5) << 8 | _number(data, position, 1)
        return ((tag >> 2) & 7) + 4, offset, position + 1
    count = 2 if tag & 3 == 2 else 4
    return (tag >> 2) + 1, _number(data, position, count), position + count


def _number(data: bytes, position: int, count: int) -> int:
    """A little-endian number of `count` bytes."""
    if position + count > len(data):
        raise Damaged("a number runs out of its block")
    return int.from_bytes(data[position : position + count], "little")


def _block(data: bytes, handle: bytes, position: int) -> bytes:
    """The block a handle names (offset and size as varints), checked and uncompressed."""
    offset, position = varint(handle, position)
    size, _ = varint(handle, position)
    end = offset + size
    if end + _TRAILER > len(data) - _FOOTER:
        raise Damaged(f"a block at {offset} of {size} bytes runs out of the file")
    if masked(crc32c(data[offset : end + 1])) != _number(data, end + 1, 4):
        raise Damaged(f"wrong checksum of the block at {offset}")
    kind = data[end]
    if kind == _SNAPPY:
        return unsnap(data[offset:end])
    if kind != _NONE:
        raise Damaged(f"a block at {offset} of unknown compression {kind}")
    return data[offset:end]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; a key shares a prefix with the one before it."""
    restarts = _number(block, max(len(block) - 4, 0), 4)
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise Damaged("a block's restart points run out of it")
    position, key = 0, b""
    while position < end:
        shared, position = varint(block, position)
        own, position = varint(block, position)
        size, position = varint(block, position)
        if shared > len(key) or position + own + size > end:
            raise Damaged("an entry runs out of its block")
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + size]
        position += size
