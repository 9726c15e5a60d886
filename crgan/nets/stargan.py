"""StarGAN's generator and discriminator (Choi et al. 2018, appendix; the official release).

Names and arrangement of the tensors are this project's; their number and sizes are those of the
release: 8.431 million in G and 44.762 million in D for width 64, 6 blocks or layers, 5 domains and
images of 128x128.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from crgan.nets.generator import InstanceNorm


class StarGenerator(nn.Module):
    """Images (B, 3, H, W) and domains they go to, to images (B, 3, H, W) in [-1, 1].

    A 7x7 convolution, two strided 4x4, residual blocks, two transposed 4x4, a 7x7; instance norm
    with scale and shift. The domain stands behind the colours as one plane a domain, 1 or 0. All
    padding is with zeros: behind reflection a constant plane is a constant shift, which the
    instance norm takes away, and the domain would never be heard.

    The release's norm also keeps running statistics, but generates in train mode, without them.

    Args:
        width: channels of the first convolution; 64 in the paper.
        blocks: residual blocks; 6 in the paper.
        domains: what the guidance tells apart.
        kernel: size of the first and the last convolution, odd; 7 in the paper.
    """

    def __init__(self, width: int, blocks: int, domains: int, kernel: int = 7) -> None:
        super().__init__()
        w, around = width, kernel // 2
        self.domains = domains
        self.net = nn.Sequential(
            *_normed(nn.Conv2d(3 + domains, w, kernel, 1, around, bias=False)),
            *_normed(nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False)),
            *_normed(nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False)),
            *(_ResidualBlock(4 * w) for _ in range(blocks)),
            *_normed(nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, bias=False)),
            *_normed(nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False)),
            nn.Conv2d(w, 3, kernel, 1, around, bias=False),
        )

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Images x in the style of the domains c (B,), int64."""
        codes = nn.functional.one_hot(c, self.domains).to(x.dtype)
        planes = codes[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return torch.tanh(self.net(torch.cat((x, planes), dim=1)))


class StarDiscriminator(nn.Module):
    """Images (B, 3, H, W) to decisions (B, 1, h, w) and logits of the domain (B, domains).

    Strided 4x4 convolutions whose width doubles, leaky ReLU of 0.01 and no norm; then a 3x3
    convolution decides about each place, and one over the whole map tells the domain.

    Args:
        width: channels of the first convolution.
        layers: strided convolutions; height and width must be multiples of 2 ** layers.
        domains: classes.
        height, width_px: of the images.
    """

    def __init__(self, width: int, layers: int, domains: int, height: int, width_px: int) -> None:
        super().__init__()
        step = 2**layers
        if layers < 1 or height % step or width_px % step:
            raise ValueError(f"{layers} strided layers on images of {height}x{width_px}")
        channels = [3, *(width * 2**i for i in range(layers))]
        trunk: list[nn.Module] = []
        for before, after in pairwise(channels):
            trunk += [nn.Conv2d(before, after, 4, 2, 1), nn.LeakyReLU(0.01)]
        self.trunk = nn.Sequential(*trunk)
        self.decide = nn.Conv2d(channels[-1], 1, 3, 1, 1, bias=False)
        rest = (height // step, width_px // step)
        self.classify = nn.Conv2d(channels[-1], domains, rest, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.trunk(x)
        return self.decide(h), self.classify(h).flatten(1)


class _ResidualBlock(nn.Module):
    """x + two 3x3 convolutions of it with norms, a ReLU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *_normed(nn.Conv2d(channels, channels, 3, 1, 1, bias=False)),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            InstanceNorm(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return x + y


def _normed(conv: nn.Conv2d | nn.ConvTranspose2d) -> tuple[nn.Module, ...]:
    return conv, InstanceNorm(conv.out_channels), nn.ReLU()
