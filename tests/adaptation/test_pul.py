"""PUL: centres, trust, what each round starts from, and what a kill must not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crgan.adaptation import pul
from crgan.adaptation.pul import Plan, adapt, centres, trusted
from crgan.common.errors import UserError
from crgan.reid.model_file import build_reid
from tests.cluster_targets import adapted, coloured_target, resumed, same, start_file

OPTIONS: dict[str, Any] = {
    "rounds": 2, "epochs": 2, "images_per_cluster": 6, "lambda_similarity": 0.85,
    "kmeans_starts": 2, "restart": "initial", "batch": 8, "lr": 0.003, "flip": 0.5,
    "crop_padding": 0.05,
}  # fmt: skip


def plan(**changes: Any) -> Plan:
    values = {key: OPTIONS[key] for key in Plan.__dataclass_fields__}
    return Plan(**{**values, **changes})


def test_a_centre_is_the_image_nearest_to_the_mean_of_its_cluster() -> None:
    features = np.array([[0, 0], [4, 0], [2, 1], [9, 9], [9, 8]], np.float32)
    cluster = np.array([0, 0, 0, 2, 2])
    # means: (2, 1/3); nobody's; (9, 8.5), of which both images are as far: the first
    means = np.array([[2, 1 / 3], [5, 5], [9, 8.5]], np.float32)
    assert centres(features, cluster, means).tolist() == [2, -1, 3]


def test_trust_is_the_cosine_to_the_own_centre() -> None:
    # two far groups; in the first, (10, 8) has cosine 0.78 to the centre (10, 0)
    features = np.array(
        [[10, 0], [10, 0.1], [10, -0.1], [10, 8], [-50, 20], [-50, 21], [-50, 22]], np.float32
    )
    labels = trusted(features, plan(images_per_cluster=4), seed=0)
    first, second = labels[0], labels[4]
    assert labels.tolist() == [first, first, first, -1, second, second, second]
    assert sorted((first, second)) == [0, 1]
    loose = trusted(features, plan(images_per_cluster=4, lambda_similarity=0.7), seed=0)
    assert loose[3] == loose[0]


def test_another_clusters_centre_lends_no_trust() -> None:
    """k-means looks at lengths, trust at angles: the image in the corner is nearest to the small
    group, and in the direction of the large one, whose centre does not count for it."""
    features = np.array([[9, 0], [9, 0.1], [9, -0.1], [1, 0], [0, 1], [0, 1.1]], np.float32)
    labels = trusted(features, plan(images_per_cluster=3), seed=0)
    assert labels[3] == -1
    assert labels[0] == labels[1] == labels[2] != labels[4] == labels[5]


def test_more_clusters_than_images_are_not_asked_for() -> None:
    features = np.eye(3, dtype=np.float32)
    labels = trusted(features, plan(images_per_cluster=1), seed=0)
    assert sorted(labels.tolist()) == [0, 1, 2]


def test_k_follows_the_number_of_images() -> None:
    assert plan(images_per_cluster=20).clusters(12936) == 647
    assert plan(images_per_cluster=20).clusters(5) == 2


@pytest.mark.parametrize("restart", ["initial", "previous"])
def test_what_each_round_starts_from(restart: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    start, seen = start_file(), []
    train = pul.train

    def spy(net: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        assert net.training
        seen.append(net.state_dict()["backbone.0.weight"].clone())
        return train(net, *args, **kwargs)

    monkeypatch.setattr(pul, "train", spy)
    adapted(adapt, {**OPTIONS, "restart": restart}, start)
    assert torch.equal(seen[0], start["state"]["backbone.0.weight"])
    assert torch.equal(seen[0], seen[1]) == (restart == "initial")


def test_the_result_has_no_classifier_and_tells_people_apart() -> None:
    options = {**OPTIONS, "epochs": 8, "lr": 0.005}
    file = adapted(adapt, options, start_file())
    assert file["pids"] == []
    assert file["notes"][0] == "a note"
    assert file["notes"][1].startswith("PUL trusted ")
    net = build_reid(file, "file")
    features = pul.features_of(net, coloured_target(), "cpu", "")
    people = trusted(features, plan(kmeans_starts=5), seed=0).reshape(4, 6)
    assert (people == people[:, :1]).all()
    assert len(np.unique(people)) == 4


@pytest.mark.parametrize("saves", [3, 6, 8])
def test_resumed_equals_uninterrupted(
    saves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = adapted(adapt, OPTIONS, start_file())
    again = resumed(
        lambda checkpoint: adapted(adapt, OPTIONS, start_file(), checkpoint=checkpoint),
        saves, tmp_path, monkeypatch,
    )  # fmt: skip
    assert same(whole, again)
    assert not same(whole, adapted(adapt, OPTIONS, start_file(), seed=4))


def test_options_are_read_strictly() -> None:
    for change, message in (
        ({"lambda_similarity": 1.0}, r"pul\.lambda_similarity is 1\.0"),
        ({"rounds": 0}, r"pul\.rounds is 0"),
        ({"restart": "best"}, "pul.restart is 'best'; use one of initial, previous"),
        ({"k": 3}, "pul.k: no such key"),
    ):
        with pytest.raises(UserError, match=message):
            adapted(adapt, {**OPTIONS, **change}, start_file())


def test_a_start_of_other_images_is_refused() -> None:
    start = {**start_file(), "height": 64}
    with pytest.raises(UserError, match="the start learned images of 64x16, the target's are 32"):
        adapted(adapt, OPTIONS, start)
