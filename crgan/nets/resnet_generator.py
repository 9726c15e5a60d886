"""CycleGAN's generator (Zhu et al. 2017, appendix 7.2), the one of PTGAN, SPGAN and M2M-GAN too.

    c7s1-w, d2w, d4w, R4w x blocks, u2w, uw, c7s1-3

with reflection padding, instance norm without scale and shift, ReLU, and tanh at the end. Names and
shapes of the tensors are this project's; their number and sizes are those of the release: 11.378
million for width 64 and 9 blocks, the convolutions' biases included that the norm cancels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainInstanceNorm(nn.Module):
    """Instance norm without scale and shift, as a group norm: the same numbers, faster on CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, x.shape[1])


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions of it, each behind reflection padding and before instance norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            PlainInstanceNorm(),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect"),
            PlainInstanceNorm(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return x + y


class ResnetGenerator(nn.Module):
    """Pictures (B, 3 + conditions, H, W) to pictures (B, 3, H, W) in [-1, 1].

    Args:
        width: channels of the first convolution; 64 in the papers.
        blocks: residual blocks; 9 for 256x256, 6 for 128x128.
        conditions: planes behind the three colours (M2M-GAN's cameras).
    """

    def __init__(self, width: int, blocks: int, conditions: int = 0) -> None:
        super().__init__()
        w = width
        self.net = nn.Sequential(
            nn.Conv2d(3 + conditions, w, 7, padding=3, padding_mode="reflect"),
            *_normed(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1)),
            *_normed(nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding=1)),
            PlainInstanceNorm(),
            nn.ReLU(),
            *(ResidualBlock(4 * w) for _ in range(blocks)),
            *_up(4 * w, 2 * w),
            *_up(2 * w, w),
            nn.Conv2d(w, 3, 7, padding=3, padding_mode="reflect"),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                initialise(module)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.net(x))


def initialise(conv: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    """Weights from N(0, 0.02), biases 0: how CycleGAN starts all its networks."""
    nn.init.normal_(conv.weight, std=0.02)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _normed(conv: nn.Module) -> tuple[nn.Module, ...]:
    """The norm and ReLU of what comes before, then a convolution."""
    return PlainInstanceNorm(), nn.ReLU(), conv


def _up(channels: int, out: int) -> tuple[nn.Module, ...]:
    up = nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1)
    return up, PlainInstanceNorm(), nn.ReLU()
