"""The manifest: round trip, and every way in which a file can break the contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.data.manifest import Manifest, read_manifest, write_manifest

HEADER = "path,pid,camid,split,sha256\n"
SHA = "0" * 64


def small() -> Manifest:
    return Manifest(
        paths=('t/a, "b".jpg', "t/ü.jpg", "q/a.jpg", "g/a.jpg", "g/b.jpg"),
        pid=np.array([2, 3, 1, -1, 0]),
        camid=np.array([1, 2, 1, 2, 6]),
        split=("train", "train", "query", "gallery", "gallery"),
        sha256=tuple(f"{i:064x}" for i in range(5)),
        attributes={"hat": np.array([1, 2, 1, 0, 0]), "age": np.array([4, 1, 2, 0, 0])},
    )


def test_round_trip_is_exact_and_repeatable(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    write_manifest(path, small())
    first = path.read_bytes()
    again = read_manifest(path)
    assert again.paths == small().paths
    assert again.split == small().split
    assert again.sha256 == small().sha256
    np.testing.assert_array_equal(again.pid, small().pid)
    np.testing.assert_array_equal(again.camid, small().camid)
    assert again.pid.dtype == again.camid.dtype == np.int64
    assert list(again.attributes) == ["age", "hat"]
    np.testing.assert_array_equal(again.attributes["age"], [4, 1, 2, 0, 0])
    write_manifest(path, again)
    assert path.read_bytes() == first
    assert first.startswith(b"path,pid,camid,split,sha256,attr_age,attr_hat\n")
    assert b"\r" not in first


def test_rows_of_splits() -> None:
    assert small().rows("train").tolist() == [0, 1]
    assert small().rows("query").tolist() == [2]
    assert small().rows("gallery").tolist() == [3, 4]
    with pytest.raises(ValueError, match="no such split: 'test'"):
        small().rows("test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected path,pid,camid,split,sha256"),
        (HEADER, "no rows"),
        ("path,pid,split,camid,sha256\n", "columns path,pid,split,camid"),
        (HEADER.replace("\n", ",colour\n"), "unknown column 'colour'"),
        (HEADER.replace("\n", ",attr_a,attr_a\n"), "columns .*attr_a,attr_a"),
        (HEADER + f"a,1,1,train,{SHA}\na,1,1,train,{SHA}\n", "'a' stands twice"),
        (HEADER + f"a,1,1,test,{SHA}\n", "row 1 .*split 'test' is none of"),
        (HEADER + f"a,1,1,train,{SHA}\nb,x,1,train,{SHA}\n", "row 2: pid 'x' is not an integer"),
        (HEADER + f"a,1.0,1,train,{SHA}\n", "pid '1.0' is not an integer"),
        (HEADER + f"a,1_0,1,train,{SHA}\n", "pid '1_0' is not an integer"),
        (HEADER + f"a,1,,train,{SHA}\n", "camid '' is not an integer"),
        (HEADER + f"a,1,0,train,{SHA}\n", "camid 0 is below 1"),
        (HEADER + f"a,-3,1,train,{SHA}\n", "pid -3 is below -2"),
        (HEADER + "a,1,1,train,abc\n", "sha256 'abc' is not 64"),
        (HEADER + f"/etc/a,1,1,train,{SHA}\n", "path must be relative"),
        (HEADER + f"b/../../a,1,1,train,{SHA}\n", "path must be relative"),
        (HEADER + f"a,1,1,train,{SHA},7\n", "6 fields, the header has 5"),
        (HEADER + f"b,1,1,train,{SHA}\na,1,1,train,{SHA}\n", "row 2 .*out of order"),
        (HEADER + f"a,1,1,query,{SHA}\nb,1,1,train,{SHA}\n", "out of order"),
        ("\xff\xfe", "expected path|not a readable CSV"),
    ],
)
def test_broken_files_are_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


def test_binary_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    with pytest.raises(UserError, match="no such manifest; run prepare_data"):
        read_manifest(path)
    path.write_bytes(b"\xff\x00\x81" * 20)
    with pytest.raises(UserError, match="not a readable CSV"):
        read_manifest(path)


def test_columns_must_agree_in_length_and_type() -> None:
    with pytest.raises(UserError, match="4 values of pid for 5 paths"):
        replace(small(), pid=np.array([1, 2, 3, 4]))
    with pytest.raises(UserError, match="camid is float64"):
        replace(small(), camid=np.ones(5))
    with pytest.raises(UserError, match="2 values of hat"):
        replace(small(), attributes={"hat": np.array([1, 2])})


def test_a_refused_manifest_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    write_manifest(path, small())
    before = path.read_bytes()
    broken = small()
    object.__setattr__(broken, "pid", broken.pid[:2])  # frozen and validated: only a defect can
    with pytest.raises(ValueError, match="shorter"):
        write_manifest(path, broken)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
