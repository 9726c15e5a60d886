"""Cluster-contrast: loss and memory by hand, batches, too few clusters, and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from crgan.adaptation import cluster_contrast
from crgan.adaptation.cluster_contrast import Plan, adapt, clusters_of, means_of
from crgan.adaptation.cluster_memory import ClusterBatches, MemoryNet, hardest
from crgan.common.errors import UserError
from crgan.data.batches import Augmentation, to_gan
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import build_reid
from tests.cluster_targets import adapted, coloured_target, resumed, same, start_file

OPTIONS: dict[str, Any] = {
    "rounds": 3, "iterations": 3, "batch": 8, "instances": 4, "lr": 0.001, "eps": 0.6,
    "min_samples": 3, "k1": 6, "k2": 2, "tau": 0.05, "memory_momentum": 0.1, "update": "all",
    "schedule": "step", "flip": 0.5, "crop_padding": 0.05, "erasing": 0.5,
}  # fmt: skip


def plan(**changes: Any) -> Plan:
    values = {key: OPTIONS[key] for key in Plan.__dataclass_fields__}
    return Plan(**{**values, **changes})


def memory_net(update: Any = "all") -> MemoryNet:
    net = ReidNet("small", 4, 0)
    return MemoryNet(net, torch.nn.Identity(), tau=0.05, momentum=0.1, update=update)


def test_info_nce_by_hand() -> None:
    model = memory_net()
    model.memory = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    f = torch.tensor([[0.6, 0.8]])
    torch.testing.assert_close(model.logits(f), torch.tensor([[12.0, 16.0]]))
    # -log(e^12 / (e^12 + e^16)) = log(1 + e^4)
    loss = F.cross_entropy(model.logits(f), torch.tensor([0]))
    torch.testing.assert_close(loss, torch.log1p(torch.tensor(4.0).exp()))


def test_updates_of_the_memory_by_hand() -> None:
    start = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    near, far = [0.8, 0.6], [0.0, 1.0]
    features, labels = torch.tensor([far, near, [0.6, 0.8]]), torch.tensor([0, 0, 2])
    assert hardest(features, labels, start).tolist() == [0, 2]

    def moved(v: list[float], f: list[float]) -> list[float]:
        x = 0.1 * np.array(v) + 0.9 * np.array(f)
        return list(x / np.linalg.norm(x))

    for update, first in (
        ("all", moved(moved([1, 0], far), near)),
        ("hardest", moved([1, 0], far)),
    ):
        model = memory_net(update)
        model.memory = start.clone()
        model.remember(features, labels)
        expected = torch.tensor([first, [0.0, 1.0], moved([-1, 0], [0.6, 0.8])])
        torch.testing.assert_close(model.memory, expected.float())


def test_gradients_reach_the_cnn_and_not_the_memory() -> None:
    model = memory_net().train()
    model.memory = F.normalize(torch.randn(3, 32))
    features = model(to_gan(coloured_target().images[:6]))
    torch.testing.assert_close(features.norm(dim=1), torch.ones(6))
    F.cross_entropy(model.logits(features), torch.tensor([0, 1, 2] * 2)).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.net.parameters())
    assert not model.memory.requires_grad


def test_batches_are_p_clusters_of_k_images() -> None:
    labels = np.array([0, 2, -1, 1, 0, 0, 2, 2, -1, 1, 2])
    # an image's brightness is its row
    images = np.repeat(np.arange(11, dtype=np.uint8), 8 * 4 * 3).reshape(11, 8, 4, 3)
    seed = np.random.SeedSequence(0)
    batches = ClusterBatches(images, labels, 2, 3, Augmentation(flip=0.5), seed)
    often = np.zeros(3, dtype=int)
    for _ in range(12):
        crops, clusters = next(batches)
        rows = ((crops[:, 0, 0, 0] + 1) * 127.5).round().long().numpy()
        assert labels[rows].tolist() == clusters.tolist()
        assert clusters.reshape(2, 3).unique(dim=1).shape == (2, 1)
        for part in rows.reshape(2, 3):  # only the cluster of two images shows one twice
            assert len(set(part.tolist())) == 3 or labels[part[0]] == 1
        often += np.bincount(clusters[::3], minlength=3)
    assert often.tolist() == [8, 8, 8]


def test_clusters_and_outliers() -> None:
    rng = np.random.default_rng(0)
    middle = np.eye(3, 8)[np.repeat([0, 1, 2], 8)]
    features = np.concatenate((middle + 0.05 * rng.standard_normal((24, 8)), -np.eye(1, 8, 7)))
    labels = clusters_of(cluster_contrast.unit(features.astype(np.float32)), plan(k1=8))
    assert labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8 + [-1]


def test_means_have_length_1_and_know_no_outlier() -> None:
    features = np.array([[1, 0], [0, 1], [5, 5], [0, -1], [0.6, 0.8]], np.float32)
    found = means_of(features, np.array([0, 0, -1, 1, 0]))
    np.testing.assert_allclose(
        found, [[1.6 / np.hypot(1.6, 1.8), 1.8 / np.hypot(1.6, 1.8)], [0, -1]], rtol=1e-6
    )


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_clusters_keep_the_cnn(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = start_file()
    labels = np.full(24, count - 1)
    monkeypatch.setattr(cluster_contrast, "clusters_of", lambda *_: labels)
    file = adapted(adapt, OPTIONS, start)
    assert all(torch.equal(file["state"][k], start["state"][k]) for k in file["state"])
    assert file["notes"][-1] == (
        f"cluster-contrast stopped before round 1: DBSCAN found {count} clusters, "
        "and two are needed"
    )


def test_later_rounds_may_find_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [np.repeat([0, 1, 2, -1], 6), np.full(24, -1)]
    monkeypatch.setattr(cluster_contrast, "clusters_of", lambda *_: found.pop(0))
    file = adapted(adapt, OPTIONS, start_file())
    once = [np.repeat([0, 1, 2, -1], 6)]
    monkeypatch.setattr(cluster_contrast, "clusters_of", lambda *_: once.pop(0))
    single = adapted(adapt, {**OPTIONS, "rounds": 1, "schedule": "constant"}, start_file())
    assert all(torch.equal(file["state"][k], single["state"][k]) for k in file["state"])
    assert file["notes"][1] == (
        "cluster-contrast had 3 clusters (25% outliers) at first, "
        "0 clusters (100% outliers) at last"
    )


def test_clusters_come_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_contrast, "clusters_of", lambda *_: np.repeat(np.arange(4), 6))
    options = {**OPTIONS, "iterations": 60, "lr": 0.003, "erasing": 0.0}
    file = adapted(adapt, options, start_file())
    assert file["pids"] == []
    assert not any(name.startswith("head") for name in file["state"])
    before, after = gap(start_file()), gap(file)
    assert after > max(0.2, 1.5 * before)


def gap(file: dict[str, Any]) -> float:
    """How much more alike, as cosines, two images of a group are than two of different ones."""
    net = build_reid(file, "file")
    features = cluster_contrast.unit(
        cluster_contrast.features_of(net, coloured_target(), "cpu", "")
    )
    cosines = (features @ features.T).reshape(4, 6, 4, 6).mean((1, 3))
    same_group = np.eye(4, dtype=bool)
    return float(cosines[same_group].mean() - cosines[~same_group].mean())


@pytest.mark.parametrize("update", ["all", "hardest"])
@pytest.mark.parametrize("saves", [2, 5, 6])
def test_resumed_equals_uninterrupted(
    saves: int, update: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**OPTIONS, "update": update}
    whole = adapted(adapt, options, start_file())
    again = resumed(
        lambda checkpoint: adapted(adapt, options, start_file(), checkpoint=checkpoint),
        saves, tmp_path, monkeypatch,
    )  # fmt: skip
    assert same(whole, again)
    assert not same(whole, adapted(adapt, options, start_file(), seed=4))


def test_options_are_read_strictly() -> None:
    for change, message in (
        ({"batch": 9}, "cluster_contrast: batch is 9; use a multiple of instances"),
        ({"batch": 4}, "cluster_contrast: batch is 4"),
        ({"eps": 1.0}, r"cluster_contrast\.eps is 1\.0"),
        ({"k2": 9}, "cluster_contrast: k2 is 9"),
        ({"update": "mean"}, "cluster_contrast.update is 'mean'; use one of all, hardest"),
        ({"cameras": True}, "cluster_contrast.cameras: no such key"),
    ):
        with pytest.raises(UserError, match=message):
            adapted(adapt, {**OPTIONS, **change}, start_file())
