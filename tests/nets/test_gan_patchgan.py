"""D_d: PatchGAN's geometry and size, and its noise layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from crgan.nets.patchgan import GaussianNoise, PatchGAN, decisions, receptive_field


@pytest.mark.parametrize(
    ("height", "width", "layers"),
    [(32, 16, 2), (64, 32, 3), (64, 32, 2), (128, 64, 3), (256, 128, 3)],
)
def test_shapes(height: int, width: int, layers: int) -> None:
    d = PatchGAN(width=2, layers=layers, noise_std=0.1)
    shape = (2, 1, *decisions(height, width, layers))
    assert d(torch.rand(2, 3, height, width)).shape == shape


def test_three_layers_are_the_70x70_patchgan() -> None:
    assert receptive_field(3) == 70
    # kernels 4x4: 3-64-128-256-512-1; biases on the first and last; two parameters a norm channel
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    count = sum(p.numel() for p in PatchGAN(64, 3, 0.1).parameters())
    assert count == kernels + 64 + 1 + 2 * (128 + 256 + 512)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_receptive_field(layers: int) -> None:
    """Counted: which pixels move the decision in the middle of a large image."""
    torch.manual_seed(0)
    d = PatchGAN(width=2, layers=layers, noise_std=0.0, norm="none").eval()
    x = torch.rand(1, 3, 192, 192, requires_grad=True)
    out = d(x)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    assert x.grad is not None
    touched = x.grad.abs().sum(dim=(0, 1)) > 0
    sides = [int(touched.any(dim=i).sum()) for i in (0, 1)]
    assert sides == [receptive_field(layers)] * 2


def test_noise_only_while_training() -> None:
    torch.manual_seed(0)
    noise = GaussianNoise(0.25)
    x = torch.zeros(1, 3, 200, 200)
    assert noise.train()(x).std().item() == pytest.approx(0.25, rel=0.02)
    assert noise(x).mean().item() == pytest.approx(0, abs=0.01)
    assert torch.equal(noise.eval()(x), x)
    assert GaussianNoise(0.0).train()(x) is x


def test_noise_is_the_first_layer() -> None:
    torch.manual_seed(0)
    d = PatchGAN(width=2, layers=2, noise_std=0.1)
    assert isinstance(next(iter(d.net)), GaussianNoise)
    x = torch.rand(1, 3, 32, 16)
    assert not torch.equal(d(x), d(x))
    d.eval()
    assert torch.equal(d(x), d(x))


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_norm_between_first_and_last_convolution(norm: str) -> None:
    d = PatchGAN(width=2, layers=2, noise_std=0.1, norm=norm)
    kinds = [type(m).__name__ for m in d.net if not isinstance(m, nn.LeakyReLU | nn.Identity)]
    name = {"instance": ["InstanceNorm"], "batch": ["BatchNorm2d"], "none": []}[norm]
    conv = ["Conv2d"]
    assert kinds == ["GaussianNoise", *conv, *conv, *name, *conv, *name, *conv]
