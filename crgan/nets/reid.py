"""D_id: the re-id CNN that classifies identities and gives the features used for matching.

`resnet50` is the paper's (section 4.1, "a standard backbone ResNet50"), layer by layer that of
torchvision; `small` is a residual network of 0.3 million parameters (width 16) for small pictures.
Both take the images as the GAN makes them, in [-1, 1], and normalise them inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from crgan.run.errors import UserError

Backbone: TypeAlias = Literal["small", "resnet50"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ReidNet(nn.Module):
    """Backbone, global average pooling and a linear classifier.

    Args:
        backbone: "small" or "resnet50".
        width: channels of the first stage of `small`; ResNet50 has but one width, 64.
        num_classes: identities of the source's training set.
        last_stride: stride of ResNet50's last stage. 2 is the standard network; 1 doubles the rows
            of the last map and costs a quarter of the speed.

    Attributes:
        feature_dim: channels of the last map: 2048 for resnet50, 8 x width for small.

    Raises:
        UserError: unknown backbone, or a width or stride it cannot have.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, width: int, num_classes: int, last_stride: int = 2
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise UserError(f"a re-id CNN of {num_classes} identities: there must be one at least")
        self.backbone_name = backbone
        self.width = width
        self.last_stride = last_stride
        self.backbone, self.feature_dim = _build_backbone(backbone, width, last_stride)
        self.classifier = nn.Linear(self.feature_dim, num_classes)
        # Small weights start the logits near uniform, whatever the backbone's features measure.
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)
        # ImageNet statistics are of [0, 1]; images here are of [-1, 1].
        scale = torch.tensor((IMAGENET_MEAN, IMAGENET_STD)).view(2, 1, 3, 1, 1) * 2
        self.register_buffer("mean", scale[0] - 1, persistent=False)
        self.register_buffer("std", scale[1], persistent=False)

    def feature_map(self, x: Tensor) -> Tensor:
        """Last map (B, feature_dim, h, w) of images (B, 3, H, W) in [-1, 1].

        256x128 gives 8x4 for resnet50; 64x32 gives 4x2 for small.
        """
        features: Tensor = self.backbone((x - self.mean) / self.std)
        return features

    def pooled(self, x: Tensor) -> Tensor:
        """Globally average-pooled features (B, feature_dim), not normalised."""
        return self.feature_map(x).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        logits: Tensor = self.classifier(self.pooled(x))
        return logits

    def load_backbone(self, state: Mapping[str, Tensor], origin: str) -> None:
        """Start from pretrained weights; a classifier among them (`fc.`) is left out.

        Args:
            state: state dict of the backbone, for resnet50 that of torchvision's `resnet50`.
            origin: where it comes from, for the message.

        Raises:
            UserError: a tensor is missing, unknown or of another shape.
        """
        given = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
        wanted = self.backbone.state_dict()
        problems = [f"{name} is missing" for name in wanted if name not in given]
        problems += [f"{name} is unknown" for name in given if name not in wanted]
        problems += [
            f"{name} is {tuple(given[name].shape)}, expected {tuple(tensor.shape)}"
            for name, tensor in wanted.items()
            if name in given and given[name].shape != tensor.shape
        ]
        if problems:
            raise UserError(
                f"{origin}: not weights of {self.backbone_name} ({self.width} wide): "
                f"{'; '.join(problems[:3])}{' ...' if len(problems) > 3 else ''}. "
                "Choose other weights, or `none`, under profiles.<profile>.weights.backbone"
            )
        self.backbone.load_state_dict(given)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a 1x1 shortcut; both strided."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class SmallBackbone(nn.Sequential):
    """A strided convolution and three strided residual blocks: a sixteenth of the input's size."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(3, width, 3, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 4 * width, 2),
            ResidualBlock(4 * width, 8 * width, 2),
        )


class ResNet50Backbone(nn.Module):
    """torchvision's ResNet50 up to its last map; its tensors keep their names, without `fc.`."""

    def __init__(self, last_stride: int) -> None:
        super().__init__()
        # Importing torchvision takes as long as torch itself, and most jobs do without it.
        from torchvision.models import resnet50

        net = resnet50(weights=None)
        for name, module in net.named_children():
            if name not in ("avgpool", "fc"):
                self.add_module(name, module)
        first = net.layer4[0]
        for conv in (first.conv2, first.downsample[0]):
            conv.stride = (last_stride, last_stride)

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = module(x)
        return x


def _build_backbone(name: str, width: int, last_stride: int) -> tuple[nn.Module, int]:
    if last_stride not in (1, 2) or (name == "small" and last_stride != 2):
        raise UserError(f"last_stride {last_stride}: ResNet50 can have 1 or 2, small has 2")
    if name == "resnet50":
        if width != 64:
            raise UserError(f"cnn.width {width}: ResNet50 has 64 channels in its first stage")
        return ResNet50Backbone(last_stride), 2048
    if name == "small":
        if width < 1:
            raise UserError(f"cnn.width {width}: at least 1")
        backbone = SmallBackbone(width)
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        return backbone, 8 * width
    raise UserError(f"cnn.backbone {name!r}: use one of {', '.join(get_args(Backbone))}")
