"""Every training step on a device that is not the CPU, without having one.

torch's `meta` device computes shapes and no numbers. A step that would wait for a GPU (`.item()`,
`.tolist()`, `.cpu()`, picking by a condition) fails there by itself, and one that mixes tensors of
two devices is caught by `OneDevice`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from crgan.adaptation import hhl, mmfa, taudl, tjaidl
from crgan.adaptation.attribute_targets import attribute_targets
from crgan.adaptation.cluster_memory import MemoryNet, Round
from crgan.adaptation.joint import People
from crgan.adaptation.start import begin
from crgan.common.settings import settings_from
from crgan.data.batches import TrainBatches
from crgan.gan import crgan, cyclegan, m2mgan, ptgan, spgan, stargan
from crgan.gan.base import Task
from crgan.gan.pairs import PairBatches
from crgan.nets.camera import CameraNet
from crgan.nets.reid import ReidNet
from crgan.train.classifier import Classification, Recipe
from crgan.train.compute import Compute
from crgan.train.optimizers import SGD, Adam
from tests.adapt_fakes import SIZE, fresh, people, target
from tests.adaptation import test_hhl, test_mmfa, test_taudl, test_tjaidl
from tests.gan import test_m2mgan, test_ptgan, test_spgan, test_stargan
from tests.gan_fakes import GAN, LOSS, judges, task
from tests.translation_fakes import OPTIONS

ELSEWHERE = Compute(device="meta")
LAST = 7  # an iteration in the second half, in which everything learns
MOVES = ("_to_copy", "copy_", "_copy_from", "lift_fresh")


class OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of two devices; a number in a CPU tensor may go with any."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        devices = {x.device.type for x in given if x.dim() or x.device.type != "cpu"}
        if len(devices) > 1 and func.overloadpacket.__name__ not in MOVES:
            raise AssertionError(f"{func} mixes {' and '.join(sorted(devices))}")
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def unfused(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch has no fused optimizers for `meta`."""
    for kind in (torch.optim.Adam, torch.optim.SGD):
        plain = kind.__init__

        def init(self: Any, *args: Any, plain: Any = plain, **more: Any) -> None:
            plain(self, *args, **{**more, "fused": False})

        monkeypatch.setattr(kind, "__init__", functools.wraps(plain)(init))


def train(learning: Any, batches: Any) -> None:
    """Two iterations."""
    with OneDevice():
        for t in (0, LAST):
            losses = learning.step(t, next(batches))
            assert {loss.device.type for loss in losses.values()} == {"meta"}
    for name in learning.moving:
        if isinstance(net := getattr(learning, name), nn.Module):
            assert {p.device.type for p in net.parameters()} == {"meta"}, name


def pairs_of(t: Task, y_j: Any, y_c: Any, enlarge: float = 1.0) -> PairBatches:
    return PairBatches(t, y_j, y_c, 3, 0, "meta", flip=True, enlarge=enlarge)


@pytest.mark.parametrize(
    ("gan", "loss"),
    [
        ({}, {}),
        ({"dual_condition": False}, {}),
        ({"discriminator_norm": "batch"}, {"lambda_id": 0.0}),
        ({"context_norm": "mse", "context_target_masked": True}, {"lambda_cam": 0.0}),
        ({"mask_channels": 3, "activation_mask": "hard_sigmoid"}, {"lambda_con": 0.0}),
        ({"upsampling": "nearest"}, {"lambda_adv": 0.0}),
    ],
)
def test_cr_gan_and_its_ablations(gan: dict[str, Any], loss: dict[str, float]) -> None:
    d_id, d_cam = judges()
    t, o = task(), settings_from(crgan.Options, {**GAN, **gan}, "gan")
    weights = settings_from(crgan.Weights, {**LOSS, **loss}, "loss")
    training = crgan.Training(o, weights, d_id.net, d_cam.net, ELSEWHERE)
    y_j, y_c = d_id.labels(t.source.pid), d_cam.labels(t.target.camid)
    train(training, pairs_of(t, y_j, y_c))


@pytest.mark.parametrize(
    ("method", "own"),
    [
        (cyclegan, {}), (ptgan, test_ptgan.OWN), (spgan, test_spgan.OWN), (m2mgan, test_m2mgan.OWN),
    ],
)  # fmt: skip
def test_translators(method: Any, own: dict[str, Any]) -> None:
    t = task()
    o = settings_from(method.Options, {**OPTIONS, **own}, method.MODEL)
    in_a, in_b = cyclegan.cameras(t)
    y_a, y_b = np.searchsorted(in_a, t.source.camid), np.searchsorted(in_b, t.target.camid)
    train(method.Training(o, t, 0, ELSEWHERE), pairs_of(t, y_a, y_b, o.enlarge))


