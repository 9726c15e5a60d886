"""Whatever befell a manifest: it is read as it was meant, or refused by name; nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from crgan.common.errors import UserError
from crgan.data.manifest import Manifest, read_manifest, write_manifest
from tests.data.test_manifest import small

with tempfile.TemporaryDirectory() as _folder:
    write_manifest(Path(_folder) / "m.csv", small())
    WHOLE = (Path(_folder) / "m.csv").read_bytes()

CUTS = st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 40), st.binary(max_size=40))
FIELDS = st.sampled_from(
    ["", "-", "0", "-3", "1e3", "\u0661", "9" * 18, "9" * 19, "9" * 5000, "train", "../a", "\x00",
     '"', "nan", "1_0", " 1", "a\nb", "\r", "\u2028", "a\\b", "A" * 64, "\U0001d7d9"]
)  # fmt: skip


def check(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest.csv"
        path.write_bytes(raw)
        try:
            found = read_manifest(path)
        except UserError as error:
            assert str(path) in str(error)  # noqa: PT017 - either outcome is right
        else:
            assert isinstance(found, Manifest)
            write_manifest(path, found)
            assert read_manifest(path).paths == found.paths


@settings(max_examples=80, deadline=None)
@given(st.lists(CUTS, min_size=1, max_size=4))
@example([(0, 0, b"\xef\xbb\xbf")])
@example([(len(WHOLE) - 1, 1, b"")])
def test_bytes_cut_and_pasted(cuts: list[tuple[int, int, bytes]]) -> None:
    raw = WHOLE
    for place, length, new in cuts:
        raw = raw[:place] + new + raw[place + length :]
    check(raw)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 5), st.integers(0, 6), FIELDS | st.text(max_size=20), st.booleans())
def test_fields_replaced(row: int, column: int, text: str, quoted: bool) -> None:
    lines = [line.split(",") for line in WHOLE.decode().splitlines()]
    lines[row % len(lines)][column % len(lines[row % len(lines)])] = (
        '"' + text.replace('"', '""') + '"' if quoted else text
    )
    check("\n".join(",".join(line) for line in lines).encode("utf-8", "surrogatepass"))


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(6)), st.integers(0, 6))
def test_rows_moved_doubled_and_lost(order: list[int], kept: int) -> None:
    lines = WHOLE.decode().splitlines()
    check(("\n".join(lines[i] for i in [*order[:kept], order[0]]) + "\n").encode())
