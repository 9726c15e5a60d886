"""BUC: distances and merges against a plain walk through all pairs, the repelled loss, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from crgan.adaptation import buc
from crgan.adaptation.base import Target
from crgan.adaptation.buc import Options, adapt, cluster_distances, merged
from crgan.adaptation.cluster_memory import MemoryNet, Round
from crgan.common.errors import UserError
from crgan.nets.reid import ReidNet
from crgan.reid.model_file import build_reid
from tests.cluster_targets import adapted, coloured_target, resumed, same, start_file

OPTIONS: dict[str, Any] = {
    "rounds": 3, "merge_share": 0.25, "lambda_diversity": 0.003, "tau": 0.1,
    "memory_momentum": 0.5, "dropout": 0.5, "first_epochs": 2, "epochs": 1, "batch": 8,
    "lr": 0.1, "later_lr": 0.01, "backbone_lr_share": 0.1, "momentum": 0.9,
    "weight_decay": 5e-4, "flip": 0.5, "crop_padding": 0.05,
}  # fmt: skip


def circle(*degrees: float) -> NDArray[np.float32]:
    angle = np.deg2rad(degrees)
    return np.stack((np.cos(angle), np.sin(angle)), axis=1).astype(np.float32)


def groups(labels: NDArray[np.int64]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == c).tolist()) for c in np.unique(labels)}


def walked(
    features: NDArray[np.float32], labels: NDArray[np.int64], count: int, weight: float
) -> NDArray[np.int64]:
    """As the paper tells it: all pairs of images, nearest first, clusters joined on the way."""
    sizes = np.bincount(labels)[labels]
    n = len(features)
    pairs = [
        (float(((features[i] - features[j]) ** 2).sum()) + weight * (sizes[i] + sizes[j]), i, j)
        for i in range(n)
        for j in range(i)
        if labels[i] != labels[j]
    ]
    labels = labels.copy()
    for _, i, j in sorted(pairs):
        if count and labels[i] != labels[j]:
            labels[labels == labels[i]] = labels[j]
            count -= 1
    return labels


def test_nearest_pairs_merge_first() -> None:
    features, single = circle(0, 10, 50, 55, 120), np.arange(5)
    assert groups(merged(features, single, 1, 0.0)) == {*map(frozenset, ([2, 3], [0], [1], [4]))}
    assert groups(merged(features, single, 2, 0.0)) == {*map(frozenset, ([2, 3], [0, 1], [4]))}
    # 10 to 50 is 40 degrees, 55 to 120 is 65: the minimum over members, not the mean, decides
    assert groups(merged(features, single, 3, 0.0)) == {*map(frozenset, ([0, 1, 2, 3], [4]))}


def test_diversity_keeps_large_clusters_from_growing() -> None:
    features = circle(0, 1, 2, 3, 13, 60, 72)
    labels = np.array([0, 0, 0, 0, 1, 2, 3])
    # squared distances: 10 degrees 0.030, 12 degrees 0.044; sizes 4 + 1 against 1 + 1
    assert groups(merged(features, labels, 1, 0.0)) >= {frozenset([0, 1, 2, 3, 4])}
    assert groups(merged(features, labels, 1, 0.01)) >= {frozenset([5, 6])}


@pytest.mark.parametrize("block", [1, 7, 512])
def test_merges_as_a_walk_through_all_pairs(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buc, "_BLOCK", block)
    rng = np.random.default_rng(0)
    features = buc.unit(rng.standard_normal((40, 5)).astype(np.float32))
    labels = np.arange(40)
    for count, weight in ((9, 0.0), (7, 0.02), (12, 0.1)):
        expected = walked(features, labels, count, weight)
        labels = merged(features, labels, count, weight)
        assert groups(labels) == groups(expected)
        assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    assert labels.max() + 1 == 40 - 9 - 7 - 12


def test_distances_of_clusters() -> None:
    features, labels = circle(0, 90, 60, 180), np.array([1, 0, 1, 2])
    found = cluster_distances(features, labels, 0.1)
    # 0-1: 90 and 60 degrees; 0-2: 90 and 180; 1-2: 60 and 180
    expected = [2 - 2 * np.cos(np.pi / 6) + 0.3, 2 + 0.2, 2 + 1 + 0.3]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_repelled_loss_and_memory_by_hand() -> None:
    net = ReidNet("small", 4, 0)
    model = MemoryNet(net, torch.nn.Identity(), tau=0.1, momentum=0.5)
    model.memory = torch.zeros(2, 2)
    f = torch.tensor([[0.6, 0.8]])
    # an empty memory tells nothing: -log(1/2)
    loss = F.cross_entropy(model.logits(f), torch.tensor([1]))
    torch.testing.assert_close(loss, torch.tensor(2.0).log())
    model.remember(f, torch.tensor([1]))
    torch.testing.assert_close(model.memory, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    # V_1 . f / tau = 10 now, and 0 for the cluster not yet seen
    loss = F.cross_entropy(model.logits(f), torch.tensor([1]))
    torch.testing.assert_close(loss, torch.log1p(torch.exp(torch.tensor(-10.0))))
    model.remember(torch.tensor([[0.8, 0.6]]), torch.tensor([1]))
    torch.testing.assert_close(model.memory[1], torch.tensor([0.5, 0.5]).sqrt())


def test_rounds_merge_a_share_of_the_images_and_begin_with_an_empty_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes, run = [], Round.run

    def spy(self: Round, *args: Any) -> float:
        model = self.model
        assert model.training
        assert not model.memory.any()
        sizes.append(len(model.memory))
        before = [p.clone() for p in model.parameters()]
        loss = run(self, *args)
        moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        # a batch norm follows the head's linear layer and takes its shift away
        names = [name for name, _ in model.named_parameters()]
        assert all(moved[i] for i, name in enumerate(names) if name != "head.0.bias")
        assert model.memory.any(1).all()  # every cluster was met
        return loss

    monkeypatch.setattr(Round, "run", spy)
    file = adapted(adapt, OPTIONS, start_file(classes=0))
    assert sizes == [24, 18, 12]
    assert file["pids"] == []
    assert file["notes"] == [
        "a note",
        "BUC went from 24 clusters to 12",
        "BUC started from random weights, not from ImageNet's",
    ]
    assert not any(name.startswith("head") for name in file["state"])
    build_reid(file, "file")


def test_pretrained_weights_need_no_note() -> None:
    options = {**OPTIONS, "rounds": 1, "first_epochs": 1}
    notes = adapted(adapt, options, start_file(classes=0, origin="resnet50_imagenet"))["notes"]
    assert notes == ["a note", "BUC went from 24 clusters to 24"]


def test_rates() -> None:
    plan = Options(**{**OPTIONS, "first_epochs": 5, "epochs": 2, "batch": 10})
    assert plan.rates(0, 20) == pytest.approx([0.1] * 8 + [0.01] * 2)
    assert plan.rates(3, 21) == [0.01] * 5


@pytest.mark.parametrize("saves", [3, 8, 10])
def test_resumed_equals_uninterrupted(
    saves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = start_file(classes=0)
    whole = adapted(adapt, OPTIONS, start)
    again = resumed(
        lambda checkpoint: adapted(adapt, OPTIONS, start, checkpoint=checkpoint),
        saves, tmp_path, monkeypatch,
    )  # fmt: skip
    assert same(whole, again)
    assert not same(whole, adapted(adapt, OPTIONS, start, seed=4))


@pytest.mark.parametrize("images", [0, 1])
def test_a_target_of_one_image_has_nothing_to_merge(images: int) -> None:
    few = Target(coloured_target().images[:images], np.ones(images, np.int64))
    with pytest.raises(
        UserError, match=rf"the target has {images} training image\(s\); it needs 2"
    ):
        adapted(adapt, OPTIONS, start_file(classes=0), target=few)


def test_a_target_of_two_images_is_enough() -> None:
    two = Target(coloured_target().images[[0, -1]], np.ones(2, np.int64))
    options = {**OPTIONS, "rounds": 2, "merge_share": 0.5, "batch": 2}
    file = adapted(adapt, options, start_file(classes=0), target=two)
    assert file["notes"][1] == "BUC went from 2 clusters to 1"


def test_options_are_read_strictly() -> None:
    for change, message in (
        ({"tau": 0.0}, r"buc\.tau is 0\.0"),
        ({"rounds": 5}, "buc: rounds is 5 with merge_share 0.25: no clusters would be left"),
        ({"dropout": 1.0}, r"buc\.dropout is 1\.0"),
        ({"stop": 3}, "buc.stop: no such key"),
    ):
        with pytest.raises(UserError, match=message):
            adapted(adapt, {**OPTIONS, **change}, start_file(classes=0))
