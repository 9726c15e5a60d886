"""Features for matching: the network's own and LMP, both from one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.common.settings import Count
from crgan.data.batches import in_order
from crgan.nets.folding import frozen
from crgan.nets.fusing import fused
from crgan.nets.reid import ReidNet
from crgan.pipeline.progress import Bar

Feature: TypeAlias = Literal["pooled", "pooled_mirror"]
Parts: TypeAlias = Count | Literal["rows"]

_BATCH = 32  # larger ones are no faster on a CPU, and a GPU is kept busy by ResNet50 even so


@dataclass(frozen=True)
class Features:
    """Features of N images, row for row; P stripes.

    Attributes:
        pooled: float32 (N, D), the network's features, for most the global average of the last map.
        lmp: float32 (N, P * C), `local_max_pool` of that map of C channels.
        parts: P.
    """

    pooled: NDArray[np.float32]
    lmp: NDArray[np.float32]
    parts: int


def local_max_pool(feature_map: Tensor, parts: int) -> Tensor:
    """LMP of SPGAN (Deng et al. 2018): (B, D, h, w) -> (B, parts * D), of length 1.

    The map is cut into `parts` horizontal stripes of equal height, each is global-max-pooled, and
    the stripes stand behind one another from head to foot. Used at test time only.

    Raises:
        UserError: the map's rows cannot be shared out evenly.
    """
    batch, channels, rows, _ = feature_map.shape
    if parts < 1 or rows % parts:
        raise UserError(
            f"evaluate.lmp_parts is {parts}, but the last feature map has {rows} rows; "
            "choose a divisor of that, or `rows`"
        )
    stripes = feature_map.reshape(batch, channels, parts, -1).amax(3)
    return nn.functional.normalize(stripes.transpose(1, 2).reshape(batch, parts * channels))


def extract(
    net: ReidNet,
    images: NDArray[np.uint8],
    *,
    parts: Parts = "rows",
    feature: Feature = "pooled",
    device: str = "cpu",
    description: str = "features",
) -> Features:
    """Features of uint8 images (N, H, W, 3), in order.

    Args:
        net: a trained re-id CNN, left as it is; a folded copy does the work.
        images: of the size it was trained on.
        parts: stripes of LMP; "rows" for one a row of the last map.
        feature: "pooled", or "pooled_mirror": those of an image and its mirror image, averaged
            (twice the time).
        device: where to work.
        description: name on the progress bar.

    Raises:
        UserError: no images, an unknown feature, or parts that do not divide the map.
    """
    if feature not in get_args(Feature):
        raise UserError(f"evaluate.feature is {feature!r}; use {' or '.join(get_args(Feature))}")
    if not len(images):
        raise UserError("no images to extract features of")
    fast = frozen(net).to(device)
    if torch.device(device).type == "cpu":
        fast = fused(fast)
    pooled = lmp = np.empty((0, 0), dtype=np.float32)
    done = 0
    with torch.inference_mode(), Bar(total=len(images), desc=description, unit="img") as progress:
        for batch in in_order(images, _BATCH):
            x = batch.to(device).contiguous(memory_format=torch.channels_last)
            views = [x] if feature == "pooled" else [x, x.flip(3)]
            maps = [fast.feature_map(view) for view in views]
            stripes = maps[0].shape[2] if parts == "rows" else parts
            means = torch.stack([fast.features_of(m) for m in maps]).mean(0)
            maxima = torch.stack([local_max_pool(m, stripes) for m in maps]).mean(0)
            if not done:  # one allocation: LMP of Market's gallery by ResNet50 is 1.3 GB
                pooled = np.empty((len(images), means.shape[1]), dtype=np.float32)
                lmp = np.empty((len(images), maxima.shape[1]), dtype=np.float32)
            pooled[done : done + len(batch)] = means.cpu().numpy()
            lmp[done : done + len(batch)] = nn.functional.normalize(maxima).cpu().numpy()
            done += len(batch)
            progress.update(len(batch))
    return Features(pooled, lmp, stripes)
