"""Stages forked from a warm process behave as stages that were started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crgan.pipeline import containers as images
from crgan.pipeline import warm

STAGE = """
import json, os, signal, sys, time

what = sys.argv[1]
seen = json.dumps({
    "pid": os.getpid(), "argv": sys.argv[1:], "cwd": os.getcwd(), "marker": os.environ["MARKER"],
    "address": os.environ.get("CRGAN_WARM"), "preloaded": "colorsys" in sys.modules,
    "umask": os.umask(0o22), "read": sys.stdin.read(),
})
print("to stderr", file=sys.stderr)
if what == "raise":
    raise ValueError("no good")
if what == "wait":
    try:
        print(seen, flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise SystemExit(7)
if what == "die":
    os.kill(os.getpid(), signal.SIGKILL)
print(seen)
print("not flushed by the stage")
sys.exit(int(what))
"""


def _until(held: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not held():
        assert time.monotonic() < end, "waited 20 s"
        time.sleep(0.02)


def _heeds_interrupts() -> None:
    """Tests that a shell started in the background ignore SIGINT, and so would their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Toy:
    """A project whose stage is `STAGE`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "stages").mkdir()
        shutil.copy(images.ROOT / "stages" / "__init__.py", folder / "stages")
        (folder / "stages" / "toy.py").write_text(STAGE)

    def popen(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "stages.toy", *argv], cwd=self.folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "MARKER": "of the job"}, umask=0o027, preexec_fn=_heeds_interrupts,
        )  # fmt: skip

    def run(self, *argv: str) -> tuple[int, str, str, int]:
        process = self.popen(*argv)
        out, err = process.communicate("given", timeout=30)
        return process.returncode, out, err, process.pid

    def waiting(self) -> tuple[subprocess.Popen[str], int]:
        """A job that waits, and the process that runs its stage."""
        job = self.popen("wait")
        assert job.stdin
        assert job.stdout
        job.stdin.close()
        return job, int(json.loads(job.stdout.readline())["pid"])


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setenv("PYTHONPATH", str(images.ROOT))
    monkeypatch.delenv(warm.ADDRESS, raising=False)
    return Toy(tmp_path)


@pytest.fixture
def starter(toy: Toy) -> Iterator[subprocess.Popen[str]]:
    """A process that started a warm one and waits, as Snakemake does."""
    text = (
        "import os, sys; from crgan.run import warm; warm.start(1, ['colorsys']);"
        "print(os.environ[warm.ADDRESS], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=_heeds_interrupts,
    ) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(warm.ADDRESS, address)
            _until(lambda: Path(address).exists())
            yield process
        process.kill()
    _until(lambda: not Path(address).parent.exists())


@pytest.mark.usefixtures("starter")
@pytest.mark.parametrize(("what", "status"), [("0", 0), ("3", 3)])
def test_a_stage_finds_all_that_it_would_find(toy: Toy, what: str, status: int) -> None:
    code, out, err, pid = toy.run(what, "--flag", "ä b")
    first, last = out.splitlines()
    found = json.loads(first)
    assert (code, last, err) == (status, "not flushed by the stage", "to stderr\n")
    assert found.pop("pid") != pid
    assert found == {
        "argv": [what, "--flag", "ä b"], "cwd": str(toy.folder), "marker": "of the job",
        "address": None, "preloaded": True, "umask": 0o027, "read": "given",
    }  # fmt: skip


@pytest.mark.usefixtures("starter")
def test_an_exception_is_printed_and_ends_with_1(toy: Toy) -> None:
    code, _, err, _ = toy.run("raise")
    assert code == 1
    assert err.endswith("ValueError: no good\n")


@pytest.mark.usefixtures("starter")
def test_a_killed_stage_ends_its_job_by_the_same_signal(toy: Toy) -> None:
    assert toy.run("die")[0] == -signal.SIGKILL


@pytest.mark.usefixtures("starter")
@pytest.mark.parametrize(("number", "status"), [(15, -15), (2, 7)])
def test_signals_reach_the_stage(toy: Toy, number: int, status: int) -> None:
    job, pid = toy.waiting()
    assert job.pid != pid
    job.send_signal(number)
    assert job.stdout
    out = job.stdout.read()
    assert job.wait(20) == status
    assert ("interrupted" in out) == (status == 7)
    _until(lambda: not _lives(pid))


@pytest.mark.usefixtures("starter")
def test_a_stage_does_not_outlive_its_killed_job(toy: Toy) -> None:
    job, pid = toy.waiting()
    job.kill()
    job.wait(20)
    _until(lambda: not _lives(pid))
    assert toy.run("0")[0] == 0  # and the warm process goes on


def test_what_runs_when_the_starter_is_killed_may_end(
    toy: Toy, starter: subprocess.Popen[str]
) -> None:
    job, pid = toy.waiting()
    starter.kill()
    code, out, _, client = toy.run("0")  # nobody is served any more
    assert code == 0
    assert json.loads(out.splitlines()[0])["pid"] == client
    assert _lives(pid)
    job.send_signal(signal.SIGINT)
    assert job.wait(20) == 7


def test_without_a_warm_process_it_starts_cold(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(warm.ADDRESS, str(toy.folder / "nobody"))
    code, out, _, pid = toy.run("0")
    found = json.loads(out.splitlines()[0])
    assert (code, found["pid"], found["preloaded"]) == (0, pid, False)


@pytest.mark.usefixtures("starter")
def test_another_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm.sys, "prefix", "/of/another")
    monkeypatch.setattr(warm.sys, "argv", ["-m"])
    monkeypatch.setattr(warm.sys, "orig_argv", ["python", "-m", "stages.toy"])
    before = signal.getsignal(signal.SIGINT)
    warm.hand_over()  # returns: this process would run the stage itself
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("starter")
def test_a_stage_in_an_image_runs_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "inside", lambda: {"name": "training"})
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("asked the host"))
    monkeypatch.setattr(warm.sys, "argv", ["-m"])
    warm.hand_over()


def test_who_sets_the_address_starts_jobs_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(warm.ADDRESS, "off")
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    warm.start(1)
    assert os.environ[warm.ADDRESS] == "off"


@pytest.mark.usefixtures("starter")
def test_another_command_is_not_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest, say, which imports the stages."""
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("asked"))
    warm.hand_over()
