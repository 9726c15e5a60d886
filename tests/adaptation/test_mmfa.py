"""MMFA: its distances and losses by hand, what learns, and resuming."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crgan.adaptation import mmfa
from crgan.adaptation.joint import People
from crgan.adaptation.mmfa import Options, attribute_loss, mmd
from crgan.adaptation.start import begin
from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.reid.model_file import build_reid
from crgan.train.checkpoint import Checkpoint
from crgan.train.loop import Several
from tests.adapt_fakes import PIDS, SIZE, SOLVER, Killed, KilledAfter, equal, fresh, people, target

OPTIONS: dict[str, Any] = {
    **SOLVER, "batch": 6, "lambda_attr": 0.1, "lambda_aal": 1.0, "lambda_mdal": 1.0,
    "bandwidths": [1.0, 5.0, 10.0], "attribute_unit": "one", "feature_unit": "median",
    "pooling": "max",
}  # fmt: skip
WIDTHS = (1.0, 5.0, 10.0)


def setting(**changes: Any) -> tuple[mmfa.Training, Several]:
    source = people()
    who = People(source)
    torch.manual_seed(0)
    o = settings_from(Options, {**OPTIONS, **changes}, "mmfa")
    net = begin(fresh(), SIZE, "MMFA", classes=who.classes, pooling=o.pooling)
    return mmfa.Training(o, net, source, who), mmfa.batches_of(o, who, target(), 0)


def adapted(checkpoint: Checkpoint | None = None, **changes: Any) -> dict[str, Any]:
    return mmfa.adapt(
        fresh(), people(), target(), {**OPTIONS, **changes}, seed=3,
        checkpoint=checkpoint,
    )  # fmt: skip


def test_mmd_of_one_against_one() -> None:
    s, t = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    # k(s, s) = k(t, t) = 3; d^2 = 25
    k = math.exp(-25 / 2) + math.exp(-25 / 50) + math.exp(-25 / 200)
    assert mmd(s, t, WIDTHS).item() == pytest.approx(3 + 3 - 2 * k)


def test_mmd_of_two_against_one() -> None:
    s, t = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]])
    near, far = math.exp(-1 / 2), math.exp(-4 / 2)
    within = (1 + far + far + 1) / 4
    assert mmd(s, t, (1.0,) * 3).item() == pytest.approx(3 * (within + 1 - 2 * near))


def test_mmd_is_zero_for_the_same_sample_and_above_for_others() -> None:
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    assert mmd(x, x[torch.randperm(7)], WIDTHS).item() == pytest.approx(0, abs=1e-6)
    assert mmd(x, x + 0.5, WIDTHS).item() > 0.01


def test_median_bandwidths_follow_the_features_scale() -> None:
    x, y = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    small, large = (mmd(x * a, y * a, WIDTHS, "median").item() for a in (1.0, 1000.0))
    assert small == pytest.approx(large, rel=1e-4)
    # distances of 0, 1 and 2 from 0: 1, 1 and 2; the median is 1
    s, t = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0]])
    assert mmd(s, t, WIDTHS, "median").item() == pytest.approx(mmd(s, t, WIDTHS).item())
    # fixed ones see nothing between features that lie far apart: no slope to descend
    far = (x * 1000).requires_grad_()
    mmd(far, y * 1000, WIDTHS).backward()
    assert far.grad is not None
    assert far.grad.abs().max() == 0


def test_mmd_of_leading_places_is_of_each() -> None:
    s, t = torch.randn(2, 3, 4, 1, generator=torch.Generator().manual_seed(1))
    for unit in ("one", "median"):
        each = [mmd(a, b, WIDTHS, unit).item() for a, b in zip(s, t, strict=True)]
        assert mmd(s, t, WIDTHS, unit).tolist() == pytest.approx(each)


def test_descending_the_mmd_brings_samples_together() -> None:
    generator = torch.Generator().manual_seed(0)
    s = torch.randn(16, 3, generator=generator)
    shift = torch.full((3,), 2.0, requires_grad=True)
    t = torch.randn(16, 3, generator=generator)
    for _ in range(200):
        (slope,) = torch.autograd.grad(mmd(s, t + shift, WIDTHS), shift)
        shift = (shift - slope).detach().requires_grad_()
    assert shift.abs().max() < 0.6  # 2 before; the samples' means differ a little


def test_attribute_loss_leaves_unknown_values_out() -> None:
    logits = torch.tensor([[0.0, 100.0], [math.log(3), -7.0]], requires_grad=True)
    targets, known = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[1.0, 0], [1, 0]]).bool()
    # -log 1/2 and -log(1 - 3/4)
    loss = attribute_loss(logits, targets, known)
    assert loss.item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[:, 1].tolist() == [0, 0]
    assert attribute_loss(logits, targets, torch.zeros(2, 2).bool()).item() == 0


def test_everything_learns_and_the_sum_is_weighted() -> None:
    training, batches = setting()
    parts = {"net": training.net, "attributes": training.attributes}
    before = {n: [p.detach().clone() for p in part.parameters()] for n, part in parts.items()}
    assert list(training.step(0, next(batches))) == ["id", "attr", "aal", "mdal"]
    for name, part in parts.items():
        for old, p in zip(before[name], part.parameters(), strict=True):
            assert not torch.equal(old, p), name


@pytest.mark.parametrize("weight", ["lambda_aal", "lambda_mdal"])
def test_alignment_reaches_the_backbone(weight: str) -> None:
    off = {"lambda_attr": 0.0, "lambda_aal": 0.0, "lambda_mdal": 0.0}
    states = []
    for value in (0.0, 1.0):
        training, batches = setting(**{**off, weight: value})
        torch.nn.init.normal_(training.attributes.weight)  # type: ignore[arg-type]
        training.step(0, next(batches))
        states.append(training.net.state_dict()["backbone.0.weight"])
    assert not torch.equal(*states)


def test_it_learns_people_and_attributes() -> None:
    training, batches = setting(batch=12, iterations=60, step_at=1.0)
    seen = [training.step(t, next(batches)) for t in range(60)]
    assert seen[-1]["id"] < 0.5 * seen[0]["id"]
    assert seen[-1]["attr"] < 0.8 * seen[0]["attr"]


def test_the_file() -> None:
    file = adapted()
    assert file["pids"] == list(PIDS)
    assert (file["pooling"], file["embedding"], file["notes"]) == ("max", 0, ["a note"])
    build_reid(file, "file")


@pytest.mark.parametrize("saves", [1, 3])
def test_resumed_equals_uninterrupted(tmp_path: Path, saves: int) -> None:
    whole = adapted()
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        adapted(KilledAfter(path, saves))
    torch.manual_seed(99)
    assert equal(whole, adapted(Checkpoint(path, every=0)))


def test_what_it_cannot_do_is_told() -> None:
    with pytest.raises(UserError, match="this source has none"):
        mmfa.adapt(fresh(), people(attributes=False), target(), OPTIONS, seed=0)
    with pytest.raises(UserError, match=r"learned images of 64x32"):
        mmfa.adapt(fresh((64, 32)), people(), target(), OPTIONS, seed=0)
    with pytest.raises(UserError, match=r"mmfa.epochs"):
        adapted(epochs=3)
    with pytest.raises(UserError, match="momentum is 2"):
        adapted(momentum=2.0)
    with pytest.raises(UserError, match=r"MMFA: iteration \d+: id is nan"):
        adapted(lr=1e30)
    nobody = replace(people(), pid=np.full(18, -2))
    with pytest.raises(UserError, match="no labelled person"):
        mmfa.adapt(fresh(), nobody, target(), OPTIONS, seed=0)
