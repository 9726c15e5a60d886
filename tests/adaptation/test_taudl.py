"""TAUDL: each loss by hand, what the batches hold, what learns, and resuming."""

from __future__ import annotations

from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crgan.adaptation.base import Target, target_of
from crgan.adaptation.taudl import (
    Options,
    TrackletBatches,
    Training,
    adapt,
    association,
    discrimination,
)
from crgan.common.errors import UserError
from crgan.data.batches import Augmentation, from_gan
from crgan.data.store import Split
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import build_reid, reid_file
from crgan.train.checkpoint import Checkpoint

OPTIONS: dict[str, Any] = {
    "iterations": 6, "batch": 12, "images": 2, "lr": 0.01, "embedding": 8, "lambda_": 0.7,
    "sigma_squared": 4.0, "distance": "plain", "pctd": "images", "adam_betas": (0.9, 0.999),
    "weight_decay": 0.0005, "constant_share": 0.5, "last_rate": 1e-6, "flip": 0.5,
    "crop_padding": 0.04,
}  # fmt: skip
NONE = np.zeros(0, np.int64)
NOBODY = Split(np.zeros((0, 32, 16, 3), np.uint8), NONE, NONE, NONE)


def people(cameras: int = 3, persons: int = 4, crops: int = 3) -> Split:
    """Every person before every camera; each has a colour, each camera a brightness."""
    rng = np.random.default_rng(0)
    colours = rng.integers(60, 200, (persons, 3))
    pid = np.tile(np.repeat(np.arange(1, persons + 1), crops), cameras)
    camid = np.repeat(np.arange(1, cameras + 1), persons * crops)
    noise = rng.integers(-20, 20, (len(pid), 32, 16, 3))
    images = colours[pid - 1][:, None, None] + 10 * camid[:, None, None, None] + noise
    return Split(np.clip(images, 0, 255).astype(np.uint8), pid, camid, np.arange(len(pid)))


def target() -> Target:
    return target_of("taudl", people(), seed=0)


def fresh() -> dict[str, Any]:
    torch.manual_seed(3)
    return reid_file(ReidNet("small", 4, 5), [1, 2, 3, 4, 5], (32, 16), "none", ["a note"])


def test_discrimination_by_hand() -> None:
    # logits of 0 give -log(1/n) with n tracklets: 2 of the first camera, 4 of the second
    logits = [torch.zeros(1, 2), torch.zeros(3, 4)]
    labels = [torch.tensor([1]), torch.tensor([0, 3, 2])]
    by_image = discrimination(logits, labels, "images")
    assert by_image.item() == pytest.approx((log(2) + 3 * log(4)) / 4)
    assert discrimination(logits, labels, "cameras").item() == pytest.approx(log(2) + log(4))


def test_association_by_hand() -> None:
    # on a line; 2 sigma^2 = 8, so a distance of 8 is a factor of e
    s = torch.tensor([[0.0], [8.0], [16.0], [40.0]])
    camera = torch.tensor([0, 0, 1, 1])
    e = [exp(-k) for k in range(6)]  # of distances 0, 8, ..., 40
    every = [
        -log(e[2] / (e[0] + e[1] + e[2] + e[5])),  # the tracklet at 0: its neighbour is at 16
        -log(e[1] / (e[1] + e[0] + e[1] + e[4])),  # at 8: at 16, not the as near 0 of its camera
        -log(e[1] / (e[2] + e[1] + e[0] + e[3])),  # at 16: at 8
        -log(e[4] / (e[5] + e[4] + e[3] + e[0])),  # at 40: at 8, not 16 of its own camera
    ]
    assert association(s, camera, 1, 4.0, "plain").item() == pytest.approx(np.mean(every))
    two = -log((e[2] + e[5]) / (e[0] + e[1] + e[2] + e[5]))
    both = association(s, camera, 2, 4.0, "plain").item()
    others = [
        -log((e[1] + e[4]) / (e[1] + e[0] + e[1] + e[4])),
        -log((e[2] + e[1]) / (e[2] + e[1] + e[0] + e[3])),
        -log((e[5] + e[4]) / (e[5] + e[4] + e[3] + e[0])),
    ]
    assert both == pytest.approx(np.mean([two, *others]))


