"""The dual conditional generator of CR-GAN: two pathways into a residual U-Net (section 3.1).

The paper fixes the order of things: two separate convolutional pathways, their depth-wise
concatenation, a U-Net of residual down- and up-sampling blocks with skip connections, Instance
Normalisation in its decoder only, and two outputs that eq. (3) blends. Widths, depths and the
blocks' insides are in its supplement, which we could not find; what stands here is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WIDEST = 8  # channels stop doubling at 8 x width, as in pix2pix's U-Net

RESIDUAL_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "none": lambda x: x,
}
MASK_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid,
}
ResidualActivation: TypeAlias = Literal["tanh", "none"]
MaskActivation: TypeAlias = Literal["sigmoid", "hard_sigmoid"]
Upsampling: TypeAlias = Literal["bilinear", "nearest"]
UPSAMPLINGS = get_args(Upsampling)


class Parts(NamedTuple):
    """What the generator makes of a batch; (B, 3, H, W) each, `x_c` (B, mask channels, H, W).

    Attributes:
        x_r: residual map X_R.
        x_c: context mask X_C in [0, 1]: where the context changes.
        x_g: the image X_G of eq. (3).
    """

    x_r: Tensor
    x_c: Tensor
    x_g: Tensor


class InstanceNorm(nn.Module):
    """Instance Normalisation with a learned scale and shift per channel.

    Computed as a group norm of one channel a group: the same numbers, faster on CPUs, and defined
    on a single pixel, where `F.instance_norm` refuses.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, x.shape[1], self.weight, self.bias)


class DownBlock(nn.Module):
    """Residual block that halves height and width. No normalisation: style must get through.

    The strided convolution comes first, so that nothing wide runs at the full resolution.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(channels, out, 1)
        self.conv1 = nn.Conv2d(channels, out, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(x, 0.2))
        h = self.conv2(F.leaky_relu(h, 0.2))
        return self.shortcut(F.avg_pool2d(x, 2)) + h


class UpBlock(nn.Module):
    """Residual block that doubles height and width and takes in a skip connection.

    Its shortcut is a 1x1 convolution of [upsampled x, skip]. Such a convolution and upsampling can
    change places, so x's share of it is computed before x is enlarged: the same numbers at a
    quarter of the work. Of its two 3x3 convolutions one runs before the upsampling and one after
    it, where the skip is at hand; images stay sharp through the skips.

    Upsampling by repetition lets a 3x3 convolution treat odd and even rows differently, level
    upon level, and L_id and L_cam draw checkerboard artefacts with it, which their networks answer
    to; bilinear upsampling leaves them nothing to draw with (Odena et al. 2016).
    """

    def __init__(self, channels: int, skip: int, out: int, upsampling: str) -> None:
        super().__init__()
        self._upsampling = upsampling
        self.from_below = nn.Conv2d(channels, out, 1)
        self.from_skip = nn.Conv2d(skip, out, 1, bias=False)
        self.norm1 = InstanceNorm(out)
        self.conv1 = nn.Conv2d(out, out, 3, padding=1)
        self.norm2 = InstanceNorm(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.from_below(x)
        x = x + self.conv1(F.relu(self.norm1(x)))
        x = F.interpolate(x, scale_factor=2, mode=self._upsampling) + self.from_skip(skip)
        return x + self.conv2(F.relu(self.norm2(x)))


class Generator(nn.Module):
    """X_G = G(X_S, X_T), eq. (1); with `dual_condition` false X_G = G(X_S), the paper's ablation.

    Args:
        width: channels of each pathway.
        levels: how often the U-Net halves the resolution.
        dual_condition: whether there is a context pathway at all.
        pathway_kernel: size of the pathways' convolutions, odd.
        mask_channels: 1, or 3 for a context mask per colour.
        activation_residual: key of `RESIDUAL_ACTIVATIONS`.
        activation_mask: key of `MASK_ACTIVATIONS`.
        upsampling: of the decoder, one of `UPSAMPLINGS`.
    """

    def __init__(
        self,
        width: int,
        levels: int,
        dual_condition: bool = True,
        pathway_kernel: int = 7,
        mask_channels: int = 1,
        activation_residual: str = "tanh",
        activation_mask: str = "sigmoid",
        upsampling: str = "bilinear",
    ) -> None:
        super().__init__()
        self.levels = levels
        self._residual = RESIDUAL_ACTIVATIONS[activation_residual]
        self._mask = MASK_ACTIVATIONS[activation_mask]
        padding = pathway_kernel // 2
        self.theta_s = nn.Conv2d(3, width, pathway_kernel, padding=padding)
        self.theta_t: nn.Module | None = None
        if dual_condition:
            self.theta_t = nn.Conv2d(3, width, pathway_kernel, padding=padding)
        first = 2 * width if dual_condition else width
        wide = [first, *(width * min(2**i, _WIDEST) for i in range(1, levels + 1))]
        self.encoder = nn.ModuleList(DownBlock(a, b) for a, b in pairwise(wide))
        outs = [width, *wide[1:levels]]
        self.decoder = nn.ModuleList(
            UpBlock(wide[i + 1] if i == levels - 1 else outs[i + 1], wide[i], outs[i], upsampling)
            for i in reversed(range(levels))
        )
        self.head = nn.Conv2d(width, 3 + mask_channels, 3, padding=1)

    def forward(self, x_s: Tensor, x_t: Tensor, m_t: Tensor) -> Tensor:
        """X_G alone; arguments as for `parts`."""
        return self.parts(x_s, x_t, m_t).x_g

    def parts(self, x_s: Tensor, x_t: Tensor, m_t: Tensor) -> Parts:
        """Render the source persons into the targets' contexts.

        Args:
            x_s, x_t: source and target images (B, 3, H, W) in [-1, 1]; H and W are multiples of
                2 ** levels.
            m_t: person masks of the targets (B, 1, H, W), 1 on the person.
        """
        h = self._encode(x_s, x_t, m_t)
        skips = []
        for down in self.encoder:
            skips.append(h)
            h = down(h)
        for up in self.decoder:
            h = up(h, skips.pop())
        # No activation before the head: it would stand between the skips and what they carry.
        out = self.head(h)
        x_r, x_c = self._residual(out[:, :3]), self._mask(out[:, 3:])
        return Parts(x_r, x_c, blend(x_r, x_c, x_s))

    def _encode(self, x_s: Tensor, x_t: Tensor, m_t: Tensor) -> Tensor:
        """[theta_S(X_S), theta_T(X'_T)], the depth-wise concatenation of section 3.1."""
        if self.theta_t is None:
            return self.theta_s(x_s)
        return torch.cat([self.theta_s(x_s), self.theta_t(masked_target(x_t, m_t))], dim=1)


def masked_target(x_t: Tensor, m_t: Tensor) -> Tensor:
    """X'_T = X_T o (1 - M_T), eq. (2). Images lie in [-1, 1], so the hole is mid-grey."""
    return x_t * (1 - m_t)


def blend(x_r: Tensor, x_c: Tensor, x_s: Tensor) -> Tensor:
    """X_G = X_R o X_C + X_S o (1 - X_C), eq. (3), written with one product less."""
    return x_s + x_c * (x_r - x_s)
