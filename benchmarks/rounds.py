"""Candidates side by side: interleaved rounds in one process, medians, peak memory.

Interleaving lets other load on the machine fall on all candidates alike; ratios then hold better
than times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass
class Timing:
    """One candidate's rounds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    extra_mb: list[float] = field(default_factory=list)
    result: object = None


def compare(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Run each candidate `rounds` times, in turn."""
    timings = {name: Timing() for name in candidates}
    for _ in range(rounds):
        for name, run in candidates.items():
            timing = timings[name]
            resident = _memory_mb("VmRSS", reset_peak=True)
            wall, cpu = time.perf_counter(), time.process_time()
            timing.result = run()
            timing.wall.append(time.perf_counter() - wall)
            timing.cpu.append(time.process_time() - cpu)
            timing.extra_mb.append(_memory_mb("VmHWM") - resident)
    return timings


def table(timings: Mapping[str, Timing], *, relative_to: str) -> str:
    """Median wall and CPU seconds, ratio of wall times, most memory above the start of a call."""
    base = statistics.median(timings[relative_to].wall)
    width = max(map(len, timings))
    lines = [f"{'':{width}}  wall s   cpu s   ratio  extra MB"]
    for name, timing in timings.items():
        wall, cpu = statistics.median(timing.wall), statistics.median(timing.cpu)
        lines.append(
            f"{name:{width}}  {wall:6.2f}  {cpu:6.2f}  {wall / base:6.3f}  "
            f"{max(timing.extra_mb):8.0f}"
        )
    return "\n".join(lines)


def _memory_mb(name: str, *, reset_peak: bool = False) -> float:
    """A field of Linux's process status, in MB; not a number elsewhere."""
    if not _STATUS.exists():
        return float("nan")
    if reset_peak:
        _CLEAR.write_text("5")
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024
