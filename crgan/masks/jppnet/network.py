"""JPPNet, the joint body parsing and pose network of Liang et al. (TPAMI 2018), as released.

A ResNet-101 of output stride 8 (DeepLab's, from Caffe) feeds a parsing head (20 classes, from
res5c) and a pose head (16 joints, from res4b22); three refinements each take both maps and the
features behind one of them. Layers carry the names of the released TensorFlow graph, and what that
graph leaves to TensorFlow's defaults is spelled out here: SAME padding, which at stride 2 is
asymmetric on even sizes, and batch normalisation's epsilon of 1e-3. The norms are frozen, as in
the authors' training: the network is for inference.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 20
JOINTS = 16
WIDTH = 64  # channels of conv1 as released; every other width is a multiple of it
EPSILON = 1e-3  # default of slim's batch_norm; PyTorch's is 1e-5
RATES = (6, 12, 18, 24)  # dilations of the four convolutions whose sum is a parsing map

# Stage of the ResNet: names of its blocks, multiple of the width, stride, dilation.
_STAGES = (
    (("2a", "2b", "2c"), 1, 1, 1),
    (("3a", *(f"3b{i}" for i in range(1, 4))), 2, 2, 1),
    (("4a", *(f"4b{i}" for i in range(1, 23))), 4, 1, 2),
    (("5a", "5b", "5c"), 8, 1, 4),
)
_EXPANSION = 4  # a block's output channels to those of its 3x3 convolution


class Maps(NamedTuple):
    """Score maps at an eighth of the input's size, (n, channels, ceil(H/8), ceil(W/8)).

    Attributes:
        parsing: stages 1 to 3, 20 channels each, raw scores.
        pose: stages 1 to 2 (to 3 where asked for), 16 channels each, heat maps.
    """

    parsing: tuple[Tensor, ...]
    pose: tuple[Tensor, ...]


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Pixels that TensorFlow's SAME puts before and after an axis of `size`; the odd one after."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    """`x` (n, c, H, W) padded with `value`, so that an unpadded window gives SAME's output."""
    top, bottom = same_padding(x.shape[2], kernel, stride)
    left, right = same_padding(x.shape[3], kernel, stride)
    return F.pad(x, (left, right, top, bottom), value=value)


class Conv(nn.Conv2d):
    """Convolution with SAME padding; odd kernels, of which stride 1 needs equal padding."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, rate: int = 1,
        bias: bool = True,
    ) -> None:  # fmt: skip
        padding = rate * (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, rate, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, H, W) to (n, outputs, ceil(H/stride), ceil(W/stride))."""
        if self.stride[0] > 1:
            x = pad_same(x, self.kernel_size[0], self.stride[0], 0.0)
        return super().forward(x)


