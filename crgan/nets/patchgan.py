"""The domain discriminator D_d: PatchGAN behind a layer of Gaussian noise (section 4.1).

PatchGAN as in pix2pix (Isola et al. 2017), which the paper cites: `layers` strided 4x4
convolutions, one more 4x4 convolution, and one to a map of decisions, each about one patch.
Three layers give the 70x70 patches of that paper.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, TypeAlias

from torch import Tensor, nn

from crgan.common.shares import normal_like
from crgan.nets.generator import InstanceNorm
from crgan.nets.resnet_generator import PlainInstanceNorm

_WIDEST = 8  # channels stop doubling at 8 x width, as in pix2pix

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": InstanceNorm,
    "plain": lambda channels: PlainInstanceNorm(),  # without scale and shift, as CycleGAN's
    "batch": nn.BatchNorm2d,
    "none": lambda channels: nn.Identity(),
}
Norm: TypeAlias = Literal["instance", "plain", "batch", "none"]
# Scale and shift bring a bias of their own; CycleGAN's convolutions keep one that its norm cancels.
_BIASED = ("none", "plain")


class GaussianNoise(nn.Module):
    """Adds normal noise of the given standard deviation while training; the identity in eval."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.std == 0:
            return x
        return x + self.std * normal_like(x)


class PatchGAN(nn.Module):
    """D_d: images (B, 3, H, W) in [-1, 1] to decisions (B, 1, h, w), no sigmoid (LSGAN).

    Args:
        width: channels of the first convolution.
        layers: number of strided convolutions, at least 1.
        noise_std: of the noise layer, in units of the images' range [-1, 1].
        norm: key of `NORMS`, between first and last convolution.
    """

    def __init__(self, width: int, layers: int, noise_std: float, norm: str = "instance") -> None:
        super().__init__()
        wide = [width * min(2**i, _WIDEST) for i in range(layers + 1)]
        steps: list[nn.Module] = [GaussianNoise(noise_std), nn.Conv2d(3, width, 4, 2, 1)]
        for i, (before, after) in enumerate(pairwise(wide), start=1):
            stride = 2 if i < layers else 1
            conv = nn.Conv2d(
                before, after, 4, stride, 1, bias=norm in _BIASED
            )  # others have their own
            steps += [nn.LeakyReLU(0.2), conv, NORMS[norm](after)]
        steps += [nn.LeakyReLU(0.2), nn.Conv2d(wide[-1], 1, 4, 1, 1)]
        self.net = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def receptive_field(layers: int) -> int:
    """Side of the patch that one decision sees, in pixels.

    From the decision back: two 4x4 convolutions of stride 1 see 7 pixels; each strided 4x4 one
    before them sees 2 r + 2.
    """
    side = 7
    for _ in range(layers):
        side = 2 * side + 2
    return side


def decisions(height: int, width: int, layers: int) -> tuple[int, int]:
    """Height and width of the decision map; below 1 where the image is too small."""
    return (height >> layers) - 2, (width >> layers) - 2
