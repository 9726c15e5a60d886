"""What the methods share that cluster the target in rounds: how they begin, look, log and end."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from crgan.adaptation.base import Target
from crgan.common.errors import UserError
from crgan.metrics.inputs import Floats
from crgan.nets.reid import ReidNet
from crgan.reid.features import extract
from crgan.reid.model_file import build_reid, reid_file


def begin(start: Mapping[str, Any], target: Target) -> ReidNet:
    """The CNN of a re-id file without its classifier: the target's classes are others.

    Raises:
        UserError: no re-id file, or one of images of another size.
    """
    net = build_reid(start, "the start")
    size = target.images.shape[1:3]
    if size != (start["height"], start["width_px"]):
        raise UserError(
            f"the start learned images of {start['height']}x{start['width_px']}, the target's "
            f"are {size[0]}x{size[1]}; make the start again"
        )
    net.classifier = nn.Identity()
    return net


def finish(net: ReidNet, start: Mapping[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """The re-id file of what `begin` began: without classifier, its notes behind the start's."""
    size = (start["height"], start["width_px"])
    return reid_file(net, [], size, start["origin"], [*start["notes"], *notes])


def features_of(net: ReidNet, target: Target, device: str, description: str) -> Floats:
    """Pooled features (n, D) of the target's images, in order, as they are compared in tests."""
    return extract(net, target.images, device=device, description=description).pooled


def unit(features: Floats) -> Floats:
    """Rows (n, D) of length 1; a row of zeros stays one."""
    lengths: Floats = np.linalg.norm(features, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return features / lengths


def seed_round(seed: int, number: int) -> np.random.SeedSequence:
    """Seeds of one round, which depend on no round before, and torch's set by them.

    So a run that is resumed at a round draws what it would have drawn.
    """
    seeds = np.random.SeedSequence([seed, number])
    torch.manual_seed(int(seeds.generate_state(1)[0]))
    return seeds


def log(text: str) -> None:
    """A line for whoever watches, between the progress bars."""
    tqdm.write(text, file=sys.stderr)
