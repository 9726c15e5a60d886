"""Alg. 1, I: D_id learns the source's identities, D_cam the target's cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.data.batches import TrainBatches, class_labels
from crgan.data.store import Split
from crgan.nets.camera import CameraNet
from crgan.nets.reid import Backbone, ReidNet
from crgan.reid.model_file import camera_file, reid_file
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe, train
from crgan.train.compute import PLAIN, Compute
from crgan.train.history import History

NO_WEIGHTS = ("none", "random")  # origins that say: start from scratch, on purpose
_NETWORK = ("backbone", "width", "last_stride")
_PAPERS_WEIGHTS = "resnet50_imagenet"


@dataclass(frozen=True)
class Start:
    """The network D_id starts as.

    Attributes:
        backbone, width, last_stride: of `ReidNet`.
        origin: the weights' name in the registry or their path; `none` or `random` for none.
        state: the backbone's tensors; empty when there is no origin.
    """

    backbone: Backbone
    width: int
    last_stride: int = 2
    origin: str = "none"
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def build(self, num_classes: int) -> ReidNet:
        """The network; its random parts follow torch's seed."""
        net = ReidNet(self.backbone, self.width, num_classes, self.last_stride)
        if self.origin not in NO_WEIGHTS:
            net.load_backbone(self.state, self.origin)
        return net

    def notes(self) -> list[str]:
        """What must be said of results, since the paper's ResNet50 is an ImageNet one."""
        if self.backbone != "resnet50" or self.origin == _PAPERS_WEIGHTS:
            return []
        if self.origin in NO_WEIGHTS:
            return ["ResNet50 started from random weights, not from ImageNet's"]
        return [f"ResNet50 started from {self.origin}"]


def start_from(cnn: Mapping[str, Any], weights: Mapping[str, Any], name: str) -> Start:
    """The start that section `cnn` of the parameters and a weight file describe.

    Args:
        cnn: the section; only the network's keys are read.
        weights: `{"origin": ..., "state": ...}`; `name` is the file's, for messages.

    Raises:
        UserError: not a weight file.
    """
    if "origin" not in weights or "state" not in weights:
        raise UserError(f"{name}: no weight file: origin or state is missing; fetch it again")
    network = {key: cnn[key] for key in _NETWORK}
    return Start(**network, origin=weights["origin"], state=weights["state"])


def id_recipe(cnn: Mapping[str, Any], pretrain_id: Mapping[str, Any]) -> Recipe:
    """D_id's recipe: section `cnn` but for its network, with the scale of `pretrain_id`."""
    recipe = {key: value for key, value in cnn.items() if key not in _NETWORK}
    return settings_from(Recipe, {**recipe, **pretrain_id}, "pretrain_id")


def pretrain_id(
    source: Split,
    start: Start,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    compute: Compute = PLAIN,
) -> tuple[dict[str, Any], History]:
    """Train D_id on the labelled persons of the source's train split.

    Classes are the pids in ascending order; junk and distractors are left out.

    Returns:
        The re-id file (`model_file`), and the history.

    Raises:
        UserError: no labelled person, or weights that do not fit.
    """
    rows = np.flatnonzero(source.pid > 0)
    if not len(rows):
        raise UserError("the source has no labelled person in its train split; D_id cannot learn")
    pids = np.unique(source.pid[rows])
    torch.manual_seed(seed)
    net = start.build(len(pids)).train()
    batches = _batches(source, rows, source.pid, recipe, seed)
    history = train(
        net, batches, recipe, checkpoint=checkpoint, description="D_id",
        compute=compute,
    )  # fmt: skip
    size = source.images.shape[1:3]
    return reid_file(net, pids.tolist(), size, start.origin, start.notes()), history


def pretrain_cam(
    target: Split,
    width: int,
    recipe: Recipe,
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    compute: Compute = PLAIN,
) -> tuple[dict[str, Any], History]:
    """Train D_cam on the cameras of the target's train split; identities are not looked at.

    Returns:
        The camera file, classes in ascending order of camid, and the history.

    Raises:
        UserError: no image.
    """
    if not len(target):
        raise UserError("the target has no images in its train split; D_cam cannot learn")
    camids = np.unique(target.camid)
    torch.manual_seed(seed)
    net = CameraNet(width, len(camids)).train()
    batches = _batches(target, np.arange(len(target)), target.camid, recipe, seed)
    history = train(
        net, batches, recipe, checkpoint=checkpoint, description="D_cam",
        compute=compute,
    )  # fmt: skip
    return camera_file(net, camids.tolist()), history


def _batches(
    split: Split, rows: np.ndarray, labels: np.ndarray, recipe: Recipe, seed: int
) -> TrainBatches:
    # All rows is the usual case, and then the images stay a view of the store.
    images = split.images if len(rows) == len(split) else split.images[rows]
    classes, _ = class_labels(labels[rows])
    how = recipe.augmentation(images.shape[1])
    return TrainBatches(images, classes, recipe.batch, how, seed)
