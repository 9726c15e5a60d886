"""The progress bar of every long loop, and the heartbeat behind it.

A bar is tqdm's, with two things more. While a stage runs, the bar also writes a small JSON file, at
most once a second: stage, cell, place in the loop, losses, images a second, seconds left.
`crgan live` reads these files. Where $CRGAN_LOG asks for it, what is noted on the
bar goes to TensorBoard or DVCLive as well. Neither touches a result: no random state, no output.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TextIO

from tqdm import tqdm

from crgan.common.errors import UserError
from crgan.common.io import write_json

FOLDER = Path(".scratch/live")
LOG = "CRGAN_LOG"  # environment: tensorboard or dvclive; unset or empty for neither
LOGS = Path(".scratch/logs")
# Not among the requirements: only who asks for a log needs it. These versions have been run.
PACKAGES = {"tensorboard": "tensorboard==2.21.0", "dvclive": "dvclive==3.49.1"}
_EVERY = 1.0  # seconds between two beats


class Heartbeat:
    """The file that says how far a running stage is; at most one a process.

    Args:
        path: of the file; it goes when the stage ends, however it ends, short of a kill.
        about: stage, cell and the like, the same in every beat.
        resumed: an earlier run was cut short: a log goes on where it would else begin anew.
    """

    def __init__(self, path: Path, about: Mapping[str, Any], resumed: bool = False) -> None:
        self.path = path
        self.about = {**about, "pid": os.getpid(), "started": _now()}
        self.log = _log(LOGS / path.stem, resumed)
        self._last = -math.inf

    def beat(self, state: Mapping[str, Any], *, force: bool = False) -> None:
        """Write the state, unless the last beat is less than a second ago."""
        if force or time.monotonic() - self._last >= _EVERY:
            self._last = time.monotonic()
            write_json(self.path, {**self.about, **state, "time": _now()})

    def close(self) -> None:
        """Remove the file: the stage no longer runs."""
        self.path.unlink(missing_ok=True)
        if self.log:
            self.log.close()


_current: Heartbeat | None = None


@contextmanager
def heartbeat(
    profile: str, name: str, about: Mapping[str, Any], resumed: bool = False
) -> Iterator[Heartbeat]:
    """While this lasts, bars of this process write the heartbeat `name` of a profile.

    Raises:
        UserError: $CRGAN_LOG asks for a log there is not, or whose package is not installed.
    """
    global _current
    _current = Heartbeat(FOLDER / profile / f"{name}.json", about, resumed)
    try:
        _current.beat({}, force=True)
        yield _current
    finally:
        _current.close()
        _current = None


class Lossy(io.TextIOBase):
    """A stream whose failed writes are lost: a log on a full disk must not end a training."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """All of `text`, as far as it can be written."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """See `io.IOBase`."""
        with suppress(OSError):
            self._stream.flush()

    def fileno(self) -> int:
        """See `io.IOBase`."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """See `io.TextIOBase`."""
        return self._stream.encoding

    def isatty(self) -> bool:
        """See `io.IOBase`."""
        return self._stream.isatty()


class Bar(tqdm):  # not tqdm[...]: it is no generic class at run time
    """tqdm with a heartbeat.

    Args:
        images: images in an iteration, for the rate in images a second; with unit "img" an
            iteration is one image.
    """

    def __init__(self, *args: Any, images: int = 0, **options: Any) -> None:
        self._images = 1 if options.get("unit") == "img" else images
        self._noted: dict[str, float] = {}
        self._loop = str(options.get("desc") or "loop")  # a bar that TQDM_DISABLE hides has no desc
        super().__init__(*args, **options)

    def note(self, step: int, values: Mapping[str, float]) -> None:
        """Losses and the like after iteration `step` (from 1): behind the bar, and in the log."""
        self._noted = {name: float(value) for name, value in values.items() if name != "iteration"}
        shown = {name: f"{value:.3g}" for name, value in self._noted.items()}
        self.set_postfix(shown, refresh=False)
        if _current is not None and _current.log is not None:
            _current.log.write(self._loop, step, self._noted)

    def display(self, *args: Any, **options: Any) -> Any:
        """Called by tqdm when the bar is to be drawn anew, at most ten times a second."""
        shown = super().display(*args, **options)
        if _current is not None:
            _current.beat(self._state(), force=self.n == self.total)
        return shown

    def _state(self) -> dict[str, Any]:
        facts = self.format_dict
        rate = facts["rate"] or (
            (self.n - self.initial) / facts["elapsed"] if facts["elapsed"] else 0.0
        )
        left = (self.total - self.n) / rate if self.total and rate else None
        return {
            "loop": str(self.desc or "").removesuffix(": "),
            "unit": self.unit,
            "done": self.n,
            "total": self.total,
            "rate": rate,
            "images_per_second": rate * self._images if self._images else None,
            "seconds_left": left,
            "losses": self._noted,
        }


def bar_range(*args: int, **options: Any) -> Bar:
    """`Bar(range(...), ...)`."""
    return Bar(range(*args), **options)


class Log(Protocol):
    """Where noted values go besides the bar."""

    def write(self, loop: str, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


def _log(folder: Path, resumed: bool) -> Log | None:
    kind = os.environ.get(LOG, "")
    if not kind:
        return None
    kinds: dict[str, Callable[[Path], Log]] = {"tensorboard": _TensorBoard, "dvclive": _DvcLive}
    if kind not in kinds:
        raise UserError(f"${LOG} is {kind!r}; use {' or '.join(kinds)}, or leave it unset")
    if not resumed:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        return kinds[kind](folder)
    except ImportError as error:
        raise UserError(
            f"${LOG} is {kind!r}, but {error}; run: python -m pip install {PACKAGES[kind]}, "
            "or leave it unset"
        ) from None


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def write(self, loop: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{loop}/{name}", value, step)

    def close(self) -> None:
        self._writer.close()


class _DvcLive:
    def __init__(self, folder: Path) -> None:
        from dvclive import Live

        # no experiment and no report: these would write into the project's own history
        self._live = Live(
            str(folder), resume=True, save_dvc_exp=False, dvcyaml=None, report=None
        )  # fmt: skip

    def write(self, loop: str, step: int, values: Mapping[str, float]) -> None:
        self._live.step = step
        for name, value in values.items():
            self._live.log_metric(f"{loop}/{name}", value)

    def close(self) -> None:
        self._live.end()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
