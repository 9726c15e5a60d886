"""The place where adaptation methods are added, and the one that does nothing."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from crgan.adapt import base
from crgan.adapt.base import Adapt, Target, method, target_of
from crgan.common.errors import UserError
from crgan.data.store import Split

NOBODY = Split(np.zeros((0, 4, 2, 3), np.uint8), *(np.zeros(0, np.int64) for _ in range(3)))
NOWHERE = Target(NOBODY.images, NOBODY.camid)


def test_direct_transfer_changes_nothing() -> None:
    start = {"kind": "reid", "pids": [1], "state": {"weight": torch.ones(2)}, "notes": ["a note"]}
    file = method("direct_transfer")(start, NOBODY, NOWHERE, {}, seed=0)
    assert file == start


def test_direct_transfer_has_no_options() -> None:
    with pytest.raises(UserError, match="direct_transfer has no option 'epochs'"):
        method("direct_transfer")({}, NOBODY, NOWHERE, {"epochs": 3}, seed=0)


@pytest.mark.parametrize("name", ["spgan", "base", "__init__", "../gan/base"])
def test_unknown_methods_are_told(name: str) -> None:
    with pytest.raises(UserError, match=r"no adaptation method .* has .*direct_transfer"):
        method(name)


def test_every_method_keeps_the_contract() -> None:
    folder = Path(base.__file__).parent
    names = sorted(f.stem for f in folder.glob("*.py") if "\ndef adapt(" in f.read_text())
    assert "direct_transfer" in names
    contract = inspect.signature(Adapt.__call__).parameters
    wanted = [(p.name, p.kind, p.default) for p in contract.values()][1:]
    for name in names:
        found = inspect.signature(method(name)).parameters.values()
        assert [(p.name, p.kind, p.default) for p in found] == wanted


def test_a_method_sees_no_identities_of_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    pid, camid = np.array([7, 7, 7, 9, 9]), np.array([1, 1, 2, 2, 1])
    split = Split(np.zeros((5, 4, 2, 3), np.uint8), pid, camid, np.arange(5))
    target = target_of("direct_transfer", split, seed=0)
    assert target.tracklet is None
    assert not hasattr(target, "pid")
    monkeypatch.setattr(importlib.import_module("crgan.adapt.direct_transfer"), "TRACKLETS", True,
                        raising=False)  # fmt: skip
    tracklet = target_of("direct_transfer", split, seed=0).tracklet
    assert tracklet is not None
    # person 7 is one tracklet before camera 1 and another before camera 2
    assert tracklet[0] == tracklet[1]
    assert sorted(set(tracklet.tolist())) == [0, 1, 2, 3]
    nameless = Split(split.images, np.full(5, -2), camid, np.arange(5))
    with pytest.raises(UserError, match="direct_transfer needs to know which pictures"):
        target_of("direct_transfer", nameless, seed=0)
