"""The place where adaptation methods are added, and the one that does nothing."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from crgan.adapt import base
from crgan.adapt.base import Adapt, method
from crgan.data.store import Split
from crgan.run.errors import UserError

NOBODY = Split(np.zeros((0, 4, 2, 3), np.uint8), *(np.zeros(0, np.int64) for _ in range(3)))


def test_direct_transfer_changes_nothing() -> None:
    start = {"kind": "reid", "pids": [1], "state": {"weight": torch.ones(2)}, "notes": ["a note"]}
    file = method("direct_transfer")(start, NOBODY, NOBODY, {}, seed=0, device="cpu")
    assert file == start


def test_direct_transfer_has_no_options() -> None:
    with pytest.raises(UserError, match="direct_transfer has no option 'epochs'"):
        method("direct_transfer")({}, NOBODY, NOBODY, {"epochs": 3}, seed=0, device="cpu")


@pytest.mark.parametrize("name", ["spgan", "base", "__init__", "../gan/base"])
def test_unknown_methods_are_told(name: str) -> None:
    with pytest.raises(UserError, match=r"no adaptation method .* has .*direct_transfer"):
        method(name)


def test_every_method_keeps_the_contract() -> None:
    folder = Path(base.__file__).parent
    names = sorted(f.stem for f in folder.glob("*.py") if f.stem not in ("__init__", "base"))
    contract = inspect.signature(Adapt.__call__).parameters
    wanted = [(p.name, p.kind, p.default) for p in contract.values()][1:]
    for name in names:
        found = inspect.signature(method(name)).parameters.values()
        assert [(p.name, p.kind, p.default) for p in found] == wanted
