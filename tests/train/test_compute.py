"""Number format, memory order and compilation as parameters, and the one step of an optimizer."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.gan import crgan
from crgan.nets.camera import CameraNet
from crgan.nets.generator import Generator
from crgan.pipeline import params as parameters
from crgan.reid.pretrain import Start, pretrain_id
from crgan.train.classifier import Recipe
from crgan.train.compute import PLAIN, Compute
from crgan.train.optimizers import SGD, Adam
from tests.gan_fakes import GAN, LOSS, judges, task

RUN = {"device": "cpu", "threads": 1}


def train(compute: Compute) -> dict[str, Tensor]:
    section = {**GAN, "iterations": 3}
    trained = crgan.train(task(), *judges(), LOSS, section, seed=0, compute=compute)
    state: dict[str, Tensor] = trained.file["state"]
    return state


def apart(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[k] - b[k]).abs().max()) for k in a)


def test_the_parameters_are_the_plain_way() -> None:
    whole = parameters.load()
    section = parameters.slice_of("train_gan", whole, method="crgan")["run"]
    assert Compute.of(section, "cpu") == PLAIN
    assert "run" not in parameters.SLICES["evaluate"]  # scores do not follow from it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "float16"}, "run.precision is 'float16', which needs a GPU"),
        ({"precision": "half"}, "run.precision is 'half'; use one of float32, bfloat16, float16"),
        ({"batch_norm": "frozen"}, "run.batch_norm is 'frozen'; use one of sync, local"),
        ({"compile": True}, "run.compile is True; use one of none, default, reduce-overhead"),
        ({"channels_last": 1}, "run.channels_last is 1; it must be true or false"),
        ({"processes": 0}, "run.processes is 0; it must be 1 at least"),
    ],
)
def test_bad_values(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Compute.of({**RUN, **change}, "cpu")


def test_prepared_plainly_is_untouched() -> None:
    net = CameraNet(4, 2)
    PLAIN.prepare(net)
    assert "forward" not in vars(net)
    assert PLAIN.fabric is None


def test_bfloat16_computes_in_it_and_keeps_float32_weights() -> None:
    net = CameraNet(4, 2).eval()
    plain = copy.deepcopy(net)
    seen: list[torch.dtype] = []
    net.features[0].register_forward_hook(lambda _m, _i, y: seen.append(y.dtype))
    Compute(precision="bfloat16").prepare(net)
    x = torch.rand(4, 3, 32, 16)
    y = net(x)
    assert seen == [torch.bfloat16]
    assert y.dtype == torch.float32
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert net.state_dict().keys() == plain.state_dict().keys()
    assert not torch.equal(y, plain(x))
    torch.testing.assert_close(y, plain(x), rtol=0.05, atol=0.05)


def test_a_copy_of_a_prepared_network_has_its_own_weights() -> None:
    net = CameraNet(4, 2).eval()
    Compute(precision="bfloat16").prepare(net)
    twin, x = copy.deepcopy(net), torch.rand(2, 3, 32, 16)
    with torch.no_grad():
        before = net(x)
        for p in net.parameters():
            p.zero_()
    assert torch.equal(twin(x), before)
    assert not torch.equal(net(x), before)


def test_channels_last_reaches_every_image() -> None:
    g = Generator(4, 2)
    Compute(channels_last=True).prepare(g)
    seen: list[bool] = []
    g.theta_s.register_forward_pre_hook(
        lambda _m, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )
    g(torch.rand(2, 3, 16, 8), torch.rand(2, 3, 16, 8), torch.zeros(2, 1, 16, 8))
    assert seen == [True]
    assert g.theta_s.weight.is_contiguous(memory_format=torch.channels_last)


def test_training_in_other_ways_is_nearly_the_same_training() -> None:
    plain = train(PLAIN)
    ordered, short = train(Compute(channels_last=True)), train(Compute(precision="bfloat16"))
    step = 3 * GAN["lr"]  # what Adam can move a weight in three iterations, twice as far apart
    assert 0 < apart(plain, ordered) < 2 * step
    assert 0 < apart(plain, short) < 4 * step
    assert all(value.is_contiguous() and value.dtype == torch.float32 for value in short.values())


def test_d_id_in_bfloat16_learns() -> None:
    source = task().source
    recipe = Recipe(iterations=60, batch=9, lr=5e-3)
    compute = Compute(precision="bfloat16")
    file, history = pretrain_id(source, Start("small", 4), recipe, seed=0, compute=compute)
    assert history.rows[-1]["loss"] < 0.5 * history.rows[0]["loss"]
    assert all(v.dtype != torch.bfloat16 for v in file["state"].values())


def test_compiled_networks_keep_names_and_numbers() -> None:
    net, x = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), torch.rand(5, 3)
    expected, names = net(x), list(net.state_dict())
    calls: list[dict[str, Any]] = []
    # what torch.compile makes of it is torch's; that it is asked to is ours, and takes no compiler
    net.compile = lambda **how: calls.append(how)  # type: ignore[method-assign]
    Compute(compile="default").prepare(net)
    assert calls == [{"mode": "default", "dynamic": False}]
    assert list(net.state_dict()) == names
    assert torch.equal(net(x), expected)


class Scaler:
    """What Fabric asks of torch's GradScaler, which works on a GPU only."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def scale(self, loss: Tensor) -> Tensor:
        self.calls.append("scale")
        return 1024 * loss

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        self.calls.append("step")
        for p in optimizer.param_groups[0]["params"]:
            p.grad /= 1024
        optimizer.step()

    def update(self) -> None:
        self.calls.append("update")


