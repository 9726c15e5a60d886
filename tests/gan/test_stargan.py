"""StarGAN: networks of the release's sizes, losses by hand, a tiny set learned, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.data.store import Split
from crgan.gan import stargan
from crgan.gan.pairs import Pairs
from crgan.gan.stargan import Options, Styles, Training, gradient_penalty, train
from crgan.nets.stargan import StarDiscriminator, StarGenerator
from crgan.train.checkpoint import Checkpoint
from tests.adapt_fakes import Killed, KilledAfter, equal, target

OPTIONS: dict[str, Any] = {
    "iterations": 4, "batch": 3, "lr": 1e-3, "adam_betas": [0.5, 0.999], "constant_share": 0.5,
    "n_critic": 2, "lambda_cls": 1.0, "lambda_rec": 10.0, "lambda_gp": 10.0, "flip": True,
    "enlarge": 1.125, "width": 4, "blocks": 1, "kernel": 7, "discriminator_width": 4,
    "discriminator_layers": 3, "history_every": 2,
}  # fmt: skip


def options(**changes: Any) -> Options:
    return settings_from(Options, {**OPTIONS, **changes}, "stargan")


def crops() -> Split:
    t = target()
    rows = np.arange(len(t))
    return Split(t.images, np.full(len(t), -2), t.camid, rows)


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_networks_are_those_of_the_release() -> None:
    # counted by hand from the release's layers, 64 wide, 6 blocks or layers, 5 domains
    assert parameters(StarGenerator(64, 6, 5)) == 8_430_528
    assert parameters(StarDiscriminator(64, 6, 5, 128, 128)) == 44_762_048
    # HHL's class head covers 4x2 places of images of 256x128: 2048 x 8 weights a camera
    assert StarDiscriminator(64, 6, 8, 256, 128).classify.weight.shape == (8, 2048, 4, 2)


def test_shapes() -> None:
    x, c = torch.rand(2, 3, 64, 32), torch.tensor([0, 5])
    y = StarGenerator(4, 2, 6)(x, c)
    assert y.shape == x.shape
    assert y.abs().max() <= 1
    src, cls = StarDiscriminator(4, 4, 6, 64, 32)(x)
    assert (src.shape, cls.shape) == ((2, 1, 4, 2), (2, 6))
    with pytest.raises(ValueError, match="5 strided layers on images of 48x32"):
        StarDiscriminator(4, 5, 6, 48, 32)


def test_the_generator_hears_the_domain() -> None:
    torch.manual_seed(0)
    g = StarGenerator(4, 1, 3)
    x = torch.rand(1, 3, 16, 8).expand(2, -1, -1, -1)
    a, b = g(x, torch.tensor([0, 2]))
    assert not torch.allclose(a, b, atol=1e-4)
    same_a, same_b = g(x, torch.tensor([1, 1]))
    assert torch.equal(same_a, same_b)


class Slope(nn.Module):
    """D_src(x) = a . x, whose slope is a everywhere."""

    def __init__(self, a: Tensor) -> None:
        super().__init__()
        self.a = nn.Parameter(a)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1) @ self.a, x


def test_gradient_penalty_by_hand() -> None:
    d = Slope(torch.tensor([3.0] + [0.0] * 10 + [4.0]))
    x, fake = torch.rand(2, 5, 3, 2, 2)
    penalty = gradient_penalty(d, x, fake)  # type: ignore[arg-type]
    assert penalty.item() == pytest.approx((5 - 1) ** 2)
    penalty.backward()
    # d/da (|a| - 1)^2 = 2 (|a| - 1) a / |a|
    assert d.a.grad is not None
    assert d.a.grad[[0, 1, 11]].tolist() == pytest.approx([8 * 3 / 5, 0, 8 * 4 / 5])


def batch(o: Options) -> Pairs:
    x = torch.rand(o.batch, 3, 32, 16) * 2 - 1
    none = torch.zeros(o.batch, 1, 32, 16)
    return Pairs(x, x, none, none, torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0]))


def test_a_step_notes_the_losses_as_written() -> None:
    torch.manual_seed(0)
    o = options(n_critic=1, lambda_gp=0.0, lr=1e-9)  # so small that nothing moves
    training, pairs = Training(o, 3, (32, 16)), batch(o)
    with torch.no_grad():
        fake = training.g(pairs.x_s, pairs.y_c)
        src, cls = training.d(pairs.x_s)
        fake_src, fake_cls = training.d(fake)
        back = training.g(fake, pairs.y_j)
    noted = training.step(0, pairs)
    assert tuple(noted) == Training.losses
    wanted = {
        "loss_d": fake_src.mean() - src.mean(),
        "loss_cls_real": F.cross_entropy(cls, pairs.y_j),
        "loss_adv": -fake_src.mean(),
        "loss_cls": F.cross_entropy(fake_cls, pairs.y_c),
        "loss_rec": F.l1_loss(back, pairs.x_s),
    }
    for name, value in wanted.items():
        assert noted[name].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-5), name


def test_d_learns_each_time_and_g_every_n_critic_th() -> None:
    torch.manual_seed(0)
    o = options(n_critic=3, iterations=20)
    training, pairs = Training(o, 3, (32, 16)), batch(o)
    for t in range(6):
        old = {n: [p.detach().clone() for p in getattr(training, n).parameters()] for n in "gd"}
        training.step(t, pairs)
        for n, due in (("d", True), ("g", t % 3 == 2)):
            for a, b in zip(old[n], getattr(training, n).parameters(), strict=True):
                assert torch.equal(a, b) is not due, n


def test_it_learns_a_tiny_set() -> None:
    o = options(
        iterations=80, n_critic=1, batch=4, width=8, lr=3e-3, flip=False, enlarge=1.0,
        history_every=10,
    )  # fmt: skip
    trained = train(crops(), o, seed=0)
    first, last = trained.history.rows[0], trained.history.rows[-1]
    assert last["loss_cls_real"] < 0.3 * first["loss_cls_real"]
    assert last["loss_rec"] < 0.7 * first["loss_rec"]
    assert last["loss_cls"] < first["loss_cls"]


def test_rate_is_constant_then_falls_to_zero() -> None:
    o = options(iterations=8, lr=0.4)
    assert [o.lr_at(t) for t in (0, 4, 6, 8)] == pytest.approx([0.4, 0.4, 0.2, 0.0])


def test_styles_of_each_camera() -> None:
    file = train(crops(), options(iterations=2), seed=0).file
    styles = Styles(file)
    assert styles.camids == (2, 3, 5)
    images = target().images
    into = np.zeros((9, 3, *images.shape[1:]), np.uint8)
    styles.of(images[:4], into)
    styles.of(images[4:], into, 4)
    alone = np.zeros_like(into[:1])
    styles.of(images[7:8], alone)
    assert np.abs(into[7].astype(int) - alone[0].astype(int)).max() <= 1
    assert not np.array_equal(into[:, 0], into[:, 2])


@pytest.mark.parametrize("saves", [1, 3])
def test_resumed_equals_uninterrupted(tmp_path: Path, saves: int) -> None:
    whole = train(crops(), options(), seed=3)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        train(crops(), options(), seed=3, checkpoint=KilledAfter(path, saves))
    torch.manual_seed(99)
    again = train(crops(), options(), seed=3, checkpoint=Checkpoint(path, every=0))
    assert equal(whole.file, again.file)
    assert whole.history.rows == again.history.rows


def test_what_it_cannot_do_is_told() -> None:
    with pytest.raises(UserError, match=r"32x16: both must be multiples of 32"):
        train(crops(), options(discriminator_layers=5), seed=0)
    with pytest.raises(UserError, match=r"stargan\.n_critic is 0"):
        options(n_critic=0)
    with pytest.raises(UserError, match=r"stargan\.kernel is 2; it must be odd"):
        options(kernel=2)
    with pytest.raises(UserError, match="expected"):
        Styles({"kind": "gan", "model": "spgan"})
    file = train(crops(), options(iterations=1), seed=0).file
    with pytest.raises(UserError, match="does not fit"):
        Styles({**file, "config": {"width": 8, "blocks": 1, "kernel": 7}})
    assert file["model"] == stargan.MODEL
