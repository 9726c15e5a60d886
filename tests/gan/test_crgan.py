"""Algorithm 1, part II: schedule, what learns and what does not, ablations, resuming."""

from __future__ import annotations

import copy
import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.common.io import save_torch
from crgan.common.settings import settings_from
from crgan.gan import crgan, losses
from crgan.gan.base import Trained
from crgan.gan.crgan import Options, Training, Weights, load_generator, load_renderer, train
from crgan.gan.pairs import PairBatches, Pairs
from crgan.looks.samples import Sheet
from crgan.train.checkpoint import Checkpoint
from crgan.train.history import History
from tests.gan_fakes import GAN, LOSS, judges, task


def options(**changes: Any) -> Options:
    return settings_from(Options, {**GAN, **changes}, "gan")


def weights(**changes: float) -> Weights:
    return settings_from(Weights, {**LOSS, **changes}, "loss")


def setting(w: dict[str, float] | None = None, **changes: Any) -> tuple[Training, Pairs]:
    d_id, d_cam = judges()
    o = options(**changes)
    torch.manual_seed(0)
    training = Training(o, weights(**(w or {})), d_id.net, d_cam.net)
    t = task()
    y_j, y_c = d_id.labels(t.source.pid), d_cam.labels(t.target.camid)
    return training, next(PairBatches(t, y_j, y_c, o.batch, 0, "cpu", flip=o.flip))


def run(
    loss: dict[str, float] | None = None,
    seed: int = 0,
    gan: dict[str, Any] | None = None,
    **more: Any,
) -> Trained:
    return train(
        task(), *judges(), {**LOSS, **(loss or {})}, {**GAN, **(gan or {})}, seed=seed, **more
    )


