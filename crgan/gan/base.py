"""What every image-level method has in common: its task, its classifiers and its plug-in contract.

A method is one file `crgan/gan/<model>.py` with two functions, found by its name:

    train(task, d_id, d_cam, loss, gan, *, seed, checkpoint, watch, compute) -> Trained
    load_renderer(file, task, device) -> Renderer

The CycleGAN family needs no classifiers and trains both directions at once (`Translation`):

    train(task, options, *, seed, checkpoint, watch, compute) -> Trained

Adding a method is that file and a line under `methods` in `params.yaml` (docs/extending.md).
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.data.store import Split, open_dataset
from crgan.masks.store import MaskStore, open_masks, unpack
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute
from crgan.train.history import History
from crgan.train.loop import Watch

Net = TypeVar("Net", bound=nn.Module)


class Preview(NamedTuple):
    """What a method in training has to show: `preview()` of what it hands to the loop.

    Named images (B, 3, H, W), or masks (B, 1 or 3, H, W), all in [-1, 1], without gradients.
    """

    inputs: dict[str, Tensor]  # the same each time
    outputs: dict[str, Tensor]  # what the generators make of them now


class Masks(Protocol):
    """Person masks of a split: an array bool (n, H, W), or packed masks, unpacked when asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.bool_]: ...


class PackedMasks:
    """The masks of some rows of a mask store: an eighth of the memory of bool (n, H, W).

    Args:
        store: the data set's masks.
        rows: manifest rows, int64 (n,).
        size: (H, W) wanted.
    """

    def __init__(self, store: MaskStore, rows: NDArray[np.int64], size: tuple[int, int]) -> None:
        self._packed = store.packed_rows(rows, size)
        self._size = size

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """The masks at places `rows` (B,) of the split: bool (B, H, W)."""
        return unpack(self._packed[rows], *self._size)


@dataclass(frozen=True)
class Task:
    """A pair of domains: the training splits with their masks, all of one size.

    Attributes:
        source, target: n and m images of height x width.
        source_masks, target_masks: their person masks, in the splits' order.
    """

    source: Split
    target: Split
    source_masks: Masks
    target_masks: Masks
    height: int
    width: int

    def __post_init__(self) -> None:
        for name, split, masks in (
            ("source", self.source, self.source_masks),
            ("target", self.target, self.target_masks),
        ):
            if not len(split):
                raise UserError(f"the {name} has no training images; choose another data set")
            if split.images.shape[1:3] != (self.height, self.width) or len(split) != len(masks):
                raise ValueError(f"{name}: {split.images.shape}, {len(masks)} masks")


def open_task(
    source_manifest: str | Path,
    target_manifest: str | Path,
    source_masks: str | Path,
    target_masks: str | Path,
    size: tuple[int, int],
) -> Task:
    """The training splits of two prepared data sets at `size` (H, W), with their masks.

    Raises:
        UserError: a file is missing, damaged or does not belong; a split is empty.
    """
    size = (int(size[0]), int(size[1]))
    opened: list[Any] = []
    for manifest, masks in ((source_manifest, source_masks), (target_manifest, target_masks)):
        split = open_dataset(manifest, size).split("train")
        opened += [split, PackedMasks(open_masks(masks, manifest), split.rows, size)]
    source, m_s, target, m_t = opened
    return Task(source, target, m_s, m_t, *size)


