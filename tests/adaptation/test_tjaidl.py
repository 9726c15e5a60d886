"""TJ-AIDL: each loss by hand, who learns from what, attributes as published, and resuming."""

from __future__ import annotations

from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from crgan.adaptation.attribute_targets import attribute_targets
from crgan.adaptation.base import Target
from crgan.adaptation.tjaidl import (
    Branches,
    InferredAttributes,
    OnSource,
    OnTarget,
    Options,
    adapt,
    attribute_loss,
    shared_losses,
)
from crgan.common.errors import UserError
from crgan.data.batches import Augmentation, TrainBatches
from crgan.data.store import Split
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import build_reid, reid_file
from crgan.train.checkpoint import Checkpoint

OPTIONS: dict[str, Any] = {
    "iterations": 5, "lr": 0.01, "target_iterations": 4, "target_lr": 0.01, "batch": 8,
    "hidden": (6, 5), "lambda_1": 10.0, "lambda_2": 10.0, "schedule": "linear_half", "warmup": 0.0,
    "adam_betas": (0.9, 0.999), "weight_decay": 0.0005, "flip": 0.5, "crop_padding": 0.04,
}  # fmt: skip


def source() -> Split:
    """Four persons; two wear red, one is old, of one nobody knows the top."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(4), 5)
    red, old = np.array([2, 2, 1, 1]), np.array([4, 2, 2, 2])
    images = rng.integers(0, 100, (20, 32, 16, 3))
    images[..., 0] += 120 * (red[person] == 2)[:, None, None]
    images[:, :8] += 15 * person[:, None, None, None]
    attributes = {
        "upred": red[person], "age": old[person], "top": np.array([1, 2, 0, 1])[person],
        "hat": np.ones(20, np.int64),
    }  # fmt: skip
    crops = np.clip(images, 0, 255).astype(np.uint8)
    return Split(crops, person + 1, np.ones(20, np.int64), np.arange(20), attributes)


def target() -> Target:
    images = np.random.default_rng(1).integers(0, 256, (12, 32, 16, 3)).astype(np.uint8)
    return Target(images, np.repeat([1, 2], 6))


def fresh() -> dict[str, Any]:
    torch.manual_seed(3)
    return reid_file(ReidNet("small", 4, 0), [], (32, 16), "none", ["a note"])


def branches(attributes: int = 4, persons: int = 4) -> Branches:
    torch.manual_seed(0)
    identity, attribute = ReidNet("small", 4, persons), ReidNet("small", 4, attributes)
    return Branches(identity, attribute, InferredAttributes(32, attributes, (6, 5)))


def test_targets_of_published_attributes() -> None:
    found = attribute_targets(source().attributes, "it")
    # age is 2 or 4 here; a hat nobody wears teaches nothing
    assert found.names == ("age2", "age4", "top", "upred")
    by_person = found.values[::5].astype(int).tolist()
    assert by_person == [[0, 1, 0, 1], [1, 0, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert found.known[::5].tolist() == [[True] * 4] * 2 + [[True, True, False, True], [True] * 4]


def test_colours_need_not_add_up() -> None:
    none_one_two = {"upred": np.array([1, 2, 2]), "upblue": np.array([1, 1, 2])}
    assert attribute_targets(none_one_two, "it").values.tolist() == [[0, 0], [0, 1], [1, 1]]


def test_attribute_loss_by_hand() -> None:
    # sigmoid(0) is 1/2, sigmoid(ln 3) 3/4: -ln of what is said of the right answer
    logits = torch.tensor([[0.0, log(3)], [log(3), 0.0]])
    a = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    by_hand = (log(2) + log(4 / 3) + log(4) + log(2)) / 2
    assert attribute_loss(logits, a).item() == pytest.approx(by_hand)
    known = torch.tensor([[True, True], [False, True]])
    without = (log(2) + log(4 / 3) + log(2)) / 2
    assert attribute_loss(logits, a, known).item() == pytest.approx(without)
    soft = attribute_loss(torch.tensor([[log(3)]]), torch.tensor([[0.5]])).item()
    assert soft == pytest.approx((log(4 / 3) + log(4)) / 2)


class Says(nn.Module):
    """Says the same, whatever it is given."""

    def __init__(self, *answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer[0] if len(answer) == 1 else answer

    def forward(self, _: torch.Tensor) -> Any:
        return self.answer


def test_shared_losses_by_hand() -> None:
    nets = branches()
    nets.attribute = Says(torch.tensor([[0.0, 0.0]]))  # type: ignore[assignment]
    code, again = torch.tensor([[log(3), 0.0]]), torch.tensor([[1.0, 2.0, 3.0]])
    nets.iia = Says(code, again)  # type: ignore[assignment]
    x_id, a = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    losses = shared_losses(nets, torch.zeros(1, 3, 32, 16), x_id, a)
    assert list(losses) == ["att", "iia", "rec", "tran"]
    assert losses["att"].item() == pytest.approx(2 * log(2))
    assert losses["iia"].item() == pytest.approx(log(4 / 3) + log(2))
    assert losses["rec"].item() == pytest.approx((4 + 9) / 3)
    assert losses["tran"].item() == pytest.approx((1 / 4) ** 2 / 2)  # 3/4 and 1/2; 1/2 and 1/2


def test_the_decoder_sees_the_code_alone() -> None:
    iia = InferredAttributes(32, 4, (6, 5))
    x = torch.randn(3, 32)
    code, again = iia(x)
    assert code.shape == (3, 4)
    assert again.shape == (3, 32)
    assert torch.equal(again, iia.decoder(code.sigmoid()))


def batches(images: Any, batch: int = 8, flip: float = 0.5) -> TrainBatches:
    """Images with their places."""
    how = Augmentation(flip, round(0.04 * images.shape[1]))
    return TrainBatches(images, np.arange(len(images)), batch, how, np.random.SeedSequence(0))


def on_source(nets: Branches, **changes: Any) -> OnSource:
    o = Options(**{**OPTIONS, **changes})
    targets = attribute_targets(source().attributes, "it")
    return OnSource(nets, source(), targets, o)


@pytest.mark.parametrize(
    ("loss", "learn"),
    [
        ("id", {"identity"}),
        ("att", {"attribute"}),
        ("iia", {"iia.encoder"}),
        ("rec", {"iia.encoder", "iia.decoder"}),
        ("tran", {"iia.encoder", "attribute"}),
    ],
)
def test_each_loss_teaches_whom_it_should(loss: str, learn: set[str]) -> None:
    nets = branches()
    on_source(nets).losses(*next(batches(source().images)))[loss].backward()
    parts = {name: nets.get_submodule(name) for name in PARTS}
    for name, part in parts.items():
        reached = {w.grad is not None and bool(w.grad.abs().max() > 0) for w in part.parameters()}
        assert reached == {name in learn}, name


PARTS = ("identity", "attribute", "iia.encoder", "iia.decoder")


def test_the_identity_branch_is_fixed_on_the_target() -> None:
    nets = branches()
    stage = OnTarget(nets, target(), Options(**OPTIONS))
    before = {name: t.clone() for name, t in nets.state_dict().items()}
    losses = stage.step(0, next(batches(target().images)))
    assert list(losses) == ["att", "iia", "rec", "tran"]
    for name, tensor in nets.state_dict().items():
        frozen = name.startswith("identity")
        assert torch.equal(tensor, before[name]) == frozen, name


def test_the_target_is_predicted_once_before_it_is_learned() -> None:
    nets = branches()
    stage = OnTarget(nets, target(), Options(**OPTIONS))
    before = stage.predicted.clone()
    assert before.shape == (12, 4)
    assert 0 < before.min() < before.max() < 1
    drawn = batches(target().images)
    for t in range(3):
        stage.step(t, next(drawn))
    assert torch.equal(stage.predicted, before)


def test_the_source_is_learned() -> None:
    nets = branches()
    stage = on_source(nets, iterations=60, lr=0.02, weight_decay=0.0)
    drawn = batches(source().images, 20, flip=0.0)
    seen = [stage.step(t, next(drawn)) for t in range(60)]
    losses = [{k: v.item() for k, v in loss.items()} for loss in seen]
    assert losses[0]["id"] == pytest.approx(log(4), abs=0.3)
    assert losses[-1]["id"] < losses[0]["id"] / 3
    assert losses[-1]["att"] < losses[0]["att"] / 3
    assert losses[-1]["iia"] < losses[0]["iia"] / 1.5


def test_the_attribute_branch_is_given() -> None:
    file = adapt(fresh(), source(), target(), OPTIONS, seed=0)
    assert file["pids"] == []
    assert file["notes"] == ["a note", "branches of small in place of TJ-AIDL's MobileNets"]
    net = build_reid(file, "file")
    assert net.features(torch.zeros(2, 3, 32, 16)).shape == (2, 32)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("where", [OnSource, OnTarget])
def test_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: type[OnSource | OnTarget]
) -> None:
    whole = adapt(fresh(), source(), target(), OPTIONS, seed=5)
    checkpoint = Checkpoint(tmp_path / "state.pt", every=0)
    step = where.step

    def stops(self: Any, t: int, batch: Any) -> dict[str, torch.Tensor]:
        if t == 2:
            raise Stopped
        return step(self, t, batch)

    with monkeypatch.context() as patch:
        patch.setattr(where, "step", stops)
        with pytest.raises(Stopped):
            adapt(fresh(), source(), target(), OPTIONS, seed=5, checkpoint=checkpoint)
    torch.manual_seed(99)
    resumed = adapt(fresh(), source(), target(), OPTIONS, seed=5, checkpoint=checkpoint)
    for name, tensor in whole["state"].items():
        assert torch.equal(tensor, resumed["state"][name]), name


def test_what_cannot_be_is_told() -> None:
    nameless = replace(source(), attributes={})
    with pytest.raises(UserError, match=r"TJ-AIDL learns attributes .* this source has none"):
        adapt(fresh(), nameless, target(), OPTIONS, seed=0)
    nobody = replace(source(), pid=np.zeros(20, np.int64))
    with pytest.raises(UserError, match="no labelled person"):
        adapt(fresh(), nobody, target(), OPTIONS, seed=0)
    with pytest.raises(UserError, match=r"tjaidl\.lambda_2 is -1"):
        adapt(fresh(), source(), target(), {**OPTIONS, "lambda_2": -1}, seed=0)
    with pytest.raises(UserError, match=r"tjaidl\.hidden is 0; it must be 1 at least"):
        adapt(fresh(), source(), target(), {**OPTIONS, "hidden": [0, 5]}, seed=0)


def test_junk_is_left_out() -> None:
    s = source()
    pid = s.pid.copy()
    pid[:2], pid[2] = 0, -1
    some = replace(s, pid=pid)
    assert adapt(fresh(), some, target(), OPTIONS, seed=0)["pids"] == []
