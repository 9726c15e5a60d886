"""Attribute files: looked up by name and identity, never by position."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from crgan.common.errors import UserError
from crgan.data.attributes import read_attributes
from crgan.data.layouts import market1501
from tests.data_trees import MARKET, write_tree


def cells(*texts: str) -> np.ndarray:
    result = np.empty((1, len(texts)), dtype=object)
    result[0] = texts
    return result


def write(
    path: Path, train: dict[str, Any], test: dict[str, Any], name: str = "duke_attribute"
) -> Path:
    path.parent.mkdir(exist_ok=True)
    scipy.io.savemat(path, {name: {"train": train, "test": test}})
    return path


def part(pids: tuple[str, ...], **values: list[int]) -> dict[str, Any]:
    return {n: np.array([v], dtype=np.uint8) for n, v in values.items()} | {
        "image_index": cells(*pids)
    }


def test_fields_are_found_by_name_in_either_order(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.mat",
        part(("0001", "0008"), hat=[1, 2], top=[2, 0]),
        part(("0005", "0002"), top=[1, 2], hat=[2, 1]),
    )
    assert read_attributes(path, "duke_attribute") == {
        "hat": {1: 1, 8: 2, 5: 2, 2: 1},
        "top": {1: 2, 8: 0, 5: 1, 2: 2},
    }


def test_one_identity_per_part(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mat", part(("0001",), hat=[2]), part(("0003",), hat=[1]))
    assert read_attributes(path, "duke_attribute") == {"hat": {1: 2, 3: 1}}


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (
            part(("1",), hat=[3]),
            part(("2",), hat=[1]),
            "train.hat of identity 1 is 3, expected 1 to 2",
        ),
        (
            part(("1",), age=[5]),
            part(("2",), age=[4]),
            "train.age of identity 1 is 5, expected 1 to 4",
        ),
        (part(("1",), hat=[1]), part(("1",), hat=[1]), "identities stand twice"),
        (part(("1", "1"), hat=[1, 1]), part(("2",), hat=[1]), "identities stand twice"),
        (part(("x1",), hat=[1]), part(("2",), hat=[1]), "train.image_index holds 'x1'"),
        (part(("1", "3"), hat=[1]), part(("2",), hat=[1]), "train.hat has 1 values for 2"),
        (
            {"hat": np.array([1])},
            part(("2",), hat=[1]),
            "duke_attribute.train.image_index is missing",
        ),
    ],
)
def test_broken_parts(tmp_path: Path, train: Any, test: Any, message: str) -> None:
    path = write(tmp_path / "a.mat", train, test)
    with pytest.raises(UserError, match=message):
        read_attributes(path, "duke_attribute")


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such attribute file"):
        read_attributes(tmp_path / "none.mat", "duke_attribute")
    (tmp_path / "text.mat").write_text("hello")
    with pytest.raises(UserError, match=r"not a readable \.mat"):
        read_attributes(tmp_path / "text.mat", "duke_attribute")
    path = write(tmp_path / "a.mat", part(("1",), hat=[1]), part(("2",), hat=[1]))
    with pytest.raises(
        UserError, match="no variable 'market_attribute' in it, only duke_attribute"
    ):
        read_attributes(path, "market_attribute")


@pytest.mark.parametrize(
    "place", ["attribute/market_attribute.mat", "market_attribute.mat", "x.mat"]
)
def test_market_finds_its_attribute_file(tmp_path: Path, place: str) -> None:
    root = write_tree(tmp_path / "m", MARKET)
    path = write(
        root / place,
        part(("0002", "0007"), hat=[1, 2]),
        part(("0001",), hat=[1]),
        "market_attribute",
    )
    options = market1501.Options(str(path) if place == "x.mat" else None)
    assert market1501.load(root, options).attributes == {"hat": {2: 1, 7: 2, 1: 1}}


def test_given_attribute_file_must_exist(tmp_path: Path) -> None:
    absent = market1501.Options(str(tmp_path / "none.mat"))
    with pytest.raises(UserError, match="no such attribute file"):
        market1501.load(write_tree(tmp_path, MARKET), absent)
