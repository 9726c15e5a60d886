"""A frozen ResNet50 made fast on a CPU: ReLU and the shortcut's addition inside the convolutions,
whose weights lie in the kernels' own order.

Each map is then written once and not read again for its ReLU or its sum, and no weight is brought
into order at every call: a fifth faster than folding and channels_last alone. The operations are
oneDNN's, under the names by which torch's own compiler calls them; torch gives no other way to them
that needs no C++ compiler. They are private names, so the pinned version is the one this has been
tested with (tests/nets/test_reid_shapes.py); where they are missing the network is left as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from crgan.nets.reid import ReidNet


def fused(net: ReidNet) -> ReidNet:
    """`net`, of `crgan.nets.folding.frozen`, with its ResNet50 replaced by a fused one.

    Other networks, and all where torch lacks the operations, are returned as they are. For
    inference on a CPU alone: no gradient comes back. Outputs differ by rounding only.
    """
    if net.backbone_name == "resnet50" and torch.backends.mkldnn.is_available() and _has_them():
        net.backbone = _resnet(net.backbone)
    return net


def _has_them() -> bool:
    found = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
    order = getattr(torch.ops.mkldnn, "_reorder_convolution_weight", None)
    return order is not None and found is not None and "binary" in found.overloads()


def _resnet(net: nn.Module) -> nn.Module:
    """torchvision's ResNet, batch norms folded: conv1, maxpool, layer1 to layer4."""
    steps: list[nn.Module] = [_Conv(net.get_submodule("conv1"), "relu")]
    steps.append(net.get_submodule("maxpool"))
    for stage in range(1, 5):
        steps += [_Bottleneck(block) for block in net.get_submodule(f"layer{stage}").children()]
    return nn.Sequential(*steps)


class _Conv(nn.Module):
    """A convolution and what follows it: "relu" or "none"."""

    def __init__(self, conv: nn.Module, then: str) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv2d)
        self.weight, self.bias = conv.weight, conv.bias
        self.shape = (conv.padding, conv.stride, conv.dilation, conv.groups)
        self.then = then
        self._ordered: Tensor | None = None

    def ordered(self, x: Tensor) -> Tensor:
        """The weight in the order that suits images like `x`, the first ones it has seen."""
        if self._ordered is None:
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            self._ordered = reorder(self.weight, *self.shape, list(x.shape))
        return self._ordered

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.ordered(x), self.bias, *self.shape, self.then, [], ""
        )
        return y


class _ConvAddRelu(_Conv):
    """ReLU of a convolution plus another map."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # type: ignore[override]
        y: Tensor = torch.ops.mkldnn._convolution_pointwise.binary(
            x, other, self.ordered(x), self.bias, *self.shape, "add", 1.0, "relu", [], ""
        )
        return y


class _Bottleneck(nn.Module):
    """torchvision's block: three convolutions beside the identity or a convolution."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.first, self.second = _Conv(block.conv1, "relu"), _Conv(block.conv2, "relu")
        self.third = _ConvAddRelu(block.conv3, "relu")
        self.shortcut = _Conv(block.downsample[0], "none") if block.downsample else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.third(self.second(self.first(x)), self.shortcut(x))
        return y
