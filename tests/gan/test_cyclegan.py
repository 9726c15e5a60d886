"""CycleGAN: its losses, what learns from what, the history, both directions, resuming."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.cyclegan_step import Plain
from crgan.common.errors import UserError
from crgan.common.io import save_torch
from crgan.common.settings import settings_from
from crgan.gan import cyclegan, losses
from crgan.gan.base import Trained, load_translation, towards
from crgan.gan.cyclegan import Options, Training, l1, load_renderer, train
from crgan.gan.pairs import Pairs
from crgan.gan.pool import Pool
from crgan.looks.samples import Sheet
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import Compute
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

NETS = ("g", "f", "d_b", "d_a")
# a task small enough to be learned by heart
BY_HEART = {"flip": False, "enlarge": 1.0, "batch": 2, "width": 8, "lr": 0.003}


def options(**changes: Any) -> Options:
    return settings_from(Options, {**OPTIONS, **changes}, "cyclegan")


def started(**changes: Any) -> tuple[Training, Pairs]:
    training, pairs = setting(cyclegan, {}, **changes)
    return training, pairs


def run(seed: int = 0, options: dict[str, Any] | None = None, **more: Any) -> Trained:
    return train(task(), {**OPTIONS, **(options or {})}, seed=seed, **more)


@pytest.fixture(scope="module")
def trained() -> Trained:
    """For tests that only read it."""
    return run()


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]), (1.0, [1] * 8), (0.0, [1 - t / 8 for t in range(8)])],
)
def test_learning_rate_constant_then_linear_to_zero(share: float, expected: list[float]) -> None:
    o = options(constant_share=share, lr=2.0)
    assert [o.lr_at(t) / 2 for t in range(8)] == pytest.approx(expected)


def test_l1_by_hand() -> None:
    assert l1(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])).item() == 1.5


def test_losses_are_those_of_the_paper() -> None:
    """Each image through its networks one at a time, by the equations."""
    training, pairs = started()
    g, f, d_b, d_a = (getattr(training, name) for name in NETS)
    a, b = pairs.x_s, pairs.x_t
    with torch.no_grad():
        expected = {
            "loss_adv": ((d_b(g(a)) - 1) ** 2).mean() + ((d_a(f(b)) - 1) ** 2).mean(),
            "loss_cycle": (f(g(a)) - a).abs().mean() + (g(f(b)) - b).abs().mean(),
            "loss_identity": (g(b) - b).abs().mean() + (f(a) - a).abs().mean(),
            "loss_d": 0.5 * sum(
                ((d(x) - 1) ** 2).mean() + (d(made) ** 2).mean()
                for d, x, made in ((d_b, b, g(a)), (d_a, a, f(b)))
            ),
        }  # fmt: skip
    noted = training.step(0, pairs)
    assert set(noted) == set(expected) == set(Training.losses)
    for name, value in expected.items():
        assert noted[name].item() == pytest.approx(float(value), rel=1e-4), name


def test_terms_are_weighed_and_added(monkeypatch: pytest.MonkeyPatch) -> None:
    training, pairs = started()
    seen: list[Tensor] = []
    descend = Compute.descend

    def noting(self: Compute, adam: torch.optim.Optimizer, loss: Tensor, lr: float) -> None:
        seen.append(loss)
        descend(self, adam, loss, lr)

    monkeypatch.setattr(Compute, "descend", noting)
    n = training.step(0, pairs)
    expected = n["loss_adv"] + 10 * n["loss_cycle"] + 5 * n["loss_identity"]
    torch.testing.assert_close(seen[0], expected)
    torch.testing.assert_close(seen[1], n["loss_d"])
    assert len(seen) == 2


def test_iterations_are_those_of_a_plain_implementation() -> None:
    """One pass an image, layers as they are usually written, Adam as it comes: the same course.

    The pools hold no more than the new images here, so that chance has no part.
    """
    training, pairs = started(pool=50, lr=0.002)
    plain = Plain(training.options)
    plain.copy(training)
    for t in range(4):
        ours, theirs = training.step(t, pairs), plain.step(pairs.x_s, pairs.x_t)
        for name, value in theirs.items():
            assert ours[name].item() == pytest.approx(value.item(), rel=2e-3), (t, name)
    torch.testing.assert_close(training.g(pairs.x_s), plain.g(pairs.x_s), rtol=0.02, atol=0.01)


def test_everything_learns_in_one_iteration() -> None:
    training, pairs = started()
    before = {name: weights_of(getattr(training, name)) for name in NETS}
    training.step(0, pairs)
    for name, weights in before.items():
        assert still(weights, getattr(training, name)) == []
        assert all(p.requires_grad for p in getattr(training, name).parameters())


def test_generators_update_leaves_the_discriminators_alone() -> None:
    training, pairs = started()
    before = [weights_of(training.d_b), weights_of(training.d_a)]
    training._update_generators(pairs, training.translate(pairs), 1e-3)
    for old, d in zip(before, (training.d_b, training.d_a), strict=True):
        assert same(old, d)
        assert all(p.grad is None and p.requires_grad for p in d.parameters())


def test_discriminators_update_leaves_the_generators_alone() -> None:
    training, pairs = started()
    before = [weights_of(training.g), weights_of(training.f)]
    training._update_discriminators(pairs, training.translate(pairs), 1e-3)
    for old, net in zip(before, (training.g, training.f), strict=True):
        assert same(old, net)
        assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("only", ["cycle", "identity"])
def test_cycle_and_identity_teach_both_generators(only: str) -> None:
    weights = {f"lambda_{name}": float(name == only) for name in ("cycle", "identity")}
    training, pairs = started(**weights)
    for d in (training.d_b, training.d_a):  # decisions of 0 whatever comes: nothing from them
        for p in d.parameters():
            nn.init.zeros_(p)
    training.step(0, pairs)
    for net in (training.g, training.f):
        assert all(p.grad is not None and p.grad.any() for n, p in net.named_parameters()
                   if n.endswith("weight"))  # fmt: skip


def test_without_identity_mapping_nothing_is_spent_on_it() -> None:
    training, pairs = started(lambda_identity=0.0)
    sizes: list[int] = []
    training.g.register_forward_hook(lambda _m, args, _y: sizes.append(len(args[0])))
    assert "loss_identity" not in training.step(0, pairs)
    assert sizes == [3, 3]  # G(x_a), G(F(x_b))


def test_identity_mapping_shares_the_pass() -> None:
    training, pairs = started()
    sizes: list[int] = []
    training.g.register_forward_hook(lambda _m, args, _y: sizes.append(len(args[0])))
    training.step(0, pairs)
    assert sizes == [6, 3]


def test_discriminators_see_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is judged as a fake is what the pool hands out, and never carries gradients."""
    training, pairs = started()
    old = torch.full_like(pairs.x_t, 0.25)
    monkeypatch.setattr(training.pool_b, "swap", lambda fake: old)
    seen: list[Tensor] = []
    real = losses.adversarial_d

    def noting(r: Tensor, f: Tensor) -> Tensor:
        seen.append(f.detach())
        return real(r, f)

    monkeypatch.setattr(losses, "adversarial_d", noting)
    expected = training.d_b(old).detach()
    training._update_discriminators(pairs, training.translate(pairs), 1e-3)
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-6)


