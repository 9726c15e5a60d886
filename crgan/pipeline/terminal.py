"""What Snakemake shows of a run: jobs done of all, what runs, the time left, errors with their log;
and of a dry run: how many jobs of which rule, and why.

On a terminal one line that is painted anew; in a file or a pipe a line now and then. All that
Snakemake has to say stands in its own log file, whose name is shown at the end.

Not the logger plugin `rich`: it says nothing between start and end when its output goes to a file,
keeps three lines of every job on a terminal, and does not say how long the rest will take.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text
from snakemake_interface_logger_plugins.common import LogEvent

_EVERY = 20.0  # seconds between two lines in a file
_TAIL = 8  # lines of a failed job's log
# Snakemake's own remarks that say nothing of this run.
_CHATTER = (
    "Activating singularity image", "Assuming unrestricted shared filesystem",
    "Building DAG of jobs", "Conda environments:",
    "Elapsed time:", "Execute ", "Provided cores:", "Provided resources:", "Select jobs to execute",
    "Rules claiming more threads", "Singularity containers:", "Using shell:", "host:", "None",
)  # fmt: skip


# How Snakemake's reasons begin, the telling ones first, and what a plan says for them.
_REASONS = {
    "Forced": "forced",
    "Params have changed": "other parameters",
    "Code has changed": "another rule",
    "Software environment": "another environment",
    "Missing output": "not made yet",
    "Incomplete output": "cut short",
    "Set of input files": "reads other files",
    "Updated input": "what it reads is newer",
    "Input files updated": "what it reads is made anew",
}
_DRY = ("Job stats:", "Reasons:", "Some jobs were triggered", "Rules with provenance")

Jobs = Sequence[tuple[str, Mapping[str, str]]]
"""Rule and wildcards of each job."""


def show_progress(logger: logging.Logger) -> None:
    """Take the place of Snakemake's own handler on stderr; handlers that write files stay."""
    _replace(logger, Progress)


def show_plan(
    logger: logging.Logger, stale: Mapping[str, str], note: Callable[[Jobs], str]
) -> None:
    """The same for a dry run, whose jobs are counted and not listed.

    Args:
        stale: outputs that do not stand, and why; Snakemake takes them for missing.
        note: what else to say of the jobs, below the plan.
    """
    _replace(logger, lambda own: Plan(own, stale, note))


def _replace(logger: logging.Logger, make: Callable[[TextIO], logging.Handler]) -> None:
    for handler in list(logger.handlers):
        if isinstance(handler, logging.StreamHandler) and not isinstance(
            handler, logging.FileHandler
        ):
            logger.removeHandler(handler)
            ours = make(handler.stream)
            ours.filters = handler.filters  # what --quiet and --verbose ask for
            logger.addHandler(ours)


def _console(stream: TextIO) -> Console:
    """A file is no terminal, whatever $FORCE_COLOR says: nothing is painted anew in it."""
    return Console(file=stream, force_terminal=stream.isatty(), highlight=False, soft_wrap=True)


