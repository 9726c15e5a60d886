"""The generator: what section 3.1 says of its structure, and eq. (2) and (3)."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from crgan.nets.generator import (
    UPSAMPLINGS,
    DownBlock,
    Generator,
    InstanceNorm,
    UpBlock,
    blend,
    masked_target,
)


def inputs(height: int = 32, width: int = 16, batch: int = 2) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(5)
    x_s, x_t = (torch.rand(batch, 3, height, width, generator=random) * 2 - 1 for _ in range(2))
    m_t = (torch.rand(batch, 1, height, width, generator=random) > 0.5).float()
    return x_s, x_t, m_t


@pytest.fixture
def small() -> Generator:
    torch.manual_seed(0)
    return Generator(width=4, levels=2)


@pytest.mark.parametrize(
    ("height", "width", "levels"), [(32, 16, 2), (64, 32, 3), (128, 64, 4), (256, 128, 4)]
)
@pytest.mark.parametrize("mask_channels", [1, 3])
def test_shapes_and_ranges(height: int, width: int, levels: int, mask_channels: int) -> None:
    torch.manual_seed(0)
    g = Generator(width=2, levels=levels, mask_channels=mask_channels)
    made = g.parts(*inputs(height, width, batch=1))
    assert made.x_g.shape == made.x_r.shape == (1, 3, height, width)
    assert made.x_c.shape == (1, mask_channels, height, width)
    assert made.x_r.abs().max() <= 1
    assert made.x_g.abs().max() <= 1
    assert 0 <= made.x_c.min() <= made.x_c.max() <= 1


def test_eq2_hides_the_target_person() -> None:
    x_t = torch.tensor([[[[0.5, -1.0, 1.0]]]])
    m_t = torch.tensor([[[[0.0, 1.0, 1.0]]]])
    assert masked_target(x_t, m_t).tolist() == [[[[0.5, 0.0, 0.0]]]]


def test_what_the_mask_hides_changes_nothing(small: Generator) -> None:
    x_s, x_t, m_t = inputs()
    other = torch.where(m_t == 1, torch.rand_like(x_t), x_t)
    assert torch.equal(small(x_s, x_t, m_t), small(x_s, other, m_t))
    elsewhere = torch.where(m_t == 0, torch.rand_like(x_t), x_t)
    assert not torch.allclose(small(x_s, x_t, m_t), small(x_s, elsewhere, m_t))


def test_eq3_limits() -> None:
    x_s, x_r, _ = inputs()
    zero, one = torch.zeros(2, 1, 32, 16), torch.ones(2, 1, 32, 16)
    assert torch.equal(blend(x_r, zero, x_s), x_s)
    torch.testing.assert_close(blend(x_r, one, x_s), x_r)
    # a quarter of 0.8 and three quarters of -0.4
    made = blend(torch.tensor(0.8), torch.tensor(0.25), torch.tensor(-0.4))
    assert made.item() == pytest.approx(-0.1)


@pytest.mark.parametrize("push", [-60.0, 60.0])
def test_generator_outputs_are_blended_by_its_mask(small: Generator, push: float) -> None:
    with torch.no_grad():
        small.head.bias[3] = push  # the context mask goes to 0, or to 1
    x_s, x_t, m_t = inputs()
    made = small.parts(x_s, x_t, m_t)
    torch.testing.assert_close(made.x_g, x_s if push < 0 else made.x_r)


def test_instance_norm_is_in_the_decoder_only(small: Generator) -> None:
    norms = {n for n, m in small.named_modules() if "norm" in type(m).__name__.lower()}
    assert norms
    assert all(name.startswith("decoder.") for name in norms)
    assert {type(small.get_submodule(name)) for name in norms} == {InstanceNorm}


def test_pathways_and_encoder_keep_style() -> None:
    """Without norm layers nor biases they are homogeneous: twice the contrast, twice the values."""
    torch.manual_seed(0)
    g = Generator(width=4, levels=2)
    for name, parameter in g.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    x_s, x_t, m_t = inputs()
    h, h2 = g._encode(x_s, x_t, m_t), g._encode(2 * x_s, 2 * x_t, m_t)
    for down in g.encoder:
        torch.testing.assert_close(h2, 2 * h)
        h, h2 = down(h), down(h2)


def test_instance_norm_is_the_usual_one() -> None:
    norm = InstanceNorm(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, -1.0]))
        norm.bias.copy_(torch.tensor([0.0, 0.5, 1.0]))
    x = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(norm(x), F.instance_norm(x, weight=norm.weight, bias=norm.bias))
    assert norm(x[:, :, :1, :1]).isfinite().all()


def test_pathways_are_separate(small: Generator) -> None:
    """Width channels from each: the first half sees X_S alone, the second X_T alone."""
    x_s, x_t, m_t = inputs()
    base = small._encode(x_s, x_t, m_t)
    assert base.shape[1] == 8
    other_s, other_t = small._encode(-x_s, x_t, m_t), small._encode(x_s, -x_t, m_t)
    assert torch.equal(other_s[:, 4:], base[:, 4:])
    assert not torch.equal(other_s[:, :4], base[:, :4])
    assert torch.equal(other_t[:, :4], base[:, :4])
    assert not torch.equal(other_t[:, 4:], base[:, 4:])


def test_without_dual_condition_there_is_no_context_pathway() -> None:
    torch.manual_seed(0)
    g = Generator(width=4, levels=2, dual_condition=False)
    assert g.theta_t is None
    assert not [name for name, _ in g.named_parameters() if "theta_t" in name]
    x_s, x_t, m_t = inputs()
    assert torch.equal(g(x_s, x_t, m_t), g(x_s, -x_t, 1 - m_t))
    dual = Generator(width=4, levels=2)
    assert _count(g) < _count(dual) - _count(dual.theta_t)  # narrower U-Net too


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_up_block_shortcut_is_a_convolution_of_the_concatenation(upsampling: str) -> None:
    """The docstring's claim: 1x1 after enlarging and concatenating, or before, is the same."""
    torch.manual_seed(0)
    up = UpBlock(channels=6, skip=4, out=3, upsampling=upsampling)
    for conv in (up.conv1, up.conv2):  # leaves the shortcut alone
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)
    x, skip = torch.randn(2, 6, 4, 2), torch.randn(2, 4, 8, 4)
    weight = torch.cat([up.from_below.weight, up.from_skip.weight], dim=1)
    both = torch.cat([F.interpolate(x, scale_factor=2, mode=upsampling), skip], dim=1)
    torch.testing.assert_close(up(x, skip), F.conv2d(both, weight, up.from_below.bias))


def test_blocks_are_residual() -> None:
    down = DownBlock(3, 5)
    nn.init.zeros_(down.conv2.weight)
    nn.init.zeros_(down.conv2.bias)
    x = torch.randn(1, 3, 4, 4)
    torch.testing.assert_close(down(x), down.shortcut(F.avg_pool2d(x, 2)))
    assert down(x).shape == (1, 5, 2, 2)


def test_gradient_reaches_every_weight_and_both_inputs(small: Generator) -> None:
    x_s, x_t, m_t = inputs()
    x_s.requires_grad_()
    x_t.requires_grad_()
    small(x_s, x_t, m_t).square().mean().backward()
    without = [n for n, p in small.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert without == []
    assert x_s.grad is not None
    assert x_s.grad.abs().sum() > 0
    assert x_t.grad is not None
    assert x_t.grad[(m_t == 0).expand_as(x_t)].abs().sum() > 0
    assert x_t.grad[(m_t == 1).expand_as(x_t)].abs().sum() == 0


def _count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())
