"""CRC-32C (Castagnoli), the checksum of LevelDB tables and TensorFlow checkpoints.

A checksum is linear over GF(2), so long data is cut into equal lanes that numpy advances together
and that are then joined in pairs: about 100 MB/s, where a loop over bytes does 5.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78  # reflected
_ALL = 0xFFFFFFFF
_LANES = 4096  # a power of two; two bytes a lane and step
_MASK_DELTA = 0xA282EAD8  # LevelDB's masking constant


def crc32c(data: bytes) -> int:
    """The checksum of `data`, 32 bits; of b"123456789" it is 0xE3069283."""
    state = _ALL
    lane = len(data) // _LANES // 2 * 2
    if lane:
        state = _by_lanes(data, lane, state)
    table = _bytes_table().tolist()
    for byte in data[lane * _LANES :]:
        state = table[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ _ALL


def masked(crc: int) -> int:
    """The checksum as both formats store it: rotated, and a constant added."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _ALL


def _by_lanes(data: bytes, lane: int, state: int) -> int:
    """The state after the first `lane * _LANES` bytes."""
    words = np.frombuffer(data, dtype="<u2", count=_LANES * lane // 2)
    steps = np.ascontiguousarray(words.reshape(_LANES, -1).T)
    table = _pairs_table()
    states = np.zeros(_LANES, dtype=np.uint32)
    states[0] = state
    for step in steps:
        states = table[(states ^ step) & 0xFFFF] ^ (states >> 16)
    zeros = _zeros_operator(lane)
    while len(states) > 1:
        states = _apply(zeros, states[0::2]) ^ states[1::2]
        zeros = _apply(zeros, zeros)
    return int(states[0])


@cache
def _bytes_table() -> Words:
    """The state after one byte, by the lowest byte of state and data, of a state below 256."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@cache
def _pairs_table() -> Words:
    """The same for two bytes, of a state below 65536."""
    return _zero_byte(_zero_byte(np.arange(65536, dtype=np.uint32)))


def _zero_byte(states: Words) -> Words:
    """The states after one more byte of zero."""
    after: Words = _bytes_table()[states & 0xFF] ^ (states >> 8)
    return after


def _zeros_operator(count: int) -> Words:
    """What `count` bytes of zero do to a state: the image of each of its 32 bits, uint32 (32,)."""
    power = _zero_byte(np.uint32(1) << np.arange(32, dtype=np.uint32))
    result = np.uint32(1) << np.arange(32, dtype=np.uint32)  # no bytes: identity
    while count:
        if count & 1:
            result = _apply(power, result)
        power = _apply(power, power)
        count >>= 1
    return result


def _apply(operator: Words, states: Words) -> Words:
    """The operator on each of the states."""
    result = np.zeros_like(states)
    for bit in range(32):
        result ^= np.where((states >> np.uint32(bit)) & 1, operator[bit], np.uint32(0))
    return result
