"""D_cam tells cameras: "an extremely lightweight CNN classifier with 5 layers" (section 4.1)."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from crgan.common.errors import UserError


class CameraNet(nn.Module):
    """Four strided 3x3 convolutions with batch norm, average pooling, one linear layer.

    Leaky activations leave no image without a gradient: the generator learns from it, eq. (5).

    Args:
        width: channels of the first layer; then 2, 4 and 4 times as many (16: 60,000 parameters).
        num_cameras: cameras of the target network.

    Raises:
        UserError: no camera, or no width.
    """

    def __init__(self, width: int, num_cameras: int) -> None:
        super().__init__()
        if width < 1 or num_cameras < 1:
            raise UserError(f"D_cam of width {width} for {num_cameras} cameras: both at least 1")
        self.width = width
        layers: list[nn.Module] = []
        channels = [3, width, 2 * width, 4 * width, 4 * width]
        for inputs, outputs in itertools.pairwise(channels):
            conv = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
            nn.init.kaiming_normal_(conv.weight, a=0.2)
            layers += [conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(4 * width, num_cameras)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_cameras) of images (B, 3, H, W) in [-1, 1]."""
        logits: Tensor = self.classifier(self.features(x).mean(dim=(2, 3)))
        return logits
