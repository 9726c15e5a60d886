"""SiaNet: the layers and sizes of the authors' releases, unit embeddings."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crgan.nets.sianet import SiaNet


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_three_stages_at_256x128_as_in_the_pytorch_release() -> None:
    with torch.device("meta"):
        net = SiaNet(64, 3, 256, 128)
    convolutions = 16 * (3 * 64 + 64 * 128 + 128 * 256) + 64 + 128 + 256
    assert count(net) == convolutions + 2048 * 128 + 128 * 64 == 929_216


def test_four_stages_at_256x256_end_in_512_numbers() -> None:
    """As in the TensorFlow release (whose last layers have biases)."""
    with torch.device("meta"):
        net = SiaNet(64, 4, 256, 256)
        linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
        assert [(m.in_features, m.out_features) for m in linear] == [(512, 128), (128, 64)]
        assert net(torch.rand(2, 3, 256, 256)).shape == (2, 64)


def test_layers_in_their_order() -> None:
    net = SiaNet(4, 2, 64, 32)
    kinds = [type(m).__name__ for m in net.net]
    stage = ["Conv2d", "LeakyReLU", "MaxPool2d"]
    assert kinds == [*2 * stage, "Flatten", "Linear", "LeakyReLU", "Dropout", "Linear"]
    convolutions = [m for m in net.net if isinstance(m, nn.Conv2d)]
    for m, out in zip(convolutions, (4, 8), strict=True):
        assert (m.kernel_size, m.stride, m.padding) == ((4, 4), (2, 2), (1, 1))
        assert m.out_channels == out
    assert [m.p for m in net.net if isinstance(m, nn.Dropout)] == [0.5]
    assert {m.negative_slope for m in net.net if isinstance(m, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize(("height", "width", "stages"), [(64, 32, 2), (16, 8, 1), (20, 12, 1)])
def test_embeddings_have_length_one(height: int, width: int, stages: int) -> None:
    torch.manual_seed(0)
    net = SiaNet(4, stages, height, width)
    e = net(torch.rand(3, 3, height, width) * 2 - 1)
    assert e.shape == (3, 64)
    torch.testing.assert_close(e.norm(dim=1), torch.ones(3))


def test_dropout_while_training_only() -> None:
    torch.manual_seed(0)
    net = SiaNet(4, 2, 32, 16)
    x = torch.rand(2, 3, 32, 16)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_gradient_reaches_weights_and_images() -> None:
    torch.manual_seed(0)
    net = SiaNet(4, 2, 32, 16)
    x = torch.rand(4, 3, 32, 16, requires_grad=True)
    (net(x) @ torch.randn(64)).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert x.grad is not None
    assert x.grad.any()


def test_learns_to_tell_two_kinds_of_images_apart() -> None:
    """Two images of each kind drawn together, of different kinds drawn apart."""
    torch.manual_seed(0)
    net = SiaNet(4, 1, 16, 8, dropout=0.0)
    kinds = torch.rand(2, 1, 3, 16, 8) * 2 - 1
    x = (kinds + 0.3 * torch.randn(2, 2, 3, 16, 8)).flatten(0, 1)
    adam = torch.optim.Adam(net.parameters(), 0.002)
    for _ in range(60):
        d = torch.cdist(net(x), net(x))
        loss = d[0, 1] ** 2 + d[2, 3] ** 2 + (2 - d[:2, 2:]).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss.item() < 0.1