class FrozenNorm(nn.Module):
    """Batch normalisation by stored statistics, which are buffers: nothing here learns."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, H, W), normalised."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=EPSILON
        )


class PoseHead(nn.Module):
    """Stage 1 of the pose (`fc1_pose`): eight convolutions on res4b22."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inputs, channels = 16 * width, (8, 8, 4, 4, 4, 4)
        for i, multiple in enumerate(channels, 1):
            self.add_module(f"pose_conv{i}", Conv(inputs, multiple * width, 3))
            inputs = multiple * width
        self.pose_conv7 = Conv(inputs, 8 * width, 1)
        self.pose_conv8 = Conv(8 * width, JOINTS, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Heat maps and the features behind them."""
        for i in range(1, 7):
            x = F.relu(self.get_submodule(f"pose_conv{i}")(x))
        return self.pose_conv8(F.relu(self.pose_conv7(x))), x


class Refinement(nn.Module):
    """What the refinements share: both maps remapped, joined with features, five convolutions."""

    def __init__(self, width: int, prefix: str) -> None:
        super().__init__()
        self.pose_remap = Conv(JOINTS, 2 * width, 1)
        self.parsing_remap = Conv(CLASSES, 2 * width, 1)
        self._names = [f"{prefix}conv{i}" for i in range(1, 6)]
        inputs = 8 * width
        for name, multiple, kernel in zip(
            self._names, (8, 4, 4, 4, 4), (3, 5, 7, 9, 1), strict=True
        ):
            self.add_module(name, Conv(inputs, multiple * width, kernel))
            inputs = multiple * width

    def refine(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """The last two convolutions' features; `parts` are joined in the order given."""
        x = before = torch.cat(parts, 1)
        for name in self._names:
            before, x = x, F.relu(self.get_submodule(name)(x))
        return x, before


class PoseRefinement(Refinement):
    """`fc2_pose`, `fc3_pose`."""

    def __init__(self, width: int) -> None:
        super().__init__(width, "")
        self.conv6 = Conv(4 * width, JOINTS, 1)

    def forward(self, pose: Tensor, parsing: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The next heat maps and the features behind them."""
        x, features = self.refine(
            F.relu(self.pose_remap(pose)), F.relu(self.parsing_remap(parsing)), features
        )
        return self.conv6(x), features


class ParsingRefinement(Refinement):
    """`fc2_parsing`, `fc3_parsing`; unlike the pose's, they put the parsing first."""

    def __init__(self, width: int) -> None:
        super().__init__(width, "parsing_")
        for i, rate in enumerate(RATES, 1):
            self.add_module(f"parsing_human{i}", Conv(4 * width, CLASSES, 3, rate=rate))

    def forward(self, parsing: Tensor, pose: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The next parsing scores and the features behind them."""
        x, features = self.refine(
            F.relu(self.parsing_remap(parsing)), F.relu(self.pose_remap(pose)), features
        )
        heads = [self.get_submodule(f"parsing_human{i}")(x) for i in range(1, len(RATES) + 1)]
        return torch.stack(heads).sum(0), features


class JPPNet(nn.Module):
    """The whole network; `width` is 64 as released, and small for tests."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.conv1 = Conv(3, width, 7, stride=2, bias=False)
        self.bn_conv1 = FrozenNorm(width)
        inputs = width
        for blocks, multiple, stride, rate in _STAGES:
            middle = multiple * width
            outputs = _EXPANSION * middle
            for block in blocks:
                first = block == blocks[0]
                if first:
                    self._add(f"{block}_branch1", inputs, outputs, 1, stride)
                # The stride sits on the first convolution, as in Caffe's ResNet.
                self._add(f"{block}_branch2a", inputs, middle, 1, stride if first else 1)
                self._add(f"{block}_branch2b", middle, middle, 3, rate=rate)
                self._add(f"{block}_branch2c", middle, outputs, 1)
                inputs = outputs
        for i, rate in enumerate(RATES):
            self.add_module(f"fc1_human_c{i}", Conv(inputs, CLASSES, 3, rate=rate))
        self.res5d_branch2a_parsing = Conv(inputs, 8 * width, 3)
        self.res5d_branch2b_parsing = Conv(8 * width, 4 * width, 3)
        self.fc1_pose = PoseHead(width)
        self.fc2_pose, self.fc3_pose = PoseRefinement(width), PoseRefinement(width)
        self.fc2_parsing, self.fc3_parsing = ParsingRefinement(width), ParsingRefinement(width)

    def forward(self, x: Tensor, third_pose: bool = False) -> Maps:
        """Maps of images (n, 3, H, W): BGR, 0 to 255, less the training mean.

        `third_pose` runs fc3_pose too, which no parsing map depends on.
        """
        x = F.relu(self.bn_conv1(self.conv1(x)))
        x = F.max_pool2d(pad_same(x, 3, 2, -torch.inf), 3, 2)
        for stage, (blocks, *_) in enumerate(_STAGES, 2):
            for block in blocks:
                x = self._block(x, block, first=block == blocks[0])
            if stage == 4:
                pose1, pose_features = self.fc1_pose(x)
        heads = [self.get_submodule(f"fc1_human_c{i}")(x) for i in range(len(RATES))]
        parsing1 = torch.stack(heads).sum(0)
        features = F.relu(self.res5d_branch2b_parsing(F.relu(self.res5d_branch2a_parsing(x))))
        pose2, pose_features = self.fc2_pose(pose1, parsing1, pose_features)
        parsing2, features = self.fc2_parsing(parsing1, pose1, features)
        parsing3, _ = self.fc3_parsing(parsing2, pose2, features)
        pose: tuple[Tensor, ...] = (pose1, pose2)
        if third_pose:
            pose = (*pose, self.fc3_pose(pose2, parsing2, pose_features)[0])
        return Maps((parsing1, parsing2, parsing3), pose)

    def _add(
        self, name: str, inputs: int, outputs: int, kernel: int, stride: int = 1, rate: int = 1
    ) -> None:
        self.add_module(f"res{name}", Conv(inputs, outputs, kernel, stride, rate, bias=False))
        self.add_module(f"bn{name}", FrozenNorm(outputs))

    def _convolved(self, x: Tensor, name: str) -> Tensor:
        convolved = self.get_submodule(f"res{name}")(x)
        result: Tensor = self.get_submodule(f"bn{name}")(convolved)
        return result

    def _block(self, x: Tensor, block: str, first: bool) -> Tensor:
        shortcut = self._convolved(x, f"{block}_branch1") if first else x
        x = F.relu(self._convolved(x, f"{block}_branch2a"))
        x = F.relu(self._convolved(x, f"{block}_branch2b"))
        return F.relu(shortcut + self._convolved(x, f"{block}_branch2c"))
