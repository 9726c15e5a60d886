"""Killed runs recover: no half-written file is ever taken for a result."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from crgan.pipeline.records import record_path
from tests.stub_project import SMALL, clean_environment, make, run, starts

WEIGHTS = "artifacts/demo/weights/lpips.pt"
SNAKEMAKE = ("snakemake", "--cores", "1", WEIGHTS)
DVC = ("dvc", "repro", "-q", "data")
LIMIT = 120.0  # seconds until a job must have started


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("kill") / "project", SMALL, tables=(1, 2, 6))


@pytest.fixture
def project(made: Path) -> Path:
    """The project as it was made; only this stage's files change in these tests."""
    run(made, "git", "clean", "-qfdx")
    return made


def start(folder: Path, command: tuple[str, ...], seconds: float = 600) -> subprocess.Popen[bytes]:
    """Start an engine whose stage has written its output and now hangs before its record."""
    environment = clean_environment(
        folder, STUB_HANG=WEIGHTS, STUB_SECONDS=str(seconds), PYTHONUNBUFFERED="1"
    )
    engine = subprocess.Popen(
        command, cwd=folder, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + LIMIT
    while not (folder / ".scratch/pid").is_file():
        assert engine.poll() is None, "the engine ended before its stage hung"
        assert time.monotonic() < end, "the stage did not start"
        time.sleep(0.05)
    assert (folder / WEIGHTS).is_file()
    assert not record_path(folder / WEIGHTS).exists()
    return engine


def stage_pid(folder: Path) -> int:
    return int((folder / ".scratch/pid").read_text())


def finished(folder: Path, command: tuple[str, ...]) -> None:
    """Run again and see that the stage was done again, in full."""
    starts(folder)
    run(folder, *command)
    assert f"fetch_weights {WEIGHTS}" in starts(folder)
    assert record_path(folder / WEIGHTS).is_file()


@pytest.mark.parametrize("command", [SNAKEMAKE, DVC], ids=["snakemake", "dvc"])
def test_a_killed_stage(project: Path, command: tuple[str, ...]) -> None:
    engine = start(project, command)
    os.kill(stage_pid(project), signal.SIGKILL)
    assert engine.wait(LIMIT) != 0
    finished(project, command)


def test_a_killed_snakemake(project: Path) -> None:
    engine = start(project, SNAKEMAKE)
    os.killpg(engine.pid, signal.SIGKILL)
    engine.wait(LIMIT)
    finished(project, SNAKEMAKE)


def test_a_killed_dvc(project: Path) -> None:
    engine = start(project, DVC)
    os.killpg(engine.pid, signal.SIGKILL)
    engine.wait(LIMIT)
    finished(project, DVC)


def test_an_orphan_that_goes_on_writing(project: Path) -> None:
    """Its engine is gone, but the stage ends well: what it wrote is whole, and has its record."""
    engine = start(project, SNAKEMAKE, seconds=1)
    engine.kill()
    engine.wait(LIMIT)
    end = time.monotonic() + LIMIT
    while not record_path(project / WEIGHTS).is_file():
        assert time.monotonic() < end
        time.sleep(0.05)
    content = (project / WEIGHTS).read_bytes()
    run(project, *SNAKEMAKE)
    assert (project / WEIGHTS).read_bytes() == content
    assert record_path(project / WEIGHTS).is_file()