def weights_of(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


def same(before: list[Tensor], net: nn.Module) -> bool:
    return all(map(torch.equal, before, weights_of(net)))


def test_learning_rate_constant_then_linear_to_zero() -> None:
    o = options(iterations=8, lr=0.4)
    rates = [o.lr_at(t) for t in range(9)]
    assert rates == pytest.approx([0.4, 0.4, 0.4, 0.4, 0.4, 0.3, 0.2, 0.1, 0.0])


def test_generator_is_updated_twice_in_the_second_half() -> None:
    assert [options(iterations=6).g_updates(t) for t in range(6)] == [1, 1, 1, 2, 2, 2]
    assert [options(iterations=3).g_updates(t) for t in range(3)] == [1, 1, 2]


@pytest.mark.parametrize(("t", "k"), [(0, 1), (4, 2)])
def test_a_step_updates_d_once_and_g_k_times(t: int, k: int) -> None:
    training, pairs = setting()
    counts = {"g": 0, "d_d": 0}
    for name, adam in (("g", training.adam_g), ("d_d", training.adam_d)):
        adam.register_step_post_hook(lambda *_, n=name: counts.__setitem__(n, counts[n] + 1))
    training.step(t, pairs)
    assert counts == {"g": k, "d_d": 1}
    lr = training.options.lr_at(t)
    assert training.adam_g.param_groups[0]["lr"] == training.adam_d.param_groups[0]["lr"] == lr


def test_both_updates_use_the_same_pairs_and_new_weights() -> None:
    training, pairs = setting()
    seen = []
    training.g.register_forward_hook(lambda _m, args, out: seen.append((args[0], out.detach())))
    training.step(4, pairs)
    (first_in, first_out), (second_in, second_out) = seen
    assert first_in is second_in is pairs.x_s
    assert not torch.equal(first_out, second_out)


def test_everything_that_learns_learns_and_the_judges_do_not() -> None:
    training, pairs = setting()
    judges_before = [copy.deepcopy(net.state_dict()) for net in (training.d_id, training.d_cam)]
    before = {net: weights_of(getattr(training, net)) for net in ("g", "d_d")}
    training.step(0, pairs)
    for name, old in before.items():
        net = getattr(training, name)
        still = [
            n for (n, p), b in zip(net.named_parameters(), old, strict=True) if torch.equal(p, b)
        ]
        assert still == []
        assert all(p.grad is not None for p in net.parameters())
    for net, old_state in zip((training.d_id, training.d_cam), judges_before, strict=True):
        assert not net.training
        assert all(not p.requires_grad and p.grad is None for p in net.parameters())
        assert all(torch.equal(v, old_state[k]) for k, v in net.state_dict().items())


@pytest.mark.parametrize("only", ["lambda_adv", "lambda_id", "lambda_cam", "lambda_con"])
def test_each_loss_alone_moves_the_generator(only: str) -> None:
    """The gradient goes through the frozen judges and through D_d into G."""
    training, pairs = setting({name: float(name == only) for name in LOSS})
    noted = training.step(0, pairs)
    assert set(noted) - {"loss_d"} == {only.replace("lambda", "loss"), "loss_g"}
    assert all(p.grad is not None for p in training.g.parameters())
    assert training.g.theta_s.weight.grad is not None
    assert training.g.theta_s.weight.grad.abs().sum() > 0


def test_eq8_is_the_weighted_sum() -> None:
    training, pairs = setting()
    n = training.step(0, pairs)
    expected = 2 * n["loss_adv"] + n["loss_id"] + n["loss_cam"] + 5 * n["loss_con"]
    torch.testing.assert_close(n["loss_g"], expected)


def test_gradients_of_g_do_not_leak_into_d() -> None:
    """D_d's step follows from eq. (4) alone, whatever G's update did before."""
    training, pairs = setting()
    training.step(0, pairs)
    old = weights_of(training.d_d)
    training._update_g(training.g(pairs.x_s, pairs.x_t, pairs.m_t), pairs, 1e-3)
    assert same(old, training.d_d)


def test_without_adversarial_loss_d_is_left_alone() -> None:
    training, pairs = setting({"lambda_adv": 0.0})
    old = weights_of(training.d_d)
    noted = training.step(0, pairs)
    assert same(old, training.d_d)
    assert "loss_d" not in noted


@pytest.mark.parametrize("name", ["id", "cam"])
def test_a_loss_of_weight_zero_is_not_computed(name: str) -> None:
    training, pairs = setting({f"lambda_{name}": 0.0})
    getattr(training, f"d_{name}").register_forward_hook(lambda *_: pytest.fail("was called"))
    assert f"loss_{name}" not in training.step(0, pairs)


@pytest.mark.parametrize("masked", [False, True])
def test_context_target_masked(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eq. (6) prints M_B alone; the option takes the target's person out of it."""
    training, pairs = setting(context_target_masked=masked)
    pairs = replace(pairs, m_t=torch.ones_like(pairs.m_t))
    seen = []
    real = losses.context
    monkeypatch.setattr(losses, "context", lambda *a: (seen.append(a[4]), real(*a))[1])
    training.step(0, pairs)
    expected = torch.zeros_like(pairs.m_f) if masked else 1 - pairs.m_f
    assert torch.equal(seen[0], expected)


def test_context_loss_goes_down_on_one_batch() -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    alone = {"lambda_adv": 0.0, "lambda_id": 0.0, "lambda_cam": 0.0}
    training, pairs = setting(alone, iterations=400, lr=0.003, width=8)
    course = [training.step(t, pairs)["loss_con"].item() for t in range(120)]
    assert course[-1] < 0.15 * course[0]


def test_history_has_losses_and_rates(tmp_path: Path) -> None:
    trained = run()
    trained.history.write(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["iteration"]) for r in rows] == [3, 6, 8]
    assert [float(r["lr"]) for r in rows] == pytest.approx([2e-4, 1.5e-4, 0.5e-4])
    assert tuple(rows[0]) == ("iteration", "lr", *crgan.LOSSES)
    assert all(np.isfinite(float(r[name])) for r in rows for name in crgan.LOSSES)


def test_history_of_an_ablation_has_empty_cells(tmp_path: Path) -> None:
    run({"lambda_id": 0.0}).history.write(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        assert {(r["loss_id"], r["loss_con"] == "") for r in csv.DictReader(file)} == {("", False)}


def test_seed_decides() -> None:
    first, again, other = run(seed=0), run(seed=0), run(seed=1)
    assert outputs(first) == outputs(again)
    assert outputs(first) != outputs(other)


def outputs(trained: Trained) -> tuple[list[bytes], list[Any]]:
    return [v.numpy().tobytes() for v in trained.file["state"].values()], trained.history.rows


class Stop(Exception):
    """The kill."""


class Killing(Checkpoint):
    """Saves at the first opportunity after `after` iterations, then stops the process' stand-in."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(path, every=0)
        self.after = after

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        if state["history"]["iteration"] == self.after:
            raise Stop


def files(folder: Path, checkpoint: Checkpoint | None = None) -> list[bytes]:
    folder.mkdir()
    sheet = Sheet()
    trained = run(checkpoint=checkpoint, watch=sheet)
    save_torch(folder / "gan.pt", trained.file)
    trained.history.write(folder / "gan.csv")
    sheet.write(folder / "gan.png")
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("after", [2, 4, 7])  # inside a history row, at a sample grid, twice G
def test_resumed_equals_uninterrupted(tmp_path: Path, after: int) -> None:
    checkpoint = Killing(tmp_path / "checkpoint.pt", after)
    with pytest.raises(Stop):
        run(checkpoint=checkpoint, watch=Sheet())
    torch.manual_seed(99)  # another process, another state
    again = Checkpoint(tmp_path / "checkpoint.pt", every=1e9)
    expected = files(tmp_path / "whole")
    assert files(tmp_path / "resumed", again) == expected
    assert len(expected) == 3


def test_a_resumed_run_does_only_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stop):
        run(checkpoint=Killing(tmp_path / "checkpoint.pt", 5))
    done: list[int] = []
    step = Training.step
    monkeypatch.setattr(Training, "step", lambda self, t, p: (done.append(t), step(self, t, p))[1])
    run(checkpoint=Checkpoint(tmp_path / "checkpoint.pt", every=1e9))
    assert done == [5, 6, 7]


class Watching:
    """Notes when it looks and what the history holds then; at `fails` its disk is full."""

    def __init__(self, fails: int = 0) -> None:
        self.seen: list[tuple[int, int]] = []
        self.fails = fails

    def __call__(self, iteration: int, history: History, learning: Training) -> None:
        if iteration == self.fails:
            raise OSError("No space left on device")
        assert list(learning.preview().outputs) == ["X_R", "X_C", "X_G"]
        self.seen.append((iteration, len(history.rows)))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def test_somebody_looks_at_every_sample_interval() -> None:
    watch = Watching()
    run(watch=watch)
    assert watch.seen == [(4, 1), (8, 3)]


def test_a_look_that_fails_is_a_warning_and_training_goes_on() -> None:
    watch = Watching(fails=4)
    with pytest.warns(UserWarning, match="no look at iteration 4: No space left on device"):
        trained = run(watch=watch)
    assert watch.seen == [(8, 3)]
    assert outputs(trained) == outputs(run())


def test_divergence_names_iteration_and_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def camera(logits: Tensor, y_c: Tensor) -> Tensor:
        calls.append(1)
        return logits.sum() * (float("nan") if len(calls) >= 2 else 1.0)

    monkeypatch.setattr(losses, "camera", camera)
    with pytest.raises(UserError, match=r"iteration 2: loss_cam is nan.*its lr"):
        run()


def test_a_diverged_state_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "camera", lambda logits, _: logits.sum() * float("inf"))
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", every=0)
    with pytest.raises(UserError, match="iteration 1: loss_cam is"):
        run(checkpoint=checkpoint)
    assert not checkpoint.path.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": 1}, r"gan\.noise: no such key"),
        ({"context_norm": "l1"}, r"gan\.context_norm is 'l1'"),
        ({"lr": "2e-4"}, r"gan\.lr is '2e-4'; it must be a number"),
        ({"batch": True}, r"gan\.batch is True"),
        ({"adam_betas": [0.5]}, r"gan\.adam_betas"),
        ({"levels": 5}, r"16x8.*multiples of 32"),
        ({"discriminator_layers": 2}, "too small for gan.discriminator_layers 2"),
        ({"pathway_kernel": 4}, "must be odd"),
        ({"upsampling": "cubic"}, r"gan\.upsampling is 'cubic'"),
        ({"iterations": 0}, r"gan\.iterations is 0"),
    ],
)
def test_bad_parameters(changes: dict[str, Any], message: str) -> None:

    with pytest.raises(UserError, match=message):
        run(gan=changes)


def test_missing_parameter_and_no_loss() -> None:
    gan = {k: v for k, v in GAN.items() if k != "flip"}
    with pytest.raises(UserError, match=r"gan\.flip is missing"):
        train(task(), *judges(), LOSS, gan, seed=0)
    with pytest.raises(UserError, match="nothing to learn"):
        run(dict.fromkeys(LOSS, 0.0))


def test_labels_the_judges_do_not_know() -> None:
    d_id, d_cam = judges()
    with pytest.raises(UserError, match=r"d_id\.pt: does not know 12"):
        train(task(), replace(d_id, classes=(3, 7, 8)), d_cam, LOSS, GAN, seed=0)
    with pytest.raises(UserError, match=r"d_cam\.pt: does not know 4"):
        train(task(), d_id, replace(d_cam, classes=(1, 5)), LOSS, GAN, seed=0)


def test_renderer_draws_random_targets() -> None:
    trained, t = run(), task()
    renderer = load_renderer(trained.file, t, "cpu")
    x_s = torch.rand(4, 3, 16, 8) * 2 - 1
    rows = np.arange(4)
    first, again, other = (renderer.render(x_s, rows, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.shape == x_s.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not first.requires_grad


def test_without_dual_condition_renderings_do_not_depend_on_the_target() -> None:
    renderer = load_renderer(run(gan={"dual_condition": False}).file, task(), "cpu")
    x_s = torch.rand(4, 3, 16, 8) * 2 - 1
    one, two = (renderer.render(x_s, np.arange(4), np.random.default_rng(s)) for s in (1, 2))
    assert torch.equal(one, two)


def test_a_gan_file_makes_the_generator_again(tmp_path: Path) -> None:
    trained = run()
    save_torch(tmp_path / "gan.pt", trained.file)
    loaded = torch.load(tmp_path / "gan.pt", weights_only=True)
    generator = load_generator(loaded, "cpu")
    for name, value in generator.state_dict().items():
        assert torch.equal(value, trained.file["state"][name])
    assert not any(p.requires_grad for p in generator.parameters())
    assert not generator.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "reid"}, r"gan\.pt: kind and model are \('reid', 'crgan'\)"),
        ({"model": "spgan"}, "'spgan'"),
        ({"state": {}}, r"gan\.pt: does not fit"),
        ({"config": {"width": 4}}, r"gan\.pt: does not fit"),
    ],
)
def test_wrong_gan_file(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_generator({**run().file, **change}, "cpu", "gan.pt")


def test_renderer_refuses_another_size() -> None:
    file = run().file
    file["config"]["height"] = 32
    with pytest.raises(UserError, match=r"32x8.*16x8"):
        load_renderer(file, task(), "cpu")


def test_rows_of_the_history_cover_every_iteration() -> None:
    rows = [0, *(int(r["iteration"]) for r in run(gan={"history_every": 5}).history.rows)]
    assert all(after - before <= 5 for before, after in pairwise(rows))
    assert rows[-1] == GAN["iterations"]
