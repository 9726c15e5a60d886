"""What runs now: stage, cell, iteration, losses, images a second, time left.

Reads the heartbeats of running stages (`crgan.pipeline.progress`) and Snakemake's newest log, and
touches neither. A heartbeat that has stood still is shown as such: a killed job leaves one behind.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.pipeline.progress import FOLDER

SILENT = 60.0  # seconds without a beat after which a job is called silent
_LOSSES = 5
_AXES = ("method", "table", "role", "dataset", "source", "target", "a", "b", "seed")
_STEPS = re.compile(r"^(\d+) of (\d+) steps \(\d+%\) done$", re.MULTILINE)
_TAIL = 20_000  # bytes of a log that are read


@dataclass(frozen=True)
class Beat:
    """One running stage, as its heartbeat says; `silent`: seconds since, where that is long."""

    facts: Mapping[str, Any]
    silent: float | None
    gone: bool


def beats(root: Path, profile: str | None, now: float) -> list[Beat]:
    """The heartbeats below a project's folder, the earliest start first.

    Args:
        root: of the project.
        profile: only this profile's; None for all.
        now: seconds since the epoch.
    """
    found = []
    for path in (root / FOLDER).glob(f"{profile or '*'}/*.json"):
        try:
            facts = read_json(path)
            since = now - datetime.fromisoformat(facts["time"]).timestamp()
            found.append(Beat(facts, since if since > SILENT else None, not _runs(facts["pid"])))
        except (UserError, KeyError, ValueError, TypeError):
            continue  # it ended while we looked, or is of another version
    return sorted(found, key=lambda beat: str(beat.facts["started"]))


def steps(root: Path) -> tuple[int, int] | None:
    """Jobs done and to do, as the newest log of Snakemake says; None where it does not."""
    logs = sorted((root / ".snakemake" / "log").glob("*.snakemake.log"))
    if not logs:
        return None
    with open(logs[-1], "rb") as file:
        file.seek(max(0, logs[-1].stat().st_size - _TAIL))
        found = _STEPS.findall(file.read().decode(errors="replace"))
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def view(root: Path, profile: str | None, now: float | None = None) -> RenderableType:
    """The screen."""
    now = time.time() if now is None else now
    table = Table(expand=True)
    for name in ("job", "where", "done", "images/s", "left", "losses"):
        table.add_column(name, overflow="fold", justify="right" if "s/s" in name else "left")
    running = beats(root, profile, now)
    for beat in running:
        table.add_row(*_row(beat), style="dim" if beat.gone else "")
    parts: list[RenderableType] = []
    if done := steps(root):
        parts.append(Text(f"Snakemake's newest run: {done[0]} of {done[1]} jobs done"))
    parts.append(table if running else Text("No stage runs here now."))
    stamp = datetime.fromtimestamp(now, UTC).strftime("%H:%M:%S UTC")
    parts.append(Text(f"{stamp}; Ctrl-C ends this view, not the run", style="dim"))
    return Group(*parts)


def follow(root: Path, profile: str | None, *, once: bool = False) -> None:
    """Show the screen until Ctrl-C, anew each second; or once."""
    console = Console()
    if once or not console.is_terminal:
        console.print(view(root, profile))
        return
    with Live(view(root, profile), console=console, auto_refresh=False) as screen:
        try:
            while True:
                time.sleep(1)
                screen.update(view(root, profile), refresh=True)
        except KeyboardInterrupt:
            return


def _row(beat: Beat) -> list[str]:
    facts = beat.facts
    cell = [str(facts["cell"][axis]) for axis in _AXES if axis in facts["cell"]]
    job = " ".join([facts["stage"], *cell])
    if "loop" not in facts:
        return [job, _state(beat) or "starting", "", "", "", ""]
    done, total = facts["done"], facts["total"]
    share = f"{done} of {total} ({100 * done / total:.0f} %)" if total else str(done)
    speed = facts["images_per_second"]
    losses = list(facts["losses"].items())[:_LOSSES]
    return [
        job,
        _state(beat) or facts["loop"],
        share,
        f"{speed:.0f}" if speed else "",
        duration(facts["seconds_left"]) if facts["seconds_left"] is not None else "",
        " ".join(f"{name} {value:.3g}" for name, value in losses),
    ]


def _state(beat: Beat) -> str:
    if beat.gone:
        return "ended without a word; its file may be deleted"
    return f"silent for {duration(beat.silent)}" if beat.silent else ""


def duration(seconds: float) -> str:
    """Seconds for people: 8 s, 3:05, 2:03:05."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    if not hours and rest < 60:
        return f"{rest} s"
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _runs(pid: int) -> bool:
    """Whether a process of this machine is there; one of another machine is judged by silence."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
