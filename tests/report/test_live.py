"""The live view, off heartbeats and a log of Snakemake."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from crgan.common.io import write_json
from crgan.report.live import SILENT, beats, duration, follow, steps, view

FACTS = {
    "stage": "train_gan", "loop": "CR-GAN", "unit": "it", "done": 90, "total": 450, "rate": 3.0,
    "cell": {"profile": "demo", "method": "crgan", "model": "crgan", "source": "market1501",
             "target": "dukemtmc", "seed": 0},
    "images_per_second": 12.0, "seconds_left": 120.0, "losses": {"adv": 0.6931, "id": 2.5},
    "started": "2026-11-28T01:00:00+00:00",
}  # fmt: skip


def write(root: Path, name: str, **other: Any) -> None:
    now = datetime.now(UTC).isoformat()
    path = root / ".scratch/live/demo" / f"{name}.json"
    write_json(path, {**FACTS, "pid": os.getpid(), "time": now, **other})


def shown(root: Path, profile: str | None = None) -> str:
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(view(root, profile))
    return console.export_text()


def test_a_running_job_is_shown_with_place_losses_rate_and_time_left(tmp_path: Path) -> None:
    write(tmp_path, "a")
    text = shown(tmp_path)
    for part in ("train_gan crgan market1501 dukemtmc 0", "90 of 450 (20 %)", "12", "2:00",
                 "adv 0.693 id 2.5"):  # fmt: skip
        assert part in text
    assert "silent" not in text
    assert "No stage runs" in shown(tmp_path, "paper")


def test_a_job_that_only_began_one_that_is_silent_and_one_that_died(tmp_path: Path) -> None:
    write_json(
        tmp_path / ".scratch/live/demo/new.json",
        {"stage": "evaluate", "cell": {}, "pid": os.getpid(), "started": "x",
         "time": datetime.now(UTC).isoformat()},
    )  # fmt: skip
    assert "starting" in shown(tmp_path)
    write(tmp_path, "old")
    (old,) = (b for b in beats(tmp_path, None, time.time() + 2 * SILENT) if "loop" in b.facts)
    assert old.silent is not None and 2 * SILENT - 5 < old.silent < 2 * SILENT + 60  # noqa: PT018
    write(tmp_path, "dead", pid=2**22 + 1)  # above the highest pid of Linux
    assert "ended without a word" in shown(tmp_path)


def test_a_damaged_heartbeat_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (tmp_path / ".scratch/live/demo/b.json").write_text("{")
    assert len(beats(tmp_path, "demo", time.time())) == 1


def test_jobs_done_come_from_the_newest_log(tmp_path: Path) -> None:
    assert steps(tmp_path) is None
    logs = tmp_path / ".snakemake/log"
    logs.mkdir(parents=True)
    (logs / "2026-01-01.snakemake.log").write_text("9 of 9 steps (100%) done\n")
    (logs / "2026-01-02.snakemake.log").write_text(
        "1 of 145 steps (1%) done\nExecute\n60 of 145 steps (41%) done\n"
    )
    assert steps(tmp_path) == (60, 145)
    assert "60 of 145 jobs done" in shown(tmp_path)


def test_once_prints_and_returns(tmp_path: Path, capsys: Any) -> None:
    follow(tmp_path, None, once=True)
    assert "No stage runs here now" in capsys.readouterr().out


def test_durations_for_people() -> None:
    assert [duration(s) for s in (7.6, 185, 7385)] == ["8 s", "3:05", "2:03:05"]
