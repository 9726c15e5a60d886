"""What every GAN's training does around its iterations: history, samples, checkpoints, a bar."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor, nn

from crgan.gan.base import Report
from crgan.gan.pairs import PairBatches, Pairs
from crgan.looks.samples import Samples
from crgan.pipeline.progress import bar_range
from crgan.train import distributed
from crgan.train.checkpoint import Checkpoint
from crgan.train.history import History
from crgan.train.precision import PLAIN, Compute


class Learning(Protocol):
    """Networks and their optimizers, one iteration after the other."""

    def step(self, t: int, pairs: Pairs, /) -> dict[str, Tensor]:
        """Iteration t, from 0; its losses by name, the same names in every iteration."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any], /) -> None: ...


class Schedule(Protocol):
    """The part of a method's options that the loop reads."""

    @property
    def iterations(self) -> int: ...

    @property
    def history_every(self) -> int: ...

    @property
    def sample_every(self) -> int: ...

    def lr_at(self, t: int) -> float:
        """Learning rate of iteration t, from 0."""
        ...


def iterate(
    name: str,
    training: Learning,
    batches: PairBatches,
    history: History,
    samples: Samples,
    schedule: Schedule,
    checkpoint: Checkpoint | None,
    report: Report | None,
    compute: Compute = PLAIN,
) -> History:
    """Run all iterations that are left; the history is also returned.

    Everything that moves is in a checkpoint, so that a run goes on bit for bit where it stopped. Of
    several processes one draws samples and reports; all know the losses of the whole batch.
    """
    state: dict[str, Any] = {
        "training": training, "batches": batches, "history": history, "samples": samples,
    }  # fmt: skip
    if checkpoint and (saved := checkpoint.load()):
        for key, part in state.items():
            part.load_state_dict(saved[key])
    first, total = history.iteration, schedule.iterations
    distributed.check_same_iteration(first, batches.device)
    watched = distributed.writer()
    bar = bar_range(
        first, total, desc=name, total=total, initial=first, mininterval=1, pictures=batches.batch,
        **distributed.bar_options(),
    )  # fmt: skip
    for t in bar:
        compute.begin()
        history.add(schedule.lr_at(t), distributed.mean_losses(training.step(t, next(batches))))
        done, last = t + 1, t + 1 == total
        if last:
            history.close(schedule.lr_at(t))
        if done % schedule.history_every == 0:
            bar.note(done, history.rows[-1])
        if watched and (done % schedule.sample_every == 0 or last):
            samples.add(done)
            if report:
                report(done, history, samples.latest())
        if checkpoint and checkpoint.due() and not last:
            checkpoint.save({key: part.state_dict() for key, part in state.items()})
    return history


def plain(net: nn.Module) -> dict[str, Tensor]:
    """A network's weights for a file: on the CPU, equal weights in equal bytes."""
    return {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
