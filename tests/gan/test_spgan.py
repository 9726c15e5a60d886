"""SPGAN: L_con by hand, its pairs, the turns and the schedule of SiaNet, resuming."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.gan import spgan
from crgan.gan.base import Trained, load_translation
from crgan.gan.pairs import Pairs
from crgan.gan.spgan import Training, contrastive, load_renderer, similarity, train
from crgan.train.checkpoint import Checkpoint
from tests.gan_fakes import task
from tests.translation_fakes import (
    OPTIONS,
    Killing,
    check_resumed,
    same,
    setting,
    still,
    weights_of,
)

OWN = {
    "lambda_3": 2.0,
    "margin": 2.0,
    "siamese_from": 0.25,
    "similarity_from": 0.5,
    "siamese_width": 4,
    "siamese_stages": 1,
}
AT_ONCE = {"siamese_from": 0.0, "similarity_from": 0.0}
ALONE = {"lambda_cycle": 0.0, "lambda_identity": 0.0}


def started(**changes: Any) -> tuple[Training, Pairs]:
    training, pairs = setting(spgan, OWN, **changes)
    return training, pairs


def run(seed: int = 0, options: dict[str, Any] | None = None, **more: Any) -> Trained:
    return train(task(), {**OPTIONS, **OWN, **(options or {})}, seed=seed, **more)


def unit(*degrees: float) -> Tensor:
    """Embeddings on the circle."""
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


def test_contrastive_loss_by_hand() -> None:
    """Distances on the circle: 90 degrees sqrt(2), 180 degrees 2, 60 degrees 1."""
    x, y = unit(0, 0), unit(90, 180)
    assert contrastive(x, y, True, 2.0).item() == pytest.approx((2 + 4) / 2)
    assert contrastive(x, y, False, 2.0).item() == pytest.approx((2 - math.sqrt(2)) ** 2 / 2)
    assert contrastive(unit(0), unit(60), False, 1.5).item() == pytest.approx(0.25)
    assert contrastive(unit(0), unit(90), False, 1.0).item() == 0  # beyond the margin


def test_contrastive_loss_where_both_are_one() -> None:
    x = unit(30).requires_grad_()
    contrastive(x, unit(30), False, 2.0).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_every_negative_counts_at_margin_2() -> None:
    """No two unit embeddings are further apart."""
    torch.manual_seed(0)
    x, y = (nn.functional.normalize(torch.randn(500, 8)) for _ in range(2))
    assert (torch.linalg.vector_norm(x - y, dim=1) < 2).all()


def test_positives_and_negatives_are_those_of_the_paper() -> None:
    """x_a at 0, its G(x_a) at 60, x_b at 180, its F(x_b) at 90 degrees.

    Positive: 60 degrees apart (1), 90 apart (2). Negative: G(x_a) from x_b 120 apart, F(x_b) from
    x_a 90 apart.
    """
    negatives = (2 - math.sqrt(3)) ** 2 + (2 - math.sqrt(2)) ** 2
    found = similarity(unit(0), unit(180), unit(60), unit(90), 2.0)
    assert found.item() == pytest.approx((1 + 2 + negatives) / 4, rel=1e-5)


def test_negatives_reach_the_translations() -> None:
    """The TensorFlow release's, (x_a, x_b), would teach the generators nothing."""
    a, b = unit(0), unit(90)
    fake_b, fake_a = unit(0).requires_grad_(), unit(90).requires_grad_()  # positives are perfect
    similarity(a, b, fake_b, fake_a, 2.0).backward()
    for fake in (fake_b, fake_a):
        assert fake.grad is not None
        assert fake.grad.abs().sum() > 0
    assert similarity(unit(0), unit(180), unit(0), unit(180), 2.0).item() == pytest.approx(0)


def test_siamese_network_learns_first_then_teaches() -> None:
    """Of 8 iterations SiaNet learns from the third on, L_con teaches from the fifth on."""
    training, pairs = started(iterations=8)
    for t in range(8):
        before = weights_of(training.m)
        noted = training.step(t, pairs)
        assert same(before, training.m) == (t < 2)
        assert (noted["loss_siamese"].item() == 0) == (t < 2)
        assert (noted["loss_similarity"].item() == 0) == (t < 4)
        assert set(noted) == set(Training.losses)


def test_similarity_is_weighed_by_lambda_3() -> None:
    training, pairs = started(**AT_ONCE, lambda_3=7.0)
    weight, value = training.more_terms(pairs, training.translate(pairs))["similarity"]
    assert weight == 7
    assert value.item() > 0


