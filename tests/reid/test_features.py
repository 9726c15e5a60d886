"""Features, LMP and scores, against values worked out by hand."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crgan.common.errors import UserError
from crgan.data.batches import to_gan
from crgan.data.manifest import Manifest, write_manifest
from crgan.data.store import IMAGES, Split, open_dataset
from crgan.metrics.ranking import evaluate_distances
from crgan.metrics.reranking import rerank
from crgan.nets.reid import ReidNet
from crgan.reid.evaluate import Protocol, Reranking, protocol_from, query_and_gallery, score
from crgan.reid.features import extract, local_max_pool

PROTOCOL = Protocol("step", "cosine", "rows", "pooled")


def test_lmp_by_hand() -> None:
    """Two channels of a 4x2 map; maxima of two stripes, head first, then length 1."""
    head = [[1.0, 2.0], [0.0, 1.0]], [[0.0, 0.0], [3.0, 0.0]]
    foot = [[0.0, 4.0], [1.0, 1.0]], [[2.0, 1.0], [0.0, 0.0]]
    maps = torch.tensor([[[*head[0], *foot[0]], [*head[1], *foot[1]]]])
    maxima = np.array([2, 3, 4, 2])
    found = local_max_pool(maps, 2)[0].numpy()
    np.testing.assert_allclose(found, maxima / np.sqrt(4 + 9 + 16 + 4), rtol=1e-6)
    np.testing.assert_allclose(local_max_pool(maps, 1)[0].numpy(), [0.8, 0.6], rtol=1e-6)
    rows = np.array([2, 0, 1, 3, 4, 2, 1, 0])  # channel by channel within each row
    np.testing.assert_allclose(local_max_pool(maps, 4)[0], rows / np.sqrt(35), rtol=1e-6)
    for parts in (0, 3, 5):
        with pytest.raises(UserError, match=f"lmp_parts is {parts}.* has 4 rows"):
            local_max_pool(maps, parts)


def noise(n: int, height: int = 64, width: int = 32, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.fixture
def net() -> ReidNet:
    """With batch norms that have seen data, in train mode."""
    torch.manual_seed(0)
    net = ReidNet("small", 4, 3)
    for seed in range(3):
        net(to_gan(noise(16, seed=seed)))
    return net


def test_extraction_is_the_network_in_eval_mode(net: ReidNet) -> None:
    images = noise(37)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = extract(net, images)
    assert net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    net.eval()
    with torch.no_grad():
        maps = net.feature_map(to_gan(images))
    assert found.parts == 4
    scale = float(maps.abs().max())
    pooled = maps.mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(found.pooled / scale, pooled / scale, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.lmp, local_max_pool(maps, 4).numpy(), rtol=0, atol=1e-5)
    two = extract(net, images, parts=2)
    assert (two.parts, two.lmp.shape) == (2, (37, 64))
    np.testing.assert_array_equal(two.pooled, found.pooled)


def test_extraction_runs_the_network_once(net: ReidNet, monkeypatch: pytest.MonkeyPatch) -> None:
    images = 0
    forward = ReidNet.feature_map

    def counted(self: ReidNet, x: Tensor) -> Tensor:
        nonlocal images
        images += len(x)
        return forward(self, x)

    monkeypatch.setattr(ReidNet, "feature_map", counted)
    extract(net, noise(40))
    assert images == 40


def test_mirrored_features_do_not_know_left_from_right(net: ReidNet) -> None:
    images = noise(5)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    a, b = (extract(net, x, feature="pooled_mirror") for x in (images, mirrored))
    np.testing.assert_allclose(a.pooled, b.pooled, atol=1e-5)
    np.testing.assert_allclose(a.lmp, b.lmp, atol=1e-5)
    one, other = (extract(net, x).pooled for x in (images, mirrored))
    np.testing.assert_allclose(a.pooled, (one + other) / 2, atol=1e-5)
    with pytest.raises(UserError, match=r"evaluate\.feature is 'fc'"):
        extract(net, images, feature="fc")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no images"):
        extract(net, images[:0])


class Grey(ReidNet):
    """Last map (B, 2, 2, 1): the mean of the upper and the lower half, and a constant."""

    def __init__(self) -> None:
        super().__init__("small", 1, 1)

    def feature_map(self, x: Tensor) -> Tensor:
        halves = torch.stack([half.mean(dim=(1, 2, 3)) for half in x.chunk(2, dim=2)], dim=1)
        return torch.stack([halves, torch.ones_like(halves)], dim=1)[..., None]


def flat(*halves: tuple[int, int]) -> np.ndarray:
    """Images 4x2, the upper and the lower half each of one grey."""
    images = np.zeros((len(halves), 4, 2, 3), dtype=np.uint8)
    for image, (upper, lower) in zip(images, halves, strict=True):
        image[:2], image[2:] = upper, lower
    return images


def split(images: np.ndarray, pid: list[int], camid: list[int]) -> Split:
    return Split(images, np.array(pid), np.array(camid), np.arange(len(pid)))


def test_scores_by_hand() -> None:
    """Global pooling sees the mean grey only, LMP both halves.

    Query (200, 100) of pid 1, camera 1. Its camera's own image and the junk do not count.
    Global: 150 (pid 2) is nearest, then 170 (pid 1): rank 2, AP 1/2.
    LMP: (220, 120) of pid 1 is nearest, then (100, 200) of pid 2: rank 1, AP 1.
    """
    query = split(flat((200, 100)), [1], [1])
    gallery = split(
        flat((200, 100), (200, 100), (100, 200), (220, 120)), [1, -1, 2, 1], [1, 2, 2, 2]
    )
    scores = score(Grey(), query, gallery, PROTOCOL)
    found = scores.to_dict()
    assert found["pooling"] == {
        "global": {"rank1": 0, "rank5": 100, "rank10": 100, "mAP": 50},
        "lmp": {"rank1": 100, "rank5": 100, "rank10": 100, "mAP": 100},
    }
    assert found["protocol"] == {
        "average_precision": "step",
        "metric": "cosine",
        "feature": "pooled",
        "lmp_parts": 2,
        "rerank": None,
        "queries": 1,
        "dropped_queries": 0,
        "gallery": 4,
        "junk": 1,
    }


def test_both_poolings_are_re_ranked() -> None:
    """Each pooling's own features, of length 1 where the metric is the angle, are re-ranked."""
    query = split(flat((100, 100), (10, 250)), [1, 2], [1, 1])
    greys = [(110, 110), (112, 112), (113, 113), (118, 118), (0, 240)]
    gallery = split(flat(*greys), [2, 1, 1, 2, -1], [2, 2, 2, 2, 1])
    for metric in ("cosine", "euclidean"):
        protocol = replace(PROTOCOL, metric=metric, rerank=Reranking(2, 1, 0.3))
        scores = score(Grey(), query, gallery, protocol)
        found = scores.to_dict()
        assert set(found["pooling"]) == {"global", "lmp", "global_rr", "lmp_rr"}
        assert found["protocol"]["rerank"] == {"k1": 2, "k2": 1, "lambda_value": 0.3}
        labels = (query.pid, query.camid, gallery.pid, gallery.camid)
        q, g = extract(Grey(), query.images), extract(Grey(), gallery.images)
        for pooling, a, b in (("global_rr", q.pooled, g.pooled), ("lmp_rr", q.lmp, g.lmp)):
            if metric == "cosine":
                a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
            distances = rerank(a, b, k1=2, k2=1, lambda_value=0.3)
            expected = evaluate_distances(distances, *labels, ap="step")
            assert scores.by_pooling[pooling].mAP == pytest.approx(expected.mAP)
            assert scores.by_pooling[pooling].first_match.tolist() == expected.first_match.tolist()


