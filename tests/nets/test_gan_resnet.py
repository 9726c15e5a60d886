"""CycleGAN's networks: sizes and reach of the release, and the same function as plain layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crgan.nets.patchgan import PatchGAN, receptive_field
from crgan.nets.resnet_generator import (
    GuidedNorm,
    PlainInstanceNorm,
    ResidualBlock,
    ResnetGenerator,
)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_nine_blocks_of_width_64_have_the_releases_11_378_million() -> None:
    """c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3, every convolution with its bias."""
    with torch.device("meta"):
        g = ResnetGenerator(64, 9)
    kernels = 49 * 3 * 64 + 9 * (64 * 128 + 128 * 256) + 9 * 18 * 256 * 256
    kernels += 9 * (256 * 128 + 128 * 64) + 49 * 64 * 3
    biases = 64 + 128 + 256 + 18 * 256 + 128 + 64 + 3
    assert count(g) == kernels + biases == 11_378_179
    with torch.device("meta"):
        assert count(ResnetGenerator(64, 6)) == 11_378_179 - 3 * 2 * (9 * 256 * 256 + 256)


def test_conditions_add_an_embedding_at_each_norm_outside_the_blocks() -> None:
    with torch.device("meta"):
        embeddings = 14 * 2 * (64 + 128 + 256 + 128 + 64)
        assert count(ResnetGenerator(64, 9, 14)) == 11_378_179 + embeddings


def test_guided_norm_by_hand() -> None:
    """Values -1 and 1 of a channel, scaled by 1 + 0.5 and moved by 2; a code of zeros: as plain."""
    norm = GuidedNorm(1, 2)
    with torch.no_grad():
        norm.embed.weight.copy_(torch.tensor([[0.5, 0.0], [2.0, 0.0]]))  # scale, shift
    x = torch.tensor([[[[3.0, 5.0]]]])
    torch.testing.assert_close(
        norm(x, torch.tensor([[1.0, 0.0]])), torch.tensor([[[[0.5, 3.5]]]]), rtol=1e-4, atol=1e-4
    )
    assert torch.equal(norm(x, torch.zeros(1, 2)), PlainInstanceNorm()(x))


def test_codes_change_images_and_planes_would_not() -> None:
    """Behind reflection padding a constant plane adds a constant, which instance norm removes."""
    torch.manual_seed(0)
    g = ResnetGenerator(4, 1, 2)
    x = torch.rand(1, 3, 16, 8)
    one, other = (g(x, torch.tensor([code])) for code in ([1.0, 0.0], [0.0, 1.0]))
    assert (one - other).abs().max() > 1e-4
    plain = ResnetGenerator(4, 1)
    plain.net[0] = nn.Conv2d(5, 4, 7, padding=3, padding_mode="reflect")
    planes = torch.ones(1, 2, 16, 8)
    one, other = (plain(torch.cat((x, planes * torch.tensor(code)[:, None, None]), dim=1))
                  for code in ([1.0, 0.0], [0.0, 1.0]))  # fmt: skip
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (256, 128), (64, 32), (8, 8)])
def test_images_keep_their_size(height: int, width: int) -> None:
    with torch.device("meta"):
        assert ResnetGenerator(4, 2)(torch.rand(2, 3, height, width)).shape == (2, 3, height, width)


def test_the_middle_is_a_quarter_as_high_and_four_times_as_wide() -> None:
    with torch.device("meta"):
        g = ResnetGenerator(8, 3)
        seen: list[torch.Size] = []
        for module in g.modules():
            if isinstance(module, ResidualBlock):
                module.register_forward_hook(lambda _m, _i, y: seen.append(y.shape))
        g(torch.rand(2, 3, 64, 32))
    assert seen == [torch.Size((2, 32, 16, 8))] * 3


class _Block(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layers(x)
        return y


def as_printed(w: int, blocks: int) -> nn.Sequential:
    """The generator in the layers that the appendix names, in their order."""

    def k(layer: nn.Module, c: int) -> list[nn.Module]:
        return [layer, nn.InstanceNorm2d(c), nn.ReLU()]

    return nn.Sequential(
        nn.ReflectionPad2d(3), *k(nn.Conv2d(3, w, 7), w),
        *k(nn.Conv2d(w, 2 * w, 3, 2, 1), 2 * w), *k(nn.Conv2d(2 * w, 4 * w, 3, 2, 1), 4 * w),
        *(_Block(4 * w) for _ in range(blocks)),
        *k(nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, 1), 2 * w),
        *k(nn.ConvTranspose2d(2 * w, w, 3, 2, 1, 1), w),
        nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh(),
    )  # fmt: skip


def test_generator_is_the_one_printed() -> None:
    torch.manual_seed(0)
    g, printed = ResnetGenerator(4, 2), as_printed(4, 2)
    assert [p.shape for p in g.parameters()] == [p.shape for p in printed.parameters()]
    with torch.no_grad():
        for ours, theirs in zip(g.parameters(), printed.parameters(), strict=True):
            ours.mul_(5).add_(0.01)  # far from the start, where every layer is next to nothing
            theirs.copy_(ours)
    x = torch.rand(2, 3, 16, 8) * 2 - 1
    torch.testing.assert_close(g(x), printed(x), rtol=1e-4, atol=1e-5)
    assert g(x).abs().max() <= 1


def reach(first: int, last: int, blocks: int, kernel: int) -> int:
    """Side of what an output of the generator sees, from the place (first, last) of its outputs.

    Backwards: the last 7x7 adds 3 a side (a 3x3 adds 1); a transposed 3x3 of stride 2 makes output
    o of the inputs (o + 1 - k) / 2 for k = 0, 1, 2; a block adds 2 a side; a strided 3x3 sees
    2 i - 1 to 2 i + 1.
    """
    around = kernel // 2
    first, last = first - around, last + around
    for _ in range(2):
        first, last = -(-(first - 1) // 2), (last + 1) // 2
    first, last = first - 2 * blocks, last + 2 * blocks
    for _ in range(2):
        first, last = 2 * first - 1, 2 * last + 1
    return last - first + 1 + 2 * around


@pytest.mark.parametrize(("blocks", "kernel"), [(0, 7), (1, 7), (3, 3), (9, 7)])
def test_reach_of_the_generator(blocks: int, kernel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted without norms, which see the whole image; weights and inputs are positive, so that
    no path is closed.
    """
    monkeypatch.setattr(PlainInstanceNorm, "forward", lambda _self, x: x)
    g = ResnetGenerator(1, blocks, kernel=kernel).double()
    for p in g.parameters():
        nn.init.constant_(p, 0.1)
    x = torch.ones(1, 3, 256, 256, dtype=torch.double, requires_grad=True)
    g.net(x)[0, 0, 128, 128].backward()
    assert x.grad is not None
    touched = x.grad.abs().sum(dim=(0, 1)) > 0
    sides = [int(touched.any(dim=i).sum()) for i in (0, 1)]
    assert sides == [reach(128, 128, blocks, kernel)] * 2


