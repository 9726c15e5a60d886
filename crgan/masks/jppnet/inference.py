"""Person masks by LIP-JPPNet: three scales, each with its mirror image, as its authors evaluate.

The released evaluation graph, step by step: BGR less the training mean, a mirrored copy, both
resized to 0.75, 1 and 1.25 of 384x384 whatever their proportions, all parsing maps resized back to
the image, averaged over scales and stages as raw scores, the mirrored half with left and right
exchanged and turned back, averaged, and the best class of each pixel taken. TensorFlow 1 resized by
aligning the upper left corners of the pixels, which no PyTorch option does: see `resize`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.errors import UserError
from crgan.common.io import load_torch, sha256_file
from crgan.masks.backend import Batch
from crgan.masks.jppnet import Options
from crgan.masks.jppnet.network import CLASSES, JPPNet

LABELS = (
    "background", "hat", "hair", "glove", "sunglasses", "upper clothes", "dress", "coat", "socks",
    "pants", "jumpsuits", "scarf", "skirt", "face", "left arm", "right arm", "left leg",
    "right leg", "left shoe", "right shoe",
)  # fmt: skip
# Where the score of each class stands in the mirror image: left and right exchanged.
MIRRORED = (*range(14), 15, 14, 17, 16, 19, 18)
MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)  # of the training images, 0 to 255


class JPPNetMasks:
    """The backend `jppnet`; a person is every class but the background.

    There is no class for bags: what a person carries counts as background.
    """

    name = "jppnet"

    def __init__(
        self,
        network: JPPNet,
        weights_sha256: str | None,
        options: Options | None = None,
        device: str = "cpu",
    ) -> None:
        self.options = options or Options()
        self.settings: dict[str, Any] = {
            **asdict(self.options),
            "scales": list(self.options.scales),
        }
        self.weights_sha256 = weights_sha256
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    def masks(self, batch: Batch) -> NDArray[np.bool_]:
        """See `MaskBackend.masks`. One crop at a time, so that no mask depends on its company."""
        return np.stack([self.labels(image) for image in batch.images]) > 0

    def labels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The class of each pixel (place in `LABELS`), uint8 (H, W), of uint8 (H, W, 3) RGB."""
        scores = parsing_scores(self._network, image, self.options, self._device)
        return scores.argmax(0).to(torch.uint8).cpu().numpy()


@torch.inference_mode()
def parsing_scores(
    network: JPPNet, image: NDArray[np.uint8], options: Options, device: torch.device
) -> Tensor:
    """The averaged raw scores, float32 (20, H, W), of one image uint8 (H, W, 3) RGB."""
    views = preprocess(image).to(device)
    if options.mirror:
        views = torch.cat([views, views.flip(3)])
    height, width = image.shape[:2]
    by_scale = []
    for scale in options.scales:
        side = int(options.side * scale)
        maps = network(resize(views, side, side)).parsing
        by_scale.append(torch.stack([resize(scores, height, width) for scores in maps]))
    scores = torch.stack(by_scale).mean(0).mean(0)  # over scales, then stages
    if not options.mirror:
        return scores[0]
    return torch.stack([scores[0], unmirrored(scores[1])]).mean(0)


def preprocess(image: NDArray[np.uint8]) -> Tensor:
    """Float32 (1, 3, H, W), BGR less the mean, of uint8 (H, W, 3) RGB."""
    bgr = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).float()
    return (bgr - torch.tensor(MEAN_BGR)).permute(2, 0, 1)[None].contiguous()


def unmirrored(scores: Tensor) -> Tensor:
    """Scores (20, H, W) of a mirror image as those of the image."""
    return scores[list(MIRRORED)].flip(2)


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, as TensorFlow 1's `resize_images`, of (n, c, h, w) to (n, c, height, width).

    Output pixel i samples position i h / height: corners aligned at the upper left, no half pixel,
    no antialiasing.
    """
    return _resize_axis(_resize_axis(x, width, 3), height, 2)


def _resize_axis(x: Tensor, size: int, axis: int) -> Tensor:
    old = x.shape[axis]
    if old == size:
        return x
    # float32 as in TensorFlow: which pixels are sampled hangs on the rounding
    position = torch.arange(size, dtype=torch.float32) * float(np.float32(old) / np.float32(size))
    low = position.floor().long()
    share = (position - low).to(x.device)
    share = share[:, None] if axis == 2 else share
    before = x.index_select(axis, low.to(x.device))
    after = x.index_select(axis, (low + 1).clamp(max=old - 1).to(x.device))
    return before + (after - before) * share


def load_network(state: Mapping[str, Tensor], origin: str) -> JPPNet:
    """JPPNet with the weights `state`, whose conv1 tells its width; no copy is made.

    Raises:
        UserError: other names or shapes; `origin` names the file.
    """
    try:
        first = state["conv1.weight"]
        with torch.device("meta"):
            network = JPPNet(width=int(first.shape[0]))
        network.load_state_dict(dict(state), strict=True, assign=True)
    except (KeyError, IndexError, RuntimeError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{origin}: not JPPNet's weights ({reason}); make the file with "
            "`make jppnet CHECKPOINT=FOLDER`"
        ) from None
    return network.requires_grad_(False)


def load_file(path: Path) -> tuple[JPPNet, str]:
    """The network of a converted file, and the file's SHA-256.

    Raises:
        UserError: no such file, or another kind of file.
    """
    return load_network(load_torch(path), str(path)), sha256_file(path)


assert len(LABELS) == len(MIRRORED) == CLASSES
