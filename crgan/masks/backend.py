"""What every mask backend is, and the table of those there are.

To add one: a class with the members of `MaskBackend` in a file of its own, and one line in
`_MAKERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.settings import settings_from

_Options = TypeVar("_Options")


@dataclass(frozen=True)
class Batch:
    """n images of one data set.

    Attributes:
        images: uint8 (n, H, W, 3) RGB, from the image store.
        paths: their n manifest paths, for a backend that knows the images by name.
    """

    images: NDArray[np.uint8]
    paths: tuple[str, ...]


class MaskBackend(Protocol):
    """Finds the person's pixels.

    Attributes:
        name: as in the parameters.
        weights_sha256: hash of the weights' file, None where there are none.
        settings: every setting that bears on the masks, as plain values.
    """

    name: str
    weights_sha256: str | None
    settings: dict[str, Any]

    def masks(self, batch: Batch) -> NDArray[np.bool_]:
        """Person masks, bool (n, H, W), True on the person. Equal input gives equal output."""
        ...


@dataclass(frozen=True)
class Resources:
    """What a backend may need beside its settings.

    Attributes:
        weights: the backend's weights file (mediapipe_pose and jppnet read one).
        raw_root: the data set's raw folder (only the demo's truth reads it).
        threads: CPU threads; never changes a mask.
        device: "cpu" or "cuda"; only jppnet uses a GPU.
        state: the weights as tensors, where a stage has packed them so; goes before `weights`.
        state_sha256: hash of the file `state` was read from.
    """

    weights: Path | None = None
    raw_root: Path | None = None
    threads: int = 1
    device: str = "cpu"
    state: Mapping[str, Any] | None = None
    state_sha256: str | None = None


def _grabcut(settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    from crgan.masks.grabcut import GrabCut, GrabCutOptions

    return GrabCut(_options(GrabCutOptions, "grabcut", settings), resources.threads)


def _mediapipe_pose(settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    from crgan.masks.mediapipe_pose import MediaPipePose, PoseOptions

    options = _options(PoseOptions, "mediapipe_pose", settings)
    if resources.weights is None:
        raise UserError(
            "masks.backend mediapipe_pose needs weights: set weights.parsing in the profile to "
            "mediapipe_pose_full or mediapipe_pose_heavy (by hand: --weights FILE)"
        )
    return MediaPipePose(resources.weights, options, resources.threads)


def _truth(settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    _options(_NoOptions, "truth", settings)
    if resources.raw_root is None:
        raise UserError("masks.backend truth needs the demo's raw folder; give --raw")
    from crgan.masks.truth import Truth

    return Truth(resources.raw_root)


def _jppnet(settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    from crgan.masks.jppnet.inference import JPPNetMasks, JPPNetOptions, load_file, load_network

    options = _options(JPPNetOptions, "jppnet", settings)
    if resources.state:
        network, sha256 = load_network(resources.state, "weights"), resources.state_sha256
    elif resources.weights is not None:
        network, sha256 = load_file(resources.weights)
    else:
        raise UserError(
            "masks.backend jppnet needs weights: set weights.parsing in the profile to jppnet (by "
            "hand: --weights FILE); `python -m crgan.masks.jppnet.convert` makes the file"
        )
    return JPPNetMasks(network, sha256, options, resources.device)


_MAKERS: dict[str, Callable[[Mapping[str, Any], Resources], MaskBackend]] = {
    "truth": _truth,
    "grabcut": _grabcut,
    "mediapipe_pose": _mediapipe_pose,
    "jppnet": _jppnet,
}
NAMES = tuple(_MAKERS)


def make_backend(name: str, settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    """Make the backend `name` with its settings (the section of that name under `masks`).

    Raises:
        UserError: unknown name or setting, or absent weights.
    """
    if name not in _MAKERS:
        raise UserError(f"masks.backend is {name!r}; backends: {', '.join(NAMES)}")
    return _MAKERS[name](settings, resources)


@dataclass(frozen=True)
class _NoOptions:
    pass


def _options(kind: type[_Options], name: str, settings: Mapping[str, Any]) -> _Options:
    return settings_from(kind, settings, f"masks.{name}")