def test_norm_is_instance_norm_without_scale_and_shift() -> None:
    x = torch.randn(3, 5, 6, 4) * 3 + 2
    torch.testing.assert_close(PlainInstanceNorm()(x), F.instance_norm(x), rtol=1e-5, atol=1e-6)
    assert not list(PlainInstanceNorm().parameters())


def test_images_of_a_batch_do_not_meet() -> None:
    """What the training builds on, which sends two batches through as one."""
    torch.manual_seed(0)
    for net in (ResnetGenerator(4, 2), PatchGAN(4, 2, 0.0, "plain")):
        x, y = torch.rand(2, 2, 3, 32, 16)
        both = net(torch.cat((x, y)))
        torch.testing.assert_close(both, torch.cat((net(x), net(y))), rtol=1e-4, atol=1e-6)


def test_weights_start_as_in_the_release() -> None:
    """N(0, 0.02), biases 0."""
    torch.manual_seed(0)
    g = ResnetGenerator(32, 2)
    for name, p in g.named_parameters():
        if name.endswith("bias"):
            assert not p.any()
        else:
            assert p.std().item() == pytest.approx(0.02, rel=0.1)
            assert p.mean().item() == pytest.approx(0, abs=0.002)


def test_gradient_reaches_every_weight() -> None:
    torch.manual_seed(0)
    g = ResnetGenerator(4, 2)
    x = torch.rand(2, 3, 16, 8, requires_grad=True)
    g(x)[:, :, 3:9, 2:6].sum().backward()
    without = [n for n, p in g.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert x.grad is not None
    assert x.grad.any()


def test_patchgan_has_the_releases_2_765_million() -> None:
    """C64-C128-C256-C512 and one more convolution, biases everywhere, norms without parameters."""
    with torch.device("meta"):
        d = PatchGAN(64, 3, 0.0, "plain")
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert count(d) == kernels + 64 + 128 + 256 + 512 + 1 == 2_764_737
    assert receptive_field(3) == 70
    with torch.device("meta"):
        assert d(torch.rand(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_patchgan_has_no_norm_on_its_first_layer() -> None:
    kinds = [type(m).__name__ for m in PatchGAN(2, 3, 0.0, "plain").net]
    block = ["Conv2d", "PlainInstanceNorm", "LeakyReLU"]
    assert kinds == ["GaussianNoise", "Conv2d", "LeakyReLU", *3 * block, "Conv2d"]
