"""M2M-GAN (our variant): guidance by cameras, the view classifiers, random target cameras."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crgan.common.errors import UserError
from crgan.data.store import Split
from crgan.gan import m2mgan
from crgan.gan.base import Task, Trained, load_translation, towards
from crgan.gan.cyclegan import cameras
from crgan.gan.m2mgan import Training, guidance, load_renderer, train
from crgan.gan.pairs import Pairs
from crgan.train.checkpoint import Checkpoint
from tests.gan_fakes import HEIGHT, WIDTH, masks, task
from tests.translation_fakes import (
    OPTIONS,
    Killing,
    check_resumed,
    same,
    setting,
    still,
    weights_of,
)

OWN = {"lambda_view": 1.0, "view_width": 4}


def three_and_two() -> Task:
    """Cameras 1, 3, 5 in the source, 1 and 4 in the target."""
    t = task()
    t.source.camid[:] = np.array([1, 3, 5] * 3)
    return t


def started(**changes: Any) -> tuple[Training, Pairs]:
    training, pairs = setting(m2mgan, OWN, three_and_two(), **changes)
    return training, pairs


def run(seed: int = 0, options: dict[str, Any] | None = None, **more: Any) -> Trained:
    return train(three_and_two(), {**OPTIONS, **OWN, **(options or {})}, seed=seed, **more)


@pytest.fixture(scope="module")
def trained() -> Trained:
    """For tests that only read it."""
    return run()


def blind(training: Training) -> None:
    """Discriminators that decide 0 whatever comes: the generators learn nothing from them."""
    for d in (training.d_b, training.d_a):
        for p in d.parameters():
            nn.init.zeros_(p)


def test_cameras_are_classes_in_their_order() -> None:
    assert cameras(three_and_two()) == ([1, 3, 5], [1, 4])


def test_guidance_by_hand() -> None:
    start, end = torch.tensor([2, 0]), torch.tensor([1, 0])
    goes = [[0, 0, 1, 0, 1], [1, 0, 0, 1, 0]]
    stays = [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]
    assert guidance(start, 3, end, 2, 2).tolist() == goes
    assert guidance(start, 3, end, 2, 4).tolist() == [*goes, *stays]


def test_generators_see_where_a_image_comes_from_and_goes() -> None:
    """G: source cameras, then target cameras; F the other way round; back to where it was."""
    training, pairs = started()
    seen: dict[str, list[Tensor]] = {"g": [], "f": []}
    for name, codes in seen.items():
        getattr(training, name).register_forward_hook(
            lambda _m, args, _y, codes=codes: codes.append(args[1])
        )
    training.step(0, pairs)
    s, t = F.one_hot(pairs.y_j, 3).float(), F.one_hot(pairs.y_c, 2).float()
    no_s, no_t = torch.zeros_like(s), torch.zeros_like(t)
    there = torch.cat((torch.cat((s, t), 1), torch.cat((no_s, t), 1)))
    back = torch.cat((torch.cat((t, s), 1), torch.cat((no_t, s), 1)))
    assert torch.equal(seen["g"][0], there)  # x_a, and x_b to itself
    assert torch.equal(seen["f"][0], back)
    assert torch.equal(seen["f"][1], torch.cat((t, s), 1))  # G(x_a) home to its own camera
    assert torch.equal(seen["g"][1], torch.cat((s, t), 1))


def test_view_losses_are_cross_entropies_of_the_meant_cameras() -> None:
    training, pairs = started()
    fakes = training.translate(pairs)
    for v in (training.v_b, training.v_a):
        v.eval()
    with torch.no_grad():
        p_b, p_a = training.v_b(fakes.b).softmax(1), training.v_a(fakes.a).softmax(1)
    rows = torch.arange(3)
    expected = -p_b[rows, pairs.y_c].log().mean() - p_a[rows, pairs.y_j].log().mean()
    weight, value = training.more_terms(pairs, fakes)["view"]
    assert weight == 1
    torch.testing.assert_close(value.detach(), expected)
    assert training.v_b.training
    assert training.v_a.training


def test_classifiers_learn_from_real_images_alone() -> None:
    training, pairs = started()
    fakes = training.translate(pairs)
    other = replace(fakes, b=-fakes.b, a=-fakes.a)
    before = [weights_of(training.v_b), weights_of(training.v_a)]
    state = training.state_dict()
    state = {k: {n: p.clone() for n, p in state[k].items()} for k in ("v_b", "v_a")}
    first = training.more_updates(0, pairs, fakes)["loss_classifier"]
    for old, v in zip(before, (training.v_b, training.v_a), strict=True):
        assert still(old, v) == []
    for name, saved in state.items():
        getattr(training, name).load_state_dict(saved)
    assert torch.equal(training.more_updates(0, pairs, other)["loss_classifier"], first)
    assert all(p.grad is None for net in (training.g, training.f) for p in net.parameters())


def test_view_loss_teaches_the_generators_and_not_the_classifiers() -> None:
    training, pairs = started(lambda_cycle=0.0, lambda_identity=0.0)
    blind(training)
    nets = ("g", "f", "v_b", "v_a")
    before = {name: weights_of(getattr(training, name)) for name in nets}
    buffers = {k: v.clone() for k, v in training.v_b.named_buffers()}
    training._update_generators(pairs, training.translate(pairs), 1e-3)
    assert still(before["g"], training.g) == still(before["f"], training.f) == []
    for v, name in ((training.v_b, "v_b"), (training.v_a, "v_a")):
        assert same(before[name], v)
        assert all(p.grad is None and p.requires_grad for p in v.parameters())
    # statistics are those of real images
    assert all(torch.equal(v, buffers[k]) for k, v in training.v_b.named_buffers())


def test_sizes_of_its_networks() -> None:
    training, _ = started()
    assert training.conditions == 5
    logits = training.v_b(torch.rand(2, 3, 16, 8)), training.v_a(torch.rand(2, 3, 16, 8))
    assert [x.shape[1] for x in logits] == [2, 3]


def shades(first: int, step: int, camids: tuple[int, ...]) -> Split:
    """Two images a camera, each camera of a light of its own."""
    rng = np.random.default_rng(first)
    camid = np.repeat(np.array(camids), 2)
    light = first + step * np.repeat(np.arange(len(camids)), 2)
    images = rng.integers(0, 40, (len(camid), HEIGHT, WIDTH, 3)) + light[:, None, None, None]
    rows = np.arange(len(camid), dtype=np.int64)
    return Split(images.astype(np.uint8), np.ones_like(rows), camid, rows)


def test_learns_to_go_to_the_camera_it_is_told() -> None:
    """By heart: one source camera; the target's two differ in light, and G's images follow."""
    t = Task(shades(60, 0, (1,)), shades(20, 180, (1, 4)), masks(2), masks(4), HEIGHT, WIDTH)
    own = {**OWN, "flip": False, "enlarge": 1.0, "batch": 4, "width": 8, "lr": 0.006}
    trained = train(t, {**OPTIONS, **own, "iterations": 70}, seed=0)
    rows = trained.history.rows
    assert rows[-1]["loss_classifier"] < 0.2 * rows[0]["loss_classifier"]
    renderer = load_renderer({**trained.file, **trained.file["ab"]}, t, "cpu")
    x = torch.from_numpy(t.source.images.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    x, rows_of = x.repeat(10, 1, 1, 1), np.tile(np.arange(2), 10)
    x_g, camids = renderer.render_to(x, rows_of, np.random.default_rng(0))
    assert camids is not None
    dark, light = x_g[camids == 1].mean().item(), x_g[camids == 4].mean().item()
    grey = [t.target.images[t.target.camid == c].mean() / 127.5 - 1 for c in (1, 4)]
    assert [dark, light] == pytest.approx(grey, abs=0.2)


def test_renderings_go_from_the_own_to_random_cameras(trained: Trained) -> None:
    file = {**trained.file, **trained.file["ab"]}
    renderer = load_renderer(file, three_and_two(), "cpu")
    assert renderer.varies
    rows = np.arange(60) % 9
    x = torch.rand(60, 3, 16, 8) * 2 - 1
    x_g, camids = renderer.render_to(x, rows, np.random.default_rng(0))
    assert camids is not None
    assert min(Counter(camids.tolist()).values()) > 15
    assert set(camids.tolist()) == {1, 4}
    start = torch.from_numpy(rows % 3)
    end = torch.from_numpy((camids == 4).astype(np.int64))
    net = m2mgan.load_generator(file, "m2mgan", three_and_two(), "cpu")
    assert torch.equal(x_g, net(x, guidance(start, 3, end, 2, 60)))
    assert torch.equal(renderer.render(x, rows, np.random.default_rng(0)), x_g)


def test_both_directions(trained: Trained) -> None:
    file = {**trained.file, "domains": ["market1501", "dukemtmc"]}
    back = towards(file, "dukemtmc", "market1501")
    t = three_and_two()
    turned = Task(t.target, t.source, t.target_masks, t.source_masks, HEIGHT, WIDTH)
    renderer = load_renderer(back, turned, "cpu")
    x = torch.rand(30, 3, 16, 8) * 2 - 1
    _, camids = renderer.render_to(x, np.arange(30) % 10, np.random.default_rng(0))
    assert camids is not None
    assert set(camids.tolist()) == {1, 3, 5}


def test_a_camera_it_has_not_seen(trained: Trained) -> None:
    t = three_and_two()
    t.source.camid[4] = 6
    with pytest.raises(UserError, match="does not know camera 6 of the source"):
        load_renderer({**trained.file, **trained.file["ab"]}, t, "cpu")


@pytest.mark.parametrize("after", [4, 7])
def test_resumed_equals_uninterrupted(tmp_path: Path, after: int) -> None:
    path = tmp_path / "checkpoint.pt"
    check_resumed(run, tmp_path, Killing(path, after), Checkpoint(path, every=1e9))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lambda_view": -1.0}, r"m2mgan\.lambda_view is -1"),
        ({"view_width": 0}, r"m2mgan\.view_width is 0"),
        ({"lambda_1": 2.0}, r"m2mgan\.lambda_1: no such key"),
    ],
)
def test_bad_parameters(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(options=changes)


def test_is_found_by_its_name() -> None:
    assert load_translation("m2mgan").train is train
