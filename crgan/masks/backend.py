"""What every mask backend is, and how the chosen one is loaded.

To add one: a file (or package) of its own in this folder with a class that has the members of
`MaskBackend`, a function `make(settings, resources)`, and a dataclass `Options` where it has
settings; its class attribute `weights` names the file of weights.yaml that it reads, if it reads
one. It is loaded by name, so that the code of the others makes no mask stale.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.common.project import modules_with
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
        weights: the backend's weights file where it reads one.
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


def names() -> tuple[str, ...]:
    """The backends there are: files and packages of this folder that have a `make`."""
    return modules_with(Path(__file__).parent, "\ndef make(")


def make_backend(name: str, settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    """Make the backend `name` with its settings (the section of that name under `masks`).

    Its file is loaded by name, as a method's is: masks then depend on no other backend's code
    (`crgan.pipeline.code`).

    Raises:
        UserError: unknown name or setting, or absent weights.
    """
    if name not in names():
        raise UserError(f"masks.backend is {name!r}; backends: {', '.join(names())}")
    backend: MaskBackend = importlib.import_module(f"crgan.masks.{name}").make(settings, resources)
    return backend


def options_from(kind: type[_Options], name: str, settings: Mapping[str, Any]) -> _Options:
    """A backend's settings as its dataclass.

    Raises:
        UserError: an unknown setting, or what the dataclass refuses.
    """
    return settings_from(kind, settings, f"masks.{name}")
