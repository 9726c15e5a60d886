"""The one training loop: of D_id, D_cam, the GANs, the translators and all adaptation.

A method gives a `Learning`, which does one iteration, and the batches it learns from. Around them
the loop keeps history, checkpoints and a progress bar, and calls whoever watches. Everything that
moves is in a checkpoint, so that a run goes on bit for bit where it stopped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from crgan.common import shares
from crgan.common.errors import UserError
from crgan.pipeline.progress import bar_range
from crgan.train.checkpoint import Checkpoint, random_state, set_random_state
from crgan.train.compute import PLAIN, Compute
from crgan.train.history import History

_ROWS = 50  # of a history, where a plan says nothing
Batch = TypeVar("Batch", contravariant=True)
Made = TypeVar("Made", covariant=True)


class Resumable(Protocol):
    """Something that moves while training."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Go on where the saved one stood."""
        ...


class Learning(Resumable, Protocol[Batch]):
    """Networks and their optimizers, one iteration after the other."""

    def step(self, t: int, batch: Batch, /) -> Mapping[str, Tensor]:
        """Iteration t, from 0; its losses by name, the same names in every iteration.

        They stay on the device: to read one every iteration is to wait for it every iteration.
        """
        ...


class Batches(Resumable, Protocol[Made]):
    """Endless batches."""

    def __next__(self) -> Made: ...


class Watch(Resumable, Protocol):
    """Whoever looks on, such as a sheet of sample images. It draws no random numbers."""

    def __call__(self, iteration: int, history: History, learning: Any, /) -> None:
        """After iteration `iteration`, from 1; `learning` is the loop's."""
        ...


@dataclass(frozen=True)
class Plan:
    """What the loop itself must know of a training.

    Attributes:
        name: on the progress bar and in messages.
        iterations: of the whole training.
        lr_at: learning rate of iteration t, from 0, for the history; methods take their own steps.
        batch: images in an iteration, for the rate on the bar.
        history_every: iterations in a row of the history; 0 for about 50 rows.
        watch_every: iterations between two looks; the last iteration is looked at as well.
        losses: columns of the history, in order; those of the first iteration, if empty.
    """

    name: str
    iterations: int
    lr_at: Callable[[int], float]
    batch: int = 0
    history_every: int = 0
    watch_every: int = 0
    losses: tuple[str, ...] = ()


def iterate(
    learning: Learning[Batch],
    batches: Batches[Batch],
    plan: Plan,
    *,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
    compute: Compute = PLAIN,
) -> History:
    """Run the iterations that are left; of several processes all know the whole batch's losses.

    Args:
        learning: what is trained, in place.
        batches: what it learns from.
        checkpoint: saved into when due, and resumed from when it holds something.
        watch: called by the process that writes; its failure is a warning, and training goes on.
        compute: that of `learning`.

    Raises:
        UserError: a loss is no longer finite.
    """
    total = plan.iterations
    history = History(plan.losses, plan.history_every or max(1, total // _ROWS), plan.name)
    moving: dict[str, Resumable] = {
        "learning": learning, "batches": batches, "history": history, "compute": compute,
        **({"watch": watch} if watch else {}),
    }  # fmt: skip
    if checkpoint and (saved := checkpoint.load()):
        for key, part in moving.items():
            if key in saved:  # which a run without an onlooker has not left
                part.load_state_dict(saved[key])
        set_random_state(saved["random"])
    first = history.iteration
    _check_same_iteration(first, compute)
    bar = bar_range(
        first, total, desc=plan.name, total=total, initial=first, mininterval=1,
        # `disable=False` would overrule TQDM_DISABLE
        images=plan.batch, **({} if shares.writer() else {"disable": True}),
    )  # fmt: skip
    for t in bar:
        compute.begin()
        history.add(plan.lr_at(t), _of_whole_batch(learning.step(t, next(batches)), compute))
        done, last = t + 1, t + 1 == total
        if last:
            history.close(plan.lr_at(t))
        if done % history.every == 0 or last:
            bar.note(done, history.rows[-1])
        if (
            watch
            and shares.writer()
            and (last or (plan.watch_every and done % plan.watch_every == 0))
        ):
            _look(watch, done, history, learning)
        if checkpoint and checkpoint.due() and not last:
            state = {key: part.state_dict() for key, part in moving.items()}
            checkpoint.save({**state, "random": random_state()})
    return history


def _look(watch: Watch, done: int, history: History, learning: Any) -> None:
    """A full disk or an image that cannot be drawn must not end days of training."""
    try:
        watch(done, history, learning)
    except Exception as error:
        warnings.warn(f"no look at iteration {done}: {error}; training goes on", stacklevel=2)


def _of_whole_batch(losses: Mapping[str, Tensor], compute: Compute) -> Mapping[str, Tensor]:
    if shares.world() == 1:
        return losses
    means = compute.mean(torch.stack([loss.detach() for loss in losses.values()]))
    return dict(zip(losses, means, strict=True))


def _check_same_iteration(first: int, compute: Compute) -> None:
    """Refuse to train from checkpoints of different iterations.

    Raises:
        UserError: a process found another checkpoint, or none.
    """
    if shares.world() == 1:
        return
    here = torch.tensor([float(first)], dtype=torch.float64, device=compute.device)
    found = sorted(set(shares.gathered(here).tolist()))
    if len(found) > 1:
        raise UserError(
            f"the processes resume at iterations {', '.join(f'{t:.0f}' for t in found)}: all must "
            "see one .scratch folder; put the project on a file system that they share"
        )


class Several:
    """Batches of several kinds, one of each an iteration.

    Args:
        kinds: endless batches, by name.
    """

    def __init__(self, **kinds: Batches[Any]) -> None:
        self._kinds = kinds

    def __next__(self) -> tuple[Any, ...]:
        """The next batch of each kind, in order."""
        return tuple(next(batches) for batches in self._kinds.values())

    def state_dict(self) -> dict[str, Any]:
        """Of each kind."""
        return {name: batches.state_dict() for name, batches in self._kinds.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the saved batches stood."""
        for name, batches in self._kinds.items():
            batches.load_state_dict(state[name])


class Parts:
    """A `Learning` of which the attributes named by `moving` move, and nothing else does."""

    moving: tuple[str, ...] = ()

    def state_dict(self) -> dict[str, Any]:
        """Everything that moves."""
        return {name: getattr(self, name).state_dict() for name in self.moving}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        for name in self.moving:
            getattr(self, name).load_state_dict(state[name])


def plain(net: nn.Module) -> dict[str, Tensor]:
    """A network's weights for a file: on the CPU, equal weights in equal bytes."""
    return {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
