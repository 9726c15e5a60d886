"""Runs of the workflow at smoke scale under kills and on bad disks, and whether they come to the
bytes of an undisturbed run. Not in `make test`: it takes minutes and, for the disks, root.

    python -m tests.trials.robustness --kills 10 --disks 10 --seed 0

A kill ends Snakemake and its jobs at a random moment, one to three times, before the run that ends.
A disk is a small tmpfs in place of one of the project's folders: full, read-only, or one that such
a folder is a link to. A trial is right when every run that fails says so without a traceback, and
when the run after the mend has the same bytes.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from crgan.common.io import sha256_file
from tests.stub_project import SMALL, clean_environment, make

SCORE = "results/smoke/cells/{}/market1501-dukemtmc/seed0.json"
WHOLE = (SCORE.format("crgan"), SCORE.format("direct_transfer"))
PART = (SCORE.format("direct_transfer"), "artifacts/smoke/masks/dukemtmc.h5")  # without a GAN
FOLDERS = ("artifacts", "results", "resources", ".scratch", "logs")
SETTINGS = {
    "profile": "smoke",
    "run_pairs": ["main"],
    **SMALL,
    "methods": {name: SMALL["methods"][name] for name in ("crgan", "direct_transfer")},
}
BAD = re.compile(r"Traceback|Segmentation|core dumped|Bus error|Aborted")
TOLD = re.compile(r"^.*(?:disk is full|read-only|no permission|cannot be written).*$", re.M)


class Trials:
    """Runs of copies of one small project.

    Args:
        folder: where all of it lies.
        seed: of the moments, sizes and places.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.outside = {"XDG_CACHE_HOME": str(folder / "cache")}  # Snakemake's: on no bad disk
        self.made = make(folder / "made", SETTINGS, stubbed=False)
        self.failures: list[str] = []
        self.done: dict[str, list[bool]] = {}
        project = self.copy("undisturbed")
        started = time.monotonic()
        self.require(self.snakemake(project, WHOLE))
        self.seconds = time.monotonic() - started
        self.expected = contents(project)
        shutil.rmtree(project)
        project = self.copy("part")
        self.require(self.snakemake(project, PART))
        self.need = {name: occupied(project / name) for name in FOLDERS}

    def copy(self, name: str) -> Path:
        """The project before its first run."""
        target = self.folder / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.made, target, symlinks=True)
        return target

    def snakemake(
        self, project: Path, targets: tuple[str, ...], **environment: str
    ) -> tuple[int, str]:
        """Status, and all that was said: on the terminal and in the jobs' logs."""
        done = subprocess.run(
            ("snakemake", "--cores", "2", *targets), cwd=project, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=clean_environment(project, **{**self.outside, **environment}),
        )  # fmt: skip
        logs = (path.read_text(errors="replace") for path in (project / "logs").rglob("*.log"))
        return done.returncode, "\n".join([done.stdout, *logs])

    def require(self, found: tuple[int, str]) -> None:
        """End the trials where even an ordinary run fails."""
        if found[0]:
            raise SystemExit(found[1])

    def note(self, kind: str, faults: list[str]) -> None:
        """Count a trial; say at once what was wrong with it."""
        self.done.setdefault(kind, []).append(not faults)
        for fault in faults:
            self.failures.append(f"{kind}: {fault}")
        print(f"{kind}: {'; '.join(faults) or 'right'}", flush=True)

    def same(self, project: Path) -> list[str]:
        """What differs from the undisturbed run, of what is there."""
        found = contents(project)
        faults = [f"{n} differs" for n in sorted(found) if found[n] != self.expected.get(n)]
        return faults if found else ["nothing was made"]

    def after_the_mend(self, project: Path, targets: tuple[str, ...] = PART) -> list[str]:
        """Run, where all is well again."""
        subprocess.run(("snakemake", "--unlock"), cwd=project, capture_output=True,
                       env=clean_environment(project))  # fmt: skip
        status, text = self.snakemake(project, targets)
        return self.same(project) if status == 0 else [f"after the mend: {text.strip()[-300:]}"]

    # --- kills ---

    def kill(self) -> None:
        """Kill Snakemake and its jobs at random moments, then let it end."""
        project = self.copy("killed")
        for _ in range(self.random.randint(1, 3)):
            engine = subprocess.Popen(
                ("snakemake", "--cores", "2", *WHOLE), cwd=project, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=clean_environment(project, CRGAN_CHECKPOINT_SECONDS="0"),
            )  # fmt: skip
            try:
                engine.wait(self.random.uniform(0.05, 1) * self.seconds)
            except subprocess.TimeoutExpired:
                end_all(engine, project)
            subprocess.run(("snakemake", "--unlock"), cwd=project, capture_output=True,
                           env=clean_environment(project))  # fmt: skip
        self.note("killed at random moments", self.after_the_mend(project, WHOLE))

    # --- disks ---

    def full(self) -> None:
        """A disk in place of a folder, too small by a random part."""
        project = self.copy("full")
        place = self.random.choice(FOLDERS)
        size = int(self.need[place] * self.random.uniform(0.1, 0.8))
        with disk(project / place, size):
            status, text = self.snakemake(project, PART)
            faults = refused(status, text, "the disk is full", may_pass=place == ".scratch")
            half = [p for p in (project / place).rglob(".*.*") if p.is_file()]
            faults += [f"{path.name} is left" for path in half if place != ".scratch"]
            mount("-o", "remount,size=1g", str(project / place))
            faults += self.after_the_mend(project)
        self.note(f"full disk at {place}", faults)

    def read_only(self) -> None:
        """A read-only disk in place of a folder."""
        project = self.copy("readonly")
        place = self.random.choice(FOLDERS)
        with disk(project / place, 1 << 30):
            mount("-o", "remount,ro", str(project / place))
            status, text = self.snakemake(project, PART)
            faults = refused(status, text, "read-only|Read-only", may_pass=place == ".scratch")
            mount("-o", "remount,rw", str(project / place))
            faults += self.after_the_mend(project)
        self.note(f"read-only disk at {place}", faults)

    def linked(self) -> None:
        """artifacts and results are links to another disk."""
        project = self.copy("linked")
        with disk(self.folder / "other", 1 << 30):
            for name in ("artifacts", "results"):
                (self.folder / "other" / name).mkdir()
                (project / name).symlink_to(self.folder / "other" / name)
            self.note("links to another disk", self.after_the_mend(project))

    # --- surroundings ---

    def surroundings(self) -> None:
        """What a machine may lack: each once."""
        for name, prepare, environment in (
            ("no home", None, {"HOME": "/proc/nowhere"}),
            ("no Git folder", lambda p: shutil.rmtree(p / ".git"), {}),
            ("a checkout of another user", give_away, {}),
            ("umask 077", lambda p: os.umask(0o077), {}),
        ):
            project = self.copy("surroundings")
            umask = os.umask(0o022)
            os.umask(umask)
            if prepare:
                prepare(project)
            try:
                status, text = self.snakemake(project, PART, **environment)
            finally:
                os.umask(umask)
            faults = self.same(project) if status == 0 else [text.strip()[-300:]]
            self.note(name, faults)