def numbered(*numbers: int) -> Tensor:
    return torch.tensor(numbers).float()[:, None, None, None].expand(-1, 3, 2, 2)


def numbers(images: Tensor) -> list[int]:
    return [int(n) for n in images[:, 0, 0, 0]]


def test_pool_returns_what_comes_until_it_is_full() -> None:
    pool = Pool(5, 0)
    assert numbers(pool.swap(numbered(0, 1, 2))) == [0, 1, 2]
    assert numbers(pool.swap(numbered(3, 4))) == [3, 4]


def test_full_pool_hands_out_older_images_half_of_the_time() -> None:
    pool, given = Pool(5, 0), []
    for n in range(2000):
        given += numbers(pool.swap(numbered(n)))
    later = np.array(given[5:])
    assert np.mean(later < np.arange(5, 2000)) == pytest.approx(0.5, abs=0.04)
    assert (later <= np.arange(5, 2000)).all()
    assert pool._kept is not None
    kept = numbers(pool._kept)
    assert len(set(kept)) == 5
    # an image leaves when it is handed out; the first five were handed out as they came, too
    assert len(set(later)) == len(later)
    assert set(later) | set(kept) | set(range(5)) == set(range(2000))
    ages = np.arange(5, 2000) - later
    assert ages[ages > 0].mean() == pytest.approx(2 * 5, rel=0.15)  # replaced every 10th time