def test_generators_learn_from_similarity_and_siamese_network_does_not() -> None:
    training, pairs = started(**AT_ONCE, **ALONE)
    for d in (training.d_b, training.d_a):  # decisions of 0: no gradient from them
        for p in d.parameters():
            nn.init.zeros_(p)
    before = {name: weights_of(getattr(training, name)) for name in ("g", "f", "m")}
    training._update_generators(pairs, training.translate(pairs), 1e-3)
    assert still(before["g"], training.g) == still(before["f"], training.f) == []
    assert same(before["m"], training.m)
    assert all(p.grad is None and p.requires_grad for p in training.m.parameters())


def test_siamese_update_leaves_the_generators_alone() -> None:
    training, pairs = started(**AT_ONCE)
    before = [weights_of(training.g), weights_of(training.f)]
    old = weights_of(training.m)
    training.more_updates(0, pairs, training.translate(pairs))
    assert all(map(same, before, (training.g, training.f)))
    assert all(p.grad is None for net in (training.g, training.f) for p in net.parameters())
    assert still(old, training.m) == []


def test_siamese_network_learns_the_pairs_of_a_batch_by_heart() -> None:
    training, pairs = started(**AT_ONCE, lr=0.003)
    with torch.no_grad():
        fakes = training.translate(pairs)
    likeness = replace(fakes, b=0.7 * pairs.x_s, a=0.7 * pairs.x_t)  # a translation worth its name
    course = [training.more_updates(0, pairs, likeness)["loss_siamese"].item() for _ in range(60)]
    assert course[0] > 0.8
    assert np.mean(course[-5:]) < 0.1


def test_generators_follow_the_siamese_network() -> None:
    """With L_con alone, SiaNet fixed, translations move towards their own image's embedding."""
    training, pairs = started(**AT_ONCE, **ALONE, lr=0.002)
    for d in (training.d_b, training.d_a):
        for p in d.parameters():
            nn.init.zeros_(p)
    training.m.net.eval()  # without dropout, so that the course is smooth
    course = [
        training._update_generators(pairs, training.translate(pairs), 1e-3)[
            "loss_similarity"
        ].item()
        for _ in range(40)
    ]
    assert course[-1] < 0.7 * course[0]


def test_learning_rate_is_the_same_for_all() -> None:
    training, pairs = started(iterations=8, constant_share=0.5, lr=0.001)
    training.step(6, pairs)
    adams = (training.adam_g, training.adam_d, training.adam_m)
    assert {adam.param_groups[0]["lr"] for adam in adams} == {0.0005}


@pytest.mark.parametrize("after", [3, 6])  # SiaNet learns, L_con teaches
def test_resumed_equals_uninterrupted(tmp_path: Path, after: int) -> None:
    path = tmp_path / "checkpoint.pt"
    check_resumed(run, tmp_path, Killing(path, after), Checkpoint(path, every=1e9))


def test_history_has_its_losses(tmp_path: Path) -> None:
    run().history.write(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"iteration", "lr", *Training.losses}
    assert [float(r["loss_siamese"]) > 0 for r in rows] == [True, True, True]
    assert [float(r["loss_similarity"]) > 0 for r in rows] == [False, True, True]


def test_renders_both_ways() -> None:
    trained = run()
    x, made = torch.rand(2, 3, 16, 8) * 2 - 1, []
    for way in ("ab", "ba"):
        renderer = load_renderer({**trained.file, **trained.file[way]}, task(), "cpu")
        assert not renderer.varies
        made.append(renderer.render(x, np.arange(2), np.random.default_rng(0)))
    assert made[0].shape == x.shape
    assert not torch.equal(*made)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"siamese_from": 0.6}, r"siamese_from is 0\.6, similarity_from 0\.5"),
        ({"similarity_from": 1.5}, r"spgan\.similarity_from is 1\.5"),
        ({"lambda_3": -1.0}, r"spgan\.lambda_3 is -1"),
        ({"margin": 0.0}, r"spgan\.margin is 0\.0"),
        ({"siamese_stages": 2}, "too small for spgan.siamese_stages 2"),
        ({"siamese_width": 0}, r"spgan\.siamese_width is 0"),
        ({"lambda_1": 1.0}, r"spgan\.lambda_1: no such key"),
        ({"batch": 0}, r"spgan\.batch is 0"),
    ],
)
def test_bad_parameters(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(options=changes)


def test_is_found_by_its_name() -> None:
    assert load_translation("spgan").train is train