def test_squared_distances() -> None:
    s, camera = torch.tensor([[0.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 1])
    e = exp(-16 / 8)
    assert association(s, camera, 1, 4.0, "squared").item() == pytest.approx(log((1 + e) / e))


def test_association_draws_cameras_together_and_keeps_people_apart() -> None:
    # without the numerator's gradient, as released, both would be pushed apart
    s = torch.tensor([[0.0], [2.0]], requires_grad=True)
    association(s, torch.tensor([0, 1]), 1, 4.0, "plain").backward()
    assert s.grad is not None
    assert s.grad[0] < 0 < s.grad[1]  # downhill is towards one another
    # the middle one is of the first's camera: pushed from it, while both are drawn to the last
    s = torch.tensor([[0.0], [1.0], [3.0]], requires_grad=True)
    association(s, torch.tensor([0, 0, 1]), 1, 4.0, "plain").backward()
    assert s.grad is not None
    assert s.grad[1] < 0  # to the last and away from the first, both upwards
    assert s.grad[2] > 0


def test_association_of_equal_tracklets_has_a_finite_gradient() -> None:
    s = torch.zeros(4, 3, requires_grad=True)
    loss = association(s, torch.tensor([0, 0, 1, 1]), 1, 4.0, "plain")
    loss.backward()
    assert loss.item() == pytest.approx(log(4))  # one neighbour of four, all alike
    assert s.grad is not None
    assert s.grad.isfinite().all()


def test_batches_hold_every_camera_alike() -> None:
    camid = np.repeat([1, 2, 5], [4, 6, 8])
    tracklet = np.array([7, 7, 3, 3, 0, 0, 0, 1, 1, 9, *[4] * 3, *[8] * 2, *[6] * 3])
    images = np.zeros((18, 8, 4, 3), np.uint8)
    images[..., 0], images[..., 1] = camid[:, None, None], tracklet[:, None, None]
    batches = TrackletBatches(Target(images, camid, tracklet), 2, 3, Augmentation(), seed=1)
    assert batches.classes == [2, 3, 3]
    for _ in range(4):
        x, labels = next(batches)
        assert x.shape == (3 * 2 * 3, 3, 8, 4)
        seen = from_gan(x)[:, 0, 0]
        names = [np.unique(tracklet[camid == c]) for c in (1, 2, 5)]
        for t, c in enumerate((1, 2, 5)):
            drawn = names[t][labels[t].numpy()]
            assert len(set(drawn)) == 2
            mine = seen[6 * t : 6 * t + 6]
            assert mine[:, 0].tolist() == [c] * 6
            assert mine[:, 1].tolist() == np.repeat(drawn, 3).tolist()


def test_rate_is_constant_and_then_falls() -> None:
    o = Options(**{**OPTIONS, "iterations": 100, "lr": 1.0, "last_rate": 1e-4})
    assert o.lr_at(0) == o.lr_at(50) == 1.0
    assert o.lr_at(75) == pytest.approx(1e-2)
    assert o.lr_at(100) == pytest.approx(1e-4)


def training(**changes: Any) -> tuple[Training, TrackletBatches]:
    o = Options(**{**OPTIONS, **changes})
    torch.manual_seed(0)
    batches = TrackletBatches(target(), 2, o.images, Augmentation(), seed=0)
    net = ReidNet("small", 4, 0, embedding=o.embedding)
    return Training(net, batches.classes, o), batches


@pytest.mark.parametrize("alone", ["pctd", "ccta"])
def test_gradients_reach_what_each_loss_teaches(alone: str) -> None:
    learning, batches = training()
    learning.losses(next(batches))[alone].backward()
    for name, weight in learning.net.named_parameters():
        # what a batch norm takes away again teaches nothing: the bias of the layer before it
        if name != "embedding.0.bias":
            assert moved(weight), name
    assert {moved(weight) for weight in learning.heads.parameters()} == {alone == "pctd"}


def moved(weight: torch.Tensor) -> bool:
    return weight.grad is not None and bool(weight.grad.abs().max() > 0)


def test_tracklets_of_a_camera_are_learned() -> None:
    learning, batches = training(lr=0.02, weight_decay=0.0, lambda_=0.0, constant_share=1.0)
    pctd = [learning.step(0, next(batches))["pctd"].item() for _ in range(60)]
    assert pctd[0] == pytest.approx(log(4), abs=0.3)
    assert np.mean(pctd[-5:]) < pctd[0] / 3


def test_the_start_gives_its_backbone_and_nothing_of_the_source() -> None:
    start = fresh()
    still = {**OPTIONS, "lr": 1e-12, "weight_decay": 0.0}
    file = adapt(start, NOBODY, target(), still, seed=0)
    assert (file["pids"], file["embedding"], file["notes"]) == ([], 8, ["a note"])
    before, after = build_reid(start, "start"), build_reid(file, "file")
    for (name, old), new in zip(
        before.backbone.named_parameters(), after.backbone.parameters(), strict=True
    ):
        assert torch.allclose(old, new, atol=1e-6), name
    assert after.features(torch.zeros(2, 3, 32, 16)).shape == (2, 8)


class Stopped(Exception):
    pass


def test_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = adapt(fresh(), NOBODY, target(), OPTIONS, seed=5)
    checkpoint = Checkpoint(tmp_path / "state.pt", every=0)
    step = Training.step

    def stops(self: Training, t: int, batch: Any) -> dict[str, torch.Tensor]:
        if t == 4:
            raise Stopped
        return step(self, t, batch)

    monkeypatch.setattr(Training, "step", stops)
    with pytest.raises(Stopped):
        adapt(fresh(), NOBODY, target(), OPTIONS, seed=5, checkpoint=checkpoint)
    monkeypatch.setattr(Training, "step", step)
    torch.manual_seed(99)
    resumed = adapt(fresh(), NOBODY, target(), OPTIONS, seed=5, checkpoint=checkpoint)
    for name, tensor in whole["state"].items():
        assert torch.equal(tensor, resumed["state"][name]), name


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(UserError, match=r"taudl\.lambda_ is 1.5"):
        adapt(fresh(), NOBODY, target(), {**OPTIONS, "lambda_": 1.5}, seed=0)
    with pytest.raises(UserError, match=r"taudl\.epochs: no such key"):
        adapt(fresh(), NOBODY, target(), {**OPTIONS, "epochs": 1}, seed=0)
    alone = target_of("taudl", people(cameras=1), seed=0)
    with pytest.raises(UserError, match="between cameras; this target has 1"):
        adapt(fresh(), NOBODY, alone, OPTIONS, seed=0)
    small = Target(target().images[:, ::2], target().camid, target().tracklet)
    with pytest.raises(UserError, match="TAUDL's start learned images of 32x16, these are 16x16"):
        adapt(fresh(), NOBODY, small, OPTIONS, seed=0)
    broken = {**OPTIONS, "lr": 1e30}
    with pytest.raises(
        UserError, match=r"TAUDL: iteration \d+: (pctd|ccta) is .* the training diverged"
    ):
        adapt(fresh(), NOBODY, target(), broken, seed=0)
