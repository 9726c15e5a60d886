"""The smoke profile through the Slurm profile, with jobs killed, against a local run.

    python -m tests.cluster.prove_slurm            Table 4 (make prove-slurm)
    python -m tests.cluster.prove_slurm --short    a camera classifier, two jobs

On a copy of this checkout with one direction and CR-GAN alone, and a Slurm of one node that is
started for it (slurm_node.py: root and four Debian packages). Once it has left a checkpoint, the
job of the victim (the GAN; the classifier in short) is cancelled by Slurm; the second attempt's
process is killed with -9. The profile's `retries` must try a third time, each attempt must go on
from the checkpoint, and the result must be, byte for byte, the one a local run makes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from crgan.common.errors import UserError
from tests.cluster.command import main
from tests.cluster.slurm_node import slurm_node
from tests.stub_project import PAIR, SMALL, clean_environment, make, run

TABLES = (2, 4)  # stages look into Table 2 for what others leave out
ITERATIONS = 1500  # of the victim, so that it can be killed in the middle
SETTINGS = {
    "profile": "smoke",
    # Jobs ask Slurm for a GPU; there is none, so they compute on the CPU, one after the other.
    "profiles.smoke.run.device": "auto",
    "profiles.smoke.gan.sample_every": 500,
    **SMALL,
}
ENDS = ("scancel", "kill -9")  # of the first and the second attempt; the third is let be
OFTEN = {"CRGAN_CHECKPOINT_SECONDS": "1"}
# What this node needs beside the profile: no accounts, no sacct (that takes a database).
HERE = (
    "--slurm-no-account", "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "2",
    "--latency-wait", "10", "--default-resources", "slurm_partition=main",
)  # fmt: skip
PROFILE = ("--profile", "workflow/profiles/slurm", *HERE)


@dataclass(frozen=True)
class Case:
    """What is made, and the job that is ended meanwhile.

    Attributes:
        target: of Snakemake.
        stage: the victim's.
        log: the victim's, below logs/artifacts/smoke.
        section: the victim's parameters, below profiles.smoke.
    """

    target: str
    stage: str
    log: str
    section: str


FULL = Case(
    "results/table4.csv",
    "train_gan",
    f"gan/crgan/{PAIR['source']}-{PAIR['target']}/seed0.log",
    "gan",
)
SHORT = Case(
    f"artifacts/smoke/d_cam/{PAIR['target']}/seed0.pt",
    "pretrain_cam",
    f"d_cam/{PAIR['target']}/seed0.log",
    "pretrain_cam",
)


class Victim:
    """A training that is ended each time it has left a checkpoint."""

    def __init__(self, project: Path, case: Case) -> None:
        self.project, self.stage = project.resolve(), f"stages.{case.stage}"
        self.log = project / "logs/artifacts/smoke" / case.log
        self.checkpoints = project / ".scratch/smoke" / case.stage
        self.pids: list[int] = []

    def look(self) -> None:
        """End the present attempt in the next of the ways, if it runs and has saved."""
        pid = _process(self.project, self.stage)
        if pid is None or pid in self.pids or len(self.pids) == len(ENDS):
            return
        began = Path(f"/proc/{pid}").stat().st_mtime
        if not any(file.stat().st_mtime > began for file in self.checkpoints.glob("*.pt")):
            return
        job, gpu = (_variable(pid, name) for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"))
        how = ENDS[len(self.pids)]
        memory = re.search(r"MinMemoryNode=(\S+)", _output("scontrol", "show", "job", job))
        shown = self.iterations()
        if how == "scancel":
            subprocess.run(["scancel", job], check=True)
        else:
            os.kill(pid, signal.SIGKILL)
        self.pids.append(pid)
        print(
            f"  Slurm job {job}, {memory[1] if memory else '?'} of memory, on GPU "
            f"{gpu}: iterations {shown[0]} to {shown[-1]}, then {how}",
            flush=True,
        )
        if len(self.pids) > 1 and shown[0] == 0:
            raise UserError(f"attempt {len(self.pids)} began anew; see {self.log}")

    def iterations(self) -> list[int]:
        """What the bar in the present attempt's log has shown."""
        shown = re.findall(rf"(\d+)/{ITERATIONS} ", self.log.read_text(errors="replace"))
        return [int(number) for number in shown] or [0]

    def check(self) -> None:
        """It was ended in every way, and the last attempt began where the checkpoint was."""
        if len(self.pids) < len(ENDS):
            raise UserError("the training was over before it could be ended: nothing is proved")
        first = self.iterations()[0]
        if first == 0:
            raise UserError(f"the last attempt began anew; see {self.log}")
        print(f"  the last attempt went on from iteration {first}")


def _process(project: Path, word: str) -> int | None:
    """The Python process of the project with this word on its command line, not a shell around it.

    By its folder too: others may run the same stage on this machine, and are not to be ended.
    """
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                here = (entry / "cwd").resolve() == project
            except OSError:
                continue  # ended meanwhile, or not ours
            if here and argv[0].endswith("python") and word in argv:
                return int(entry.name)
    return None


def _variable(pid: int, name: str) -> str:
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(line.partition("=")[::2] for line in variables)[name]


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def by_slurm(project: Path, command: tuple[str, ...], victim: Victim) -> str:
    """Run the workflow through the profile, ending the victim; Snakemake's messages."""
    with open(project / "slurm.out", "w+") as out:
        engine = subprocess.Popen(
            command, cwd=project, env=clean_environment(project, **OFTEN), text=True,
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while engine.poll() is None:
                victim.look()
                time.sleep(0.1)
        finally:
            engine.terminate()
        out.seek(0)
        messages = out.read()
    if engine.returncode:
        raise UserError(f"{' '.join(command)} ended with {engine.returncode}:\n{messages[-6000:]}")
    return messages


def prove(folder: Path, short: bool) -> None:
    """Both runs and what must hold of them."""
    case = SHORT if short else FULL
    settings = {**SETTINGS, f"profiles.smoke.{case.section}.iterations": ITERATIONS}
    project = make(folder / "project", settings, TABLES, stubbed=False)
    started = time.monotonic()
    run(project, "snakemake", "--cores", "all", case.target)
    expected = (project / case.target).read_bytes()
    print(f"local run: {case.target} in {time.monotonic() - started:.0f} s", flush=True)
    run(project, "git", "clean", "-qfdx")
    victim = Victim(project, case)
    command = ("snakemake", case.target, *PROFILE)
    with slurm_node():
        started = time.monotonic()
        print(" ".join(command), flush=True)
        messages = by_slurm(project, command, victim)
        print(f"Slurm run: {case.target} in {time.monotonic() - started:.0f} s", flush=True)
        victim.check()
        jobs = len(re.findall(r"has been submitted with SLURM jobid", messages))
        again = run(project, *command)
    if "Nothing to be done" not in again:
        raise UserError(f"a second run through Slurm is not idle:\n{again[-3000:]}")
    print(f"  {jobs} Slurm jobs, killed attempts included; a second run has nothing to do")
    if (project / case.target).read_bytes() != expected:
        raise UserError(f"{case.target} in {project} is not the local run's")
    print(f"  {case.target} is byte for byte the local run's")


if __name__ == "__main__":
    main("prove_slurm", __doc__, "two jobs in place of a table", prove)