def test_step_of_stargan() -> None:
    o, t = test_stargan.options(n_critic=1), task()
    camids, y = np.unique(t.target.camid, return_inverse=True)
    both = Task(t.target, t.target, t.target_masks, t.target_masks, t.height, t.width)
    training = stargan.Training(o, len(camids), (t.height, t.width), ELSEWHERE)
    train(training, pairs_of(both, y, y, o.enlarge))


@pytest.mark.parametrize(
    "net",
    [
        lambda: ReidNet("small", 4, 5),
        lambda: ReidNet("resnet50", 64, 5, last_stride=1),
        lambda: ReidNet("mobilenetv2", 32, 5),
        lambda: CameraNet(4, 5),
    ],
    ids=["small", "resnet50", "mobilenetv2", "camera"],
)
def test_classifiers(net: Callable[[], nn.Module]) -> None:
    recipe = Recipe(iterations=8, batch=4, lr=1e-3, label_smoothing=0.1, erasing=0.5)
    train(Classification(net().train(), recipe, ELSEWHERE), batches(recipe))


def batches(recipe: Recipe | None = None) -> TrainBatches:
    images = target().images
    recipe = recipe or Recipe(iterations=8, batch=4, lr=1e-3)
    how = recipe.augmentation(images.shape[1])
    return TrainBatches(images, np.arange(len(images)) % 5, recipe.batch, how, 0)


@pytest.mark.parametrize("update", ["all", "hardest"])
def test_cluster_memories_of_buc_and_cluster_contrast(update: Any) -> None:
    net = ReidNet("small", 4, 0)
    head = nn.Sequential(nn.Linear(net.feature_dim, net.feature_dim), nn.BatchNorm1d(32))
    model = MemoryNet(net, head, tau=0.1, momentum=0.5, update=update, dropout=0.5).train()
    model.memory = torch.zeros(5, net.feature_dim)
    ELSEWHERE.prepare(model)
    groups = [{"params": list(model.parameters()), "scale": 0.1}]
    for optimizer in (SGD(groups, 0.1, 0.9, 5e-4), Adam(model.parameters(), 0.1)):
        train(Round(model, optimizer, [0.1] * 8, ELSEWHERE), batches())


def test_step_of_taudl() -> None:
    o = taudl.Options(**test_taudl.OPTIONS)
    drawn = taudl._batches(test_taudl.target(), o, 0)
    net = ReidNet("small", 4, 0, embedding=o.embedding)
    train(taudl.Training(net, drawn.classes, o, ELSEWHERE), drawn)


def test_step_of_mmfa() -> None:
    o, who = settings_from(mmfa.Options, test_mmfa.OPTIONS, "mmfa"), People(people())
    net = begin(fresh(), SIZE, "MMFA", classes=who.classes, pooling=o.pooling)
    training = mmfa.Training(o, net, people(), who, ELSEWHERE)
    train(training, mmfa.batches_of(o, who, target(), 0))


def test_step_of_hhl() -> None:
    o, who = test_hhl.options(), People(people())
    net = begin(fresh(), SIZE, "HHL", pooling="mean")
    styled = test_hhl.styled()
    train(hhl.Training(o, net, who, ELSEWHERE), hhl.batches_of(o, who, target(), styled, 0))


def test_step_of_tjaidl() -> None:
    o, nets = tjaidl.Options(**test_tjaidl.OPTIONS), test_tjaidl.branches()
    ELSEWHERE.prepare(nets)
    source, found = test_tjaidl.source(), attribute_targets(test_tjaidl.source().attributes, "it")
    train(tjaidl.OnSource(nets, source, found, o, ELSEWHERE), test_tjaidl.batches(source.images))
    unknown = test_tjaidl.target()
    train(tjaidl.OnTarget(nets, unknown, o, ELSEWHERE), test_tjaidl.batches(unknown.images))


class Careless(Classification):
    """D_id with the mistakes that this file is for."""

    mistake = ""

    def step(self, t: int, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        losses = super().step(t, batch)
        if self.mistake == "waits":
            losses["loss"].item()
        if self.mistake == "mixes":
            nn.functional.linear(self.net(self.compute.images(batch[0])), torch.zeros(5, 5))
        return losses


@pytest.mark.parametrize(
    ("mistake", "message"),
    [("waits", "item.. cannot be called on meta"), ("mixes", "mixes cpu and meta")],
)
def test_the_mistakes_are_found(mistake: str, message: str) -> None:
    recipe = Recipe(iterations=8, batch=4, lr=1e-3)
    learning = Careless(CameraNet(4, 5), recipe, ELSEWHERE)
    learning.mistake = mistake
    with pytest.raises((AssertionError, RuntimeError), match=message):
        train(learning, batches())
