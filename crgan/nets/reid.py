"""D_id: the re-id CNN that classifies identities and gives the features used for matching.

`resnet50` is the paper's (section 4.1, "a standard backbone ResNet50"), layer by layer that of
torchvision; `mobilenetv2` is torchvision's too, of 2.2 million parameters, with ImageNet weights
that a package index has; `small` is a residual network of 0.3 million parameters (width 16) for
small images. All take the images as the GAN makes them, in [-1, 1], and normalise them inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crgan.common.errors import UserError

Backbone: TypeAlias = Literal["small", "resnet50", "mobilenetv2"]
Pooling: TypeAlias = Literal["mean", "max"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ReidNet(nn.Module):
    """Backbone, global pooling and a linear classifier; some methods put an embedding between.

    Args:
        backbone: "small", "resnet50" or "mobilenetv2".
        width: channels of the first stage of `small`; ResNet50 has but one width, 64, and
            MobileNetV2 32.
        num_classes: identities of the training set; 0 for a network that only gives features.
        last_stride: stride of the last stage of ResNet50 and MobileNetV2. 2 is the standard
            network; 1 doubles the rows of the last map and costs a quarter of the speed.
        pooling: of the last map, its mean (the standard network) or its maximum.
        embedding: dimensions of a linear layer with batch norm and ReLU behind the pooling; 0 for
            none (the standard network).

    Attributes:
        map_dim: channels of the last map: 2048 for resnet50, 1280 for mobilenetv2, 8 x width for
            small.
        feature_dim: dimensions of the features used for matching.

    Raises:
        UserError: unknown backbone, or a width or stride it cannot have.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        width: int,
        num_classes: int,
        last_stride: int = 2,
        pooling: Pooling = "mean",
        embedding: int = 0,
    ) -> None:
        super().__init__()
        if num_classes < 0 or embedding < 0:
            raise UserError(f"a re-id CNN of {num_classes} identities, embedding {embedding}")
        if pooling not in get_args(Pooling):
            raise UserError(f"pooling {pooling!r}: use one of {', '.join(get_args(Pooling))}")
        self.backbone_name = backbone
        self.width = width
        self.last_stride = last_stride
        self.pooling = pooling
        self.embedding_dim = embedding
        self.backbone, self.map_dim = _build_backbone(backbone, width, last_stride)
        self.feature_dim = embedding or self.map_dim
        self.embedding: nn.Module = nn.Identity()
        if embedding:
            self.embedding = nn.Sequential(
                nn.Linear(self.map_dim, embedding), nn.BatchNorm1d(embedding), nn.ReLU()
            )
        self.classifier = linear_classifier(self.feature_dim, num_classes)
        # ImageNet statistics are of [0, 1]; images here are of [-1, 1].
        scale = torch.tensor((IMAGENET_MEAN, IMAGENET_STD)).view(2, 1, 3, 1, 1) * 2
        self.register_buffer("mean", scale[0] - 1, persistent=False)
        self.register_buffer("std", scale[1], persistent=False)

    def feature_map(self, x: Tensor) -> Tensor:
        """Last map (B, map_dim, h, w) of images (B, 3, H, W) in [-1, 1].

        256x128 gives 8x4 for resnet50 and mobilenetv2; 64x32 gives 4x2 for small.
        """
        features: Tensor = self.backbone((x - self.mean) / self.std)
        return features

    def features_of(self, feature_map: Tensor) -> Tensor:
        """Features (B, feature_dim) of a last map (B, map_dim, h, w), not normalised."""
        spots = (2, 3)
        pooled = feature_map.mean(spots) if self.pooling == "mean" else feature_map.amax(spots)
        features: Tensor = self.embedding(pooled)
        return features

    def features(self, x: Tensor) -> Tensor:
        """Features (B, feature_dim) of images (B, 3, H, W), not normalised."""
        return self.features_of(self.feature_map(x))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes)."""
        logits: Tensor = self.classifier(self.features(x))
        return logits

    def load_backbone(self, state: Mapping[str, Tensor], origin: str) -> None:
        """Start from pretrained weights; a classifier among them (`fc.`) is left out.

        Args:
            state: state dict of the backbone, for resnet50 that of torchvision's `resnet50`, for
                mobilenetv2 that of `mobilenet_v2().features`.
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


def linear_classifier(inputs: int, classes: int) -> nn.Module:
    """A linear layer over features (B, inputs); nothing for no classes.

    Small weights start the logits near uniform, whatever the backbone's features measure.
    """
    if not classes:
        return nn.Identity()
    layer = nn.Linear(inputs, classes)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm beside a 1x1 shortcut; both strided.

    The shortcut leaves rows and columns out before its convolution, which is what a strided one
    does: oneDNN 3.12 on processors without AVX-512 writes outside its memory in the weight gradient
    of a strided 1x1 convolution of 2 to 7 channels in channels_last order. A pooling over single
    places does it: the gradient of a slice comes back in another memory order, which made the step
    behind it, and so the training, a seventh slower.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        kept = F.avg_pool2d(x, 1, self.stride)
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(kept))


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


def mobilenetv2_backbone(last_stride: int) -> nn.Module:
    """torchvision's MobileNetV2 up to its last map, with the names of `mobilenet_v2().features`."""
    from torchvision.models import mobilenet_v2  # as above

    features: nn.Sequential = mobilenet_v2(weights=None).features
    # The first block of 160 channels has the last stride, in its depthwise convolution.
    conv = features.get_submodule("14.conv.1.0")
    assert isinstance(conv, nn.Conv2d)
    conv.stride = (last_stride, last_stride)
    return features


# The one width each of torchvision's networks has: channels of its first stage.
_TORCHVISION_WIDTHS = {"resnet50": 64, "mobilenetv2": 32}


def _build_backbone(name: str, width: int, last_stride: int) -> tuple[nn.Module, int]:
    if last_stride not in (1, 2) or (name == "small" and last_stride != 2):
        raise UserError(
            f"last_stride {last_stride}: ResNet50 and MobileNetV2 can have 1 or 2, small has 2"
        )
    only = _TORCHVISION_WIDTHS.get(name, width)
    if width != only:
        raise UserError(f"cnn.width {width}: {name} has {only} channels in its first stage")
    if name == "resnet50":
        return ResNet50Backbone(last_stride), 2048
    if name == "mobilenetv2":
        return mobilenetv2_backbone(last_stride), 1280
    if name == "small":
        if width < 1:
            raise UserError(f"cnn.width {width}: at least 1")
        backbone = SmallBackbone(width)
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        return backbone, 8 * width
    raise UserError(f"cnn.backbone {name!r}: use one of {', '.join(get_args(Backbone))}")
