"""SiaNet, SPGAN's siamese network (Deng et al. 2018, section 3.2 and the authors' releases).

Stages of [4x4 convolution of stride 2, LeakyReLU 0.2, 2x2 max pooling] with doubling channels, then
128 units, LeakyReLU, dropout, 64 units; the embedding has length 1. Three stages for 256x128, as in
the authors' PyTorch release, and four for 256x256 as in their TensorFlow one.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from crgan.nets.resnet_generator import initialise

HIDDEN, EMBEDDING = 128, 64


class SiaNet(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to embeddings (B, 64) of length 1.

    Args:
        width: channels of the first stage; 64 in the release.
        stages: each divides height and width by four.
        height, width_px: of the images.
        dropout: probability, before the last layer.
    """

    def __init__(
        self, width: int, stages: int, height: int, width_px: int, dropout: float = 0.5
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for i in range(stages):
            out = width * 2**i
            layers += [nn.Conv2d(channels, out, 4, 2, 1), nn.LeakyReLU(0.2), nn.MaxPool2d(2)]
            channels = out
        flat = channels * (height // 4**stages) * (width_px // 4**stages)
        self.net = nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(flat, HIDDEN, bias=False),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, EMBEDDING, bias=False),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                initialise(module)

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.net(x))