def test_pool_of_size_0_and_gradients() -> None:
    x = numbered(1, 2).clone().requires_grad_()
    assert torch.equal(Pool(0, 0).swap(x), x)
    assert not Pool(0, 0).swap(x).requires_grad
    pool = Pool(1, 0)
    assert not pool.swap(x).requires_grad
    before = x.detach().clone()
    pool.swap(x)
    assert torch.equal(x, before)


def test_pool_goes_on_where_it_was() -> None:
    pool = Pool(4, 0)
    for n in range(10):
        pool.swap(numbered(n))
    state = pool.state_dict()
    expected = [numbers(pool.swap(numbered(n))) for n in range(10, 30)]
    again = Pool(4, 7)
    again.load_state_dict(state)
    assert [numbers(again.swap(numbered(n))) for n in range(10, 30)] == expected
    empty = Pool(4, 0)
    again.load_state_dict(empty.state_dict())
    assert numbers(again.swap(numbered(1, 2))) == [1, 2]


def test_learns_two_images_of_each_domain_by_heart() -> None:
    """Dark noise becomes light and light noise dark, and both find their way back."""
    t = task(2, 2)
    trained = train(t, {**OPTIONS, **BY_HEART, "iterations": 60, "lambda_identity": 0.0}, seed=0)
    first, last = trained.history.rows[0], trained.history.rows[-1]
    assert last["loss_cycle"] < 0.25 * first["loss_cycle"]
    for way, start, end in (("ab", t.source, t.target), ("ba", t.target, t.source)):
        file = {**trained.file, **trained.file[way]}
        turned = t if way == "ab" else task_turned(t)
        renderer = load_renderer(file, turned, "cpu")
        x = torch.from_numpy(start.images.copy()).permute(0, 3, 1, 2) / 127.5 - 1
        made = (renderer.render(x, np.arange(2), np.random.default_rng(0)) + 1) * 127.5
        assert made.mean().item() == pytest.approx(end.images.mean(), abs=10)
        assert abs(start.images.mean() - end.images.mean()) > 100


def task_turned(t: Any) -> Any:
    return type(t)(t.target, t.source, t.target_masks, t.source_masks, t.height, t.width)


def test_one_training_serves_both_directions(trained: Trained, tmp_path: Path) -> None:
    save_torch(tmp_path / "gan.pt", {**trained.file, "domains": ["market1501", "dukemtmc"]})
    file = torch.load(tmp_path / "gan.pt", weights_only=True)
    there = towards(file, "market1501", "dukemtmc")
    back = towards(file, "dukemtmc", "market1501")
    assert (there["from"], there["to"]) == (back["to"], back["from"]) == ([1, 2], [1, 4])
    rows, rng, x = np.arange(2), np.random.default_rng(0), torch.rand(2, 3, 16, 8) * 2 - 1
    made = [load_renderer(one, task(), "cpu").render_to(x, rows, rng) for one in (there, back)]
    assert made[0][1] is made[1][1] is None
    for (x_g, _), key in zip(made, ("ab", "ba"), strict=True):
        net = cyclegan.ResnetGenerator(4, 1)
        net.load_state_dict(trained.file[key]["state"])
        assert torch.equal(x_g, net(x).detach())
    assert not torch.equal(made[0][0], made[1][0])
    with pytest.raises(UserError, match="between market1501 and dukemtmc, not cuhk03 to dukemtmc"):
        towards(file, "cuhk03", "dukemtmc")