def test_the_definition_of_ap_is_passed_on() -> None:
    query = split(flat((200, 100)), [1], [1])
    gallery = split(flat((100, 200), (220, 120)), [2, 1], [2, 2])
    protocol = Protocol("trapezoid", "cosine", 1, "pooled")
    # one match at rank 2: (0 / 1 + 1 / 2) / 2
    assert score(Grey(), query, gallery, protocol).by_pooling["global"].mAP == pytest.approx(25)


def test_protocols_are_read_strictly() -> None:
    good: dict[str, Any] = {
        "average_precision": "step", "metric": "cosine", "lmp_parts": "rows", "feature": "pooled",
        "ranks_kept": 5, "rerank": {"k1": 20, "k2": 6, "lambda_value": 0.3},
    }  # fmt: skip
    assert protocol_from(good) == replace(PROTOCOL, ranks_kept=5, rerank=Reranking(20, 6, 0.3))
    for change, message in (
        ({"average_precision": "mean"}, "evaluate.average_precision is 'mean'"),
        ({"metric": "l1"}, "evaluate.metric is 'l1'"),
        ({"lmp_parts": 0}, "evaluate.lmp_parts is 0"),
        ({"lmp_parts": "two"}, "evaluate.lmp_parts is 'two'"),
        ({"feature": "fc"}, "evaluate.feature is 'fc'"),
        ({"rerank": True}, "evaluate.rerank is True; it must be a section"),
        ({"ranks_kept": -1}, "evaluate.ranks_kept is -1"),
        ({"rank": True}, r"evaluate\.rank: no such key"),
        ({"rerank": {"k1": 20, "k2": 6}}, r"evaluate\.rerank\.lambda_value is missing"),
        ({"rerank": {"k1": 5, "k2": 6, "lambda_value": 0.3}}, r"evaluate\.rerank: k2 is 6"),
    ):
        with pytest.raises(UserError, match=message):
            protocol_from({**good, **change})
    with pytest.raises(UserError, match=r"evaluate\.metric is missing"):
        protocol_from({k: v for k, v in good.items() if k != "metric"})


def test_an_unlabelled_target_cannot_be_evaluated(tmp_path: Path) -> None:
    rows = [(f"cam/{i}.png", -2, 1, "train", f"{i:064x}") for i in range(3)]
    path, pid, camid, part, sha = zip(*rows, strict=True)
    write_manifest(
        tmp_path / "manifest.csv", Manifest(path, np.array(pid), np.array(camid), part, sha)
    )
    np.save(tmp_path / IMAGES, noise(3))
    with open(tmp_path / "manifest.csv") as file:
        assert len(list(csv.reader(file))) == 4
    with pytest.raises(UserError, match=r"manifest\.csv: no query and no gallery images"):
        query_and_gallery(open_dataset(tmp_path / "manifest.csv"))
