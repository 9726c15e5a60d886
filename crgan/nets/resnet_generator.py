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


class GuidedNorm(nn.Module):
    """Instance norm, then a scale and a shift for each channel that follow from a code.

    Constant planes behind the image, as StarGAN gives its labels, would be void here: behind
    reflection padding a plane adds one number to a channel, which instance norm takes out again.
    (StarGAN's planes work through the zeros it pads with.)

    Args:
        conditions: numbers in a code; a code of zeros leaves plain instance norm.
    """

    def __init__(self, channels: int, conditions: int) -> None:
        super().__init__()
        self.embed = nn.Linear(conditions, 2 * channels, bias=False)

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        scale, shift = self.embed(codes)[:, :, None, None].chunk(2, dim=1)
        return F.group_norm(x, x.shape[1]) * (1 + scale) + shift


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
    """Images (B, 3, H, W) to images (B, 3, H, W) in [-1, 1].

    Args:
        width: channels of the first convolution; 64 in the papers.
        blocks: residual blocks; 9 for 256x256, 6 for 128x128.
        conditions: numbers in a code that guides the norms outside the blocks (M2M-GAN's cameras).
        kernel: size of the first and the last convolution, odd; 7 in the papers.
    """

    def __init__(self, width: int, blocks: int, conditions: int = 0, kernel: int = 7) -> None:
        super().__init__()
        w, around = width, kernel // 2
        self.net = nn.Sequential(
            nn.Conv2d(3, w, kernel, padding=around, padding_mode="reflect"),
            *_act(w, conditions),
            nn.Conv2d(w, 2 * w, 3, stride=2, padding=1),
            *_act(2 * w, conditions),
            nn.Conv2d(2 * w, 4 * w, 3, stride=2, padding=1),
            *_act(4 * w, conditions),
            *(ResidualBlock(4 * w) for _ in range(blocks)),
            nn.ConvTranspose2d(4 * w, 2 * w, 3, stride=2, padding=1, output_padding=1),
            *_act(2 * w, conditions),
            nn.ConvTranspose2d(2 * w, w, 3, stride=2, padding=1, output_padding=1),
            *_act(w, conditions),
            nn.Conv2d(w, 3, kernel, padding=around, padding_mode="reflect"),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                initialise(module)

    def forward(self, x: Tensor, codes: Tensor | None = None) -> Tensor:
        """Translate; `codes` (B, conditions) where there are conditions."""
        for layer in self.net:
            x = layer(x, codes) if isinstance(layer, GuidedNorm) else layer(x)
        return torch.tanh(x)


def initialise(conv: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    """Weights from N(0, 0.02), biases 0: how CycleGAN starts all its networks."""
    nn.init.normal_(conv.weight, std=0.02)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _act(channels: int, conditions: int) -> tuple[nn.Module, ...]:
    """Norm and ReLU."""
    return GuidedNorm(channels, conditions) if conditions else PlainInstanceNorm(), nn.ReLU()