class Plan(logging.Handler):
    """Turns the log records of a dry run into a short table.

    Args:
        stream: where it goes.
        stale, note: as in `show_plan`.
    """

    def __init__(
        self, stream: TextIO, stale: Mapping[str, str], note: Callable[[Jobs], str]
    ) -> None:
        super().__init__(logging.INFO)
        self._console, self._stale, self._note = _console(stream), stale, note
        self._jobs: dict[int, tuple[str, Mapping[str, str], str]] = {}
        self._order: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect jobs; at the end, show them."""
        try:
            self._take(record, getattr(record, "event", None))
        except Exception:
            self.handleError(record)

    def _take(self, record: logging.LogRecord, event: Any) -> None:
        text = record.getMessage().strip()
        if event == LogEvent.RUN_INFO:
            self._order = [rule for rule in record.stats if rule != "total"]  # type: ignore[attr-defined]
        elif event == LogEvent.JOB_INFO:
            rule, wildcards = record.rule_name, dict(record.wildcards)  # type: ignore[attr-defined]
            outputs: Sequence[str] = record.output  # type: ignore[attr-defined]
            found = [self._stale[name] for name in outputs if name in self._stale]
            why = _head(found[0]) if found else _why(record.reason)  # type: ignore[attr-defined]
            self._jobs[record.jobid] = rule, wildcards, why  # type: ignore[attr-defined]
        elif text.startswith("This was a dry-run"):
            self._show()
        elif record.levelno >= logging.WARNING or (
            event is None and text and not text.startswith((*_CHATTER, *_DRY))
        ):
            self._console.print(Text(text))

    def _show(self) -> None:
        jobs = list(self._jobs.values())
        counts = Counter(rule for rule, _, _ in jobs)
        width = max(map(len, counts), default=0)
        lines = [f"{len(jobs)} jobs would run (snakemake -n --printshellcmds lists them):"]
        for rule in sorted(counts, key=lambda r: self._order.index(r) if r in self._order else -1):
            found = Counter(why for name, _, why in jobs if name == rule)
            several = len(found) > 1
            whys = ", ".join(f"{n} {why}" if several else why for why, n in found.most_common())
            lines.append(f"{counts[rule]:6}  {rule:{width}}  {whys}")
        if note := self._note([(rule, wildcards) for rule, wildcards, _ in jobs]):
            lines += ["", note]
        self._console.print(Text("\n".join(lines)))


def _head(reason: str) -> str:
    """Of the reason why an output does not stand; a file it begins with is an input."""
    head = reason.partition(":")[0]
    return "what it reads is made anew" if "/" in head else head


def _why(reason: str) -> str:
    """The most telling of the reasons that Snakemake gives for a job."""
    given = [part.strip() for part in re.split(r"; (?=[A-Z])", reason)]
    for begin, said in _REASONS.items():
        if any(part.startswith(begin) for part in given):
            return said
    return given[0].partition(":")[0].lower()


class Progress(logging.Handler):
    """Turns Snakemake's log records into one line of progress.

    Args:
        stream: where it goes; whether that is a terminal decides the form.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.INFO)
        self._console = _console(stream)
        self._status: Status | None = None
        self._running: dict[int, str] = {}
        self._failed: set[str] = set()
        self._done = self._total = 0
        self._began = self._last = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record changes; never let a look end a run."""
        try:
            self._take(record, getattr(record, "event", None))
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._status:
            self._status.stop()
        super().close()

    def _take(self, record: logging.LogRecord, event: Any) -> None:
        if event == LogEvent.RUN_INFO:
            self._total = record.stats["total"]  # type: ignore[attr-defined]
            self._began = time.monotonic()
            self._show(now=True)
        elif event == LogEvent.JOB_INFO:
            job, rule = record.jobid, record.rule_name  # type: ignore[attr-defined]
            values = " ".join(record.wildcards.values())  # type: ignore[attr-defined]
            self._running[job] = f"{rule} {values}".strip()
            self._failed.discard(self._running[job])  # an attempt after a failed one
            self._show()
        elif event == LogEvent.JOB_FINISHED:
            self._running.pop(record.job_id, None)  # type: ignore[attr-defined]
        elif event == LogEvent.PROGRESS:
            self._done, self._total = record.done, record.total  # type: ignore[attr-defined]
            self._show(now=self._done == self._total)
        elif event == LogEvent.JOB_ERROR:
            self._show_failure(record)
        elif event is None or event == LogEvent.ERROR:
            self._pass_on(record)

    def _show_failure(self, record: logging.LogRecord) -> None:
        """The job, its log's name and the end of it; once, though Snakemake repeats it."""
        job, rule = record.jobid, record.rule_name  # type: ignore[attr-defined]
        name = self._running.pop(job, rule)
        logs = [Path(path) for path in record.log]  # type: ignore[attr-defined]
        if name in self._failed:
            return
        self._failed.add(name)
        self._print(f"failed: {name}", "red")
        for path in logs:
            if path.is_file():
                lines = path.read_text(errors="replace").replace("\r", "\n").splitlines()
                self._print("\n".join(f"    {line}" for line in lines[-_TAIL:]))
            self._print(f"    log: {path}")

    def _pass_on(self, record: logging.LogRecord) -> None:
        """Messages that are no event: warnings and errors whole, remarks if they say something."""
        text = record.getMessage().strip()
        if text.startswith("RuleException:\nCalledProcessError"):
            return  # a shell command's status; the job's own failure follows, with its log
        if record.levelno < logging.WARNING and (not text or text.startswith(_CHATTER)):
            return
        if text.startswith("Complete log"):
            if self._status:
                self._status.stop()
            if self._total:
                self._print(f"{self._done} of {self._total} jobs in {_spoken(self._seconds())}")
        style = {logging.WARNING: "yellow", logging.ERROR: "red"}.get(record.levelno, "")
        self._print(text, style)

    def _show(self, *, now: bool = False) -> None:
        line = f"{self._done} of {self._total} jobs done"
        if self._running:
            line += f", running: {', '.join(self._running.values())}"
        if 0 < self._done < self._total:
            left = self._seconds() / self._done * (self._total - self._done)
            line += f", about {_spoken(left)} left"
        if self._console.is_terminal:
            text = Text(line, no_wrap=True, overflow="ellipsis")
            if self._status is None:
                self._status = self._console.status(text, refresh_per_second=4)
                self._status.start()
            self._status.update(text)
        elif now or (self._running and time.monotonic() - self._last > _EVERY):
            self._last = time.monotonic()
            self._print(line)

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))


def _spoken(seconds: float) -> str:
    """Such as 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