def test_renderings_do_not_vary(trained: Trained) -> None:
    renderer = load_renderer({**trained.file, **trained.file["ab"]}, task(), "cpu")
    x = torch.rand(2, 3, 16, 8) * 2 - 1
    one, two = (renderer.render(x, np.arange(2), np.random.default_rng(s)) for s in (1, 2))
    assert torch.equal(one, two)
    assert not renderer.varies
    assert not one.requires_grad


@pytest.mark.parametrize("after", [2, 4, 7])  # inside a history row, at a sample grid, lr falling
def test_resumed_equals_uninterrupted(tmp_path: Path, after: int) -> None:
    path = tmp_path / "checkpoint.pt"
    check_resumed(run, tmp_path, Killing(path, after), Checkpoint(path, every=1e9))


def test_seed_decides(trained: Trained) -> None:
    first, again, other = trained, run(seed=0), run(seed=1)

    def outputs(trained: Trained) -> list[Any]:
        states = [trained.file[way]["state"].values() for way in ("ab", "ba")]
        return [[v.numpy().tobytes() for v in state] for state in states]

    assert outputs(first) == outputs(again)
    assert outputs(first) != outputs(other)


def test_history_and_previews(tmp_path: Path) -> None:
    sheet = Sheet(tmp_path)
    trained = run(watch=sheet)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "history.csv", "samples-000004.png", "samples-000008.png",
    ]  # fmt: skip
    trained.history.write(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["iteration"]) for r in rows] == [3, 6, 8]
    assert [float(r["lr"]) for r in rows] == pytest.approx([2e-4, 1.5e-4, 0.5e-4])
    assert tuple(rows[0]) == ("iteration", "lr", *Training.losses)
    assert all(np.isfinite(float(r[name])) for r in rows for name in Training.losses)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": 1}, r"cyclegan\.noise: no such key"),
        ({"lr": 0.0}, r"cyclegan\.lr is 0\.0"),
        ({"constant_share": 1.5}, r"cyclegan\.constant_share is 1\.5"),
        ({"enlarge": 0.5}, r"enlarge is 0\.5"),
        ({"batch": 0}, r"cyclegan\.batch is 0"),
        ({"blocks": 0}, r"cyclegan\.blocks is 0"),
        ({"kernel": 4}, r"cyclegan\.kernel is 4; it must be odd"),
        ({"pool": -1}, r"cyclegan\.pool is -1"),
        ({"lambda_cycle": -1.0}, r"cyclegan\.lambda_cycle is -1"),
        ({"discriminator_layers": 2}, "too small for cyclegan.discriminator_layers 2"),
    ],
)
def test_bad_parameters(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(options=changes)


@pytest.mark.parametrize("size", [(6, 8), (16, 4)])
def test_sizes_the_generator_cannot_take(size: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="multiples of 4 from 8"):
        options().check_size(*size)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "reid"}, r"kind and model are \('reid', 'cyclegan'\)"),
        ({"model": "spgan"}, "'spgan'"),
        ({"state": {}}, "does not fit this code"),
        ({"config": {"width": 4}}, "does not fit this code"),
    ],
)
def test_wrong_gan_file(trained: Trained, change: dict[str, Any], message: str) -> None:
    file = trained.file
    with pytest.raises(UserError, match=message):
        load_renderer({**file, **file["ab"], **change}, task(), "cpu")


def test_renderer_refuses_another_size(trained: Trained) -> None:
    file = {**trained.file, "config": {**trained.file["config"], "height": 32}}
    with pytest.raises(UserError, match=r"32x8.*16x8"):
        load_renderer({**file, **file["ab"]}, task(), "cpu")


def test_is_found_by_its_name() -> None:
    assert load_translation("cyclegan").train is train