def occupied(folder: Path) -> int:
    """Bytes that a folder takes on a tmpfs, which gives out pages."""
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in folder.rglob("*") if p.is_file())


def contents(project: Path) -> dict[str, str]:
    """SHA-256 of all that was made; records hold times, so they are not among it."""
    files = [p for top in ("artifacts", "results") for p in (project / top).rglob("*")]
    return {
        str(path.relative_to(project)): sha256_file(path)
        for path in files
        if path.suffix in (".pt", ".h5", ".npy", ".csv", ".json", ".npz")
        and not path.name.endswith(".prov.json")
        and path.is_file()
    }


def refused(status: int, text: str, reason: str, *, may_pass: bool) -> list[str]:
    """What is wrong with how a run failed."""
    faults = [f"it says {BAD.search(text)[0]}"] if BAD.search(text) else []  # type: ignore[index]
    if status == 0:
        return faults if may_pass else [*faults, "it ended well"]
    if not re.search(reason, text):
        faults.append(f"no word of the disk: {text.strip()[-300:]}")
    return faults


def end_all(engine: subprocess.Popen[bytes], project: Path) -> None:
    """Kill an engine, and its jobs, which have sessions of their own."""
    os.killpg(engine.pid, signal.SIGKILL)
    engine.wait()
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            mine = place.resolve() == project.resolve()
        except OSError:
            continue
        if mine and place.parent.name != str(os.getpid()):
            os.kill(int(place.parent.name), signal.SIGKILL)


def mount(*words: str) -> None:
    """`mount`, which needs root."""
    subprocess.run(("mount", *words), check=True)


@contextmanager
def disk(place: Path, size: int) -> Iterator[None]:
    """A tmpfs of `size` bytes at a place."""
    place.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield
    finally:
        subprocess.run(("umount", "-l", str(place)), check=True)


def give_away(project: Path) -> None:
    """Make the files another user's."""
    for path in (project, *project.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)


def main() -> None:
    """Run the trials and say how many were right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--disks", type=int, default=5, help="full ones, and read-only ones")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trials-") as name:
        trials = Trials(Path(name), args.seed)
        print(f"undisturbed: {trials.seconds:.0f} s, {len(trials.expected)} files", flush=True)
        kinds: list[tuple[int, Callable[[], None]]] = [(args.kills, trials.kill)]
        if os.geteuid() == 0:
            kinds += [(args.disks, trials.full), (args.disks, trials.read_only)]
            kinds += [(1, trials.linked), (1, trials.surroundings)]
        else:
            print("not root: no trials of disks and of other users", flush=True)
        for count, trial in kinds:
            for _ in range(count):
                trial()
    for kind, right in sorted(trials.done.items()):
        print(f"{sum(right)} of {len(right)} right: {kind}")
    if trials.failures:
        sys.exit(f"{len(trials.failures)} faults")


if __name__ == "__main__":
    main()