def test_float16_steps_through_the_scaler() -> None:
    ends, scaler = [], Scaler()
    short = Compute(precision="bfloat16")
    assert short.fabric is not None
    short.fabric.strategy.precision.scaler = scaler  # type: ignore[attr-defined]
    for compute in (PLAIN, short):
        w = nn.Parameter(torch.tensor([2.0]))
        compute.descend(SGD([{"params": [w]}], 0.1, 0.0, 0.0), (w**2).sum(), 0.5)
        ends.append(w.item())
    assert ends == [0.0, 0.0]
    assert scaler.calls == ["scale", "step", "update"]


def test_a_step_takes_the_rate_it_is_given_and_a_group_its_share_of_it() -> None:
    w, v = nn.Parameter(torch.tensor([2.0])), nn.Parameter(torch.tensor([2.0]))
    sgd = SGD([{"params": [w], "scale": 0.1}, {"params": [v]}], 1.0, 0.0, 0.0)
    PLAIN.descend(sgd, w.sum() + v.sum(), 0.5)
    assert (w.item(), v.item()) == pytest.approx((1.95, 1.5))


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_optimizers_are_torchs_bit_for_bit(kind: str) -> None:
    ends = []
    for ours in (True, False):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(7, 33), nn.Tanh(), nn.Linear(33, 5))
        optimizer: torch.optim.Optimizer
        if kind == "adam":
            how = (1e-2, (0.5, 0.999), 5e-4)
            optimizer = (
                Adam(net.parameters(), *how)
                if ours
                else torch.optim.Adam(
                    net.parameters(), how[0], how[1], weight_decay=how[2], fused=True
                )
            )
        else:
            groups = [{"params": list(net.parameters())}]
            optimizer = (
                SGD(groups, 1e-2, 0.9, 5e-4)
                if ours
                else torch.optim.SGD(
                    groups, 1e-2, 0.9, weight_decay=5e-4, nesterov=True, fused=True
                )
            )
        for _ in range(5):
            optimizer.zero_grad(set_to_none=True)
            net(torch.ones(3, 7)).square().sum().backward()
            optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        ends.append([*net.parameters(), *optimizer.state_dict()["state"][0].values()])
    assert all(map(torch.equal, *ends))


def test_training_imports_no_compiler() -> None:
    """torch's own optimizers import it, which takes longer than many a small training."""
    script = (
        "import sys, torch\n"
        "from torch import nn\n"
        "from crgan.train.classifier import Classification, Recipe\n"
        "net = nn.Sequential(nn.Flatten(), nn.Linear(24, 2))\n"
        "learning = Classification(net, Recipe(2, 2, 0.1))\n"
        "learning.step(0, (torch.zeros(2, 3, 4, 2), torch.tensor([0, 1])))\n"
        "learning.load_state_dict(learning.state_dict())\n"
        "assert 'torch._dynamo' not in sys.modules\n"
        "assert 'lightning_fabric' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