@dataclass(frozen=True)
class Classifier:
    """A pre-trained classifier: D_id with the pids it tells apart, or D_cam with the camids.

    Attributes:
        net: images (B, 3, H, W) in [-1, 1] to logits (B, len(classes)).
        classes: the pid or camid of each logit.
        name: its file, for messages.
    """

    net: nn.Module
    classes: tuple[int, ...]
    name: str

    def labels(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """The logit of each pid or camid, int64 (n,).

        Raises:
            UserError: a value it was not trained on.
        """
        place = {value: i for i, value in enumerate(self.classes)}
        unknown = sorted(set(values.tolist()) - set(place))
        if unknown:
            raise UserError(
                f"{self.name}: does not know {unknown[0]} ({len(unknown)} such labels); "
                "it was trained on other data: pre-train it again"
            )
        return np.array([place[value] for value in values.tolist()], dtype=np.int64)


@dataclass(frozen=True)
class Trained:
    """What a training gives back.

    Attributes:
        file: the GAN file, a dict of tensors and plain values; `load_renderer` reads it.
        history: losses and learning rates.
    """

    file: dict[str, Any]
    history: History


class Renderer(ABC):
    """A trained method at work.

    Attributes:
        varies: whether two renderings of an image may differ.
    """

    varies: bool

    @abstractmethod
    def render_to(
        self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.int64] | None]:
        """A random rendering of source images into the target domain.

        Args:
            x_s: images (B, 3, H, W) in [-1, 1].
            s_rows: their places in `task.source`, int64 (B,).
            rng: decides what is random, such as the target instances; nothing else does. Its
                arrays have a row for each of the B images, so that several processes can draw
                for a batch together (`crgan.common.shares.draws`).

        Returns:
            X_G (B, 3, H, W) in [-1, 1], without gradients, on the device of `x_s`; and the camids
            of the target that they are meant for, int64 (B,), None where a method names none.
        """

    def render(self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """X_G of `render_to` alone."""
        return self.render_to(x_s, s_rows, rng)[0]


class Method(Protocol):
    """The module of a method."""

    def train(
        self,
        task: Task,
        d_id: Classifier,
        d_cam: Classifier,
        loss: Mapping[str, Any],
        gan: Mapping[str, Any],
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        watch: Watch | None = None,
        compute: Compute = PLAIN,
    ) -> Trained:
        """Train on a task; `loss` and `gan` are those sections of the parameters."""
        ...

    def load_renderer(self, file: Mapping[str, Any], task: Task, device: str) -> Renderer:
        """A renderer of a GAN file for the task it was trained on."""
        ...


class Translation(Protocol):
    """The module of a method of the CycleGAN family, which needs no pre-trained classifiers and
    learns both directions at once.
    """

    def train(
        self,
        task: Task,
        options: Mapping[str, Any],
        *,
        seed: int,
        checkpoint: Checkpoint | None = None,
        watch: Watch | None = None,
        compute: Compute = PLAIN,
    ) -> Trained:
        """Train between the task's source, domain a, and its target, domain b.

        Args:
            options: section `cyclegan` of the parameters with the method's own laid over it.

        Returns:
            Among others a file with the directions "ab" and "ba"; see `towards`.
        """
        ...

    def load_renderer(self, file: Mapping[str, Any], task: Task, device: str) -> Renderer:
        """A renderer of one direction of a GAN file, for the task in that direction."""
        ...


def towards(
    file: Mapping[str, Any], source: str, target: str, name: str = "the GAN file"
) -> Mapping[str, Any]:
    """A GAN file as it renders `source` into `target`: of a file of two directions the right one.

    Raises:
        UserError: the file is of other data sets.
    """
    if "domains" not in file:
        return file
    ends = {(a, b): key for key, (a, b) in _ends(file["domains"]).items()}
    if (source, target) not in ends:
        raise UserError(
            f"{name}: translates between {' and '.join(file['domains'])}, not {source} to {target}"
        )
    rest = {k: v for k, v in file.items() if k not in ("ab", "ba", "domains")}
    return {**rest, **file[ends[source, target]]}


def _ends(domains: Sequence[str]) -> dict[str, tuple[str, str]]:
    a, b = domains
    return {"ab": (a, b), "ba": (b, a)}


def load_method(model: str) -> Method:
    """The method in `crgan/gan/<model>.py`.

    Raises:
        UserError: there is none of that name.
    """
    return cast(Method, _module(model))


def load_translation(model: str) -> Translation:
    """The same of the CycleGAN family."""
    return cast(Translation, _module(model))


def _module(model: str) -> ModuleType:
    path = f"crgan/gan/{model}.py"
    if model.isidentifier() and (Path(__file__).parent / f"{model}.py").is_file():
        module = importlib.import_module(f"crgan.gan.{model}")
        if hasattr(module, "train") and hasattr(module, "load_renderer"):
            return module
    raise UserError(f"model {model!r}: {path} is no method with train() and load_renderer()")


_MOST = 4096  # of any number in a GAN file's config


def filled(build: Callable[..., Net], file: Mapping[str, Any], name: str = "the GAN file") -> Net:
    """The network that `build` makes of the file's `config`, with its `state`, frozen and in eval
    mode on the CPU.

    It is made without memory first, so that a file cannot claim more than its tensors bear out.

    Raises:
        UserError: a config that cannot be, or weights that do not fit it.
    """
    config, state = file.get("config"), file.get("state")
    if not isinstance(config, Mapping) or not isinstance(state, Mapping):
        raise UserError(f"{name}: config or state is missing; train it again")
    for key, value in config.items():
        if isinstance(value, int) and not 0 <= value <= _MOST:
            raise UserError(f"{name}: {key} is {value}, expected 0 to {_MOST}; train it again")
    try:
        if posing := next((k for k, v in state.items() if not v.is_contiguous()), None):
            raise KeyError(f"{posing} holds fewer numbers than its shape says")
        with torch.device("meta"):
            build(config).load_state_dict(state, assign=True)
        net = build(config)
        net.load_state_dict(state)
    except (TypeError, ValueError, KeyError, AttributeError, ArithmeticError, RuntimeError,
            MemoryError) as error:  # fmt: skip
        reason = str(error).replace("\n\t", " ")
        raise UserError(f"{name}: does not fit this code ({reason}); train it again") from None
    return net.eval().requires_grad_(False)


def check_file(file: Mapping[str, Any], model: str, name: str = "the GAN file") -> None:
    """Refuse a file that is not a GAN of this model, with a `UserError` naming it."""
    found = (file.get("kind"), file.get("model"))
    if found != ("gan", model):
        raise UserError(f"{name}: kind and model are {found}, expected ('gan', {model!r})")
