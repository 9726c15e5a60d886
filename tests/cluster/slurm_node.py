"""A real Slurm of one node on the loopback address, started for a proof and taken down after it.

Needs root and the Debian (or Ubuntu) packages slurmctld, slurmd, slurm-client and munge. The node
claims one GPU that is not there: Slurm hands it out as it would a real one, one job at a time, and
the jobs find no device and compute on the CPU.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from crgan.common.errors import UserError

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scancel", "sinfo")
# The jobs' own sbatch and srun look nowhere else: SLURM_CONF is not handed down to them.
CONF, GRES = Path("/etc/slurm/slurm.conf"), Path("/etc/slurm/gres.conf")
MUNGE_KEY, MUNGE_RUN = Path("/etc/munge/munge.key"), Path("/run/munge")

_CONF = """\
ClusterName=proof
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,sched_min_interval=100000
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextlib.contextmanager
def slurm_node() -> Iterator[None]:
    """Slurm up and idle within the block; its processes end with it, by their ids.

    Raises:
        UserError: a program is missing, the user is not root, this machine has a Slurm already, or
            the node did not come up.
    """
    _require()
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        for part in ("state", "spool", "log"):
            (folder / part).mkdir()
        host = socket.gethostname().split(".")[0]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        cpus = len(os.sched_getaffinity(0))
        _place(stack, CONF, _CONF.format(host=host, folder=folder, cpus=cpus, memory=memory))
        _place(stack, GRES, "Name=gpu File=/dev/null\n")
        _start_munge(stack, folder)
        for program in ("slurmctld", "slurmd"):
            _start(stack, program, "-D")
        _wait(lambda: _output("sinfo", "-h", "-o", "%T") == "idle", "the node is idle", folder)
        yield


def _require() -> None:
    os.environ["PATH"] += ":/usr/sbin"  # Debian's place for daemons, not on every PATH
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"{', '.join(missing)}: not installed; apt-get install --no-install-recommends "
            "slurmctld slurmd slurm-client munge"
        )
    if os.geteuid() != 0:
        raise UserError("starting a Slurm needs root; run as root, in a container for example")
    for path in (CONF, GRES):
        if path.exists():
            raise UserError(f"{path} exists: this machine has a Slurm, which is left alone")


def _place(stack: contextlib.ExitStack, path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    stack.callback(path.unlink)


def _start_munge(stack: contextlib.ExitStack, folder: Path) -> None:
    """munged, unless one answers already."""
    if _answers("munge", "-n"):
        return
    if not MUNGE_KEY.is_file():
        raise UserError(f"{MUNGE_KEY} is not there; create it with mungekey --create")
    MUNGE_RUN.mkdir(exist_ok=True)
    shutil.chown(MUNGE_RUN, "munge", "munge")
    as_munge = ("setpriv", "--reuid=munge", "--regid=munge", "--clear-groups")
    _start(stack, *as_munge, "munged", "--foreground")
    _wait(lambda: _answers("munge", "-n"), "munge answers", folder)


def _start(stack: contextlib.ExitStack, *command: str) -> None:
    # Slurm's daemons say the same in their log files.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)


def _answers(*command: str) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def _wait(ready: Callable[[], bool], what: str, folder: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            logs = "\n".join(
                f"{log.name}: {line}"
                for log in sorted((folder / "log").iterdir())
                for line in log.read_text(errors="replace").splitlines()[-5:]
            )
            raise UserError(f"after {seconds:.0f} s it is not so that {what}:\n{logs}")
        time.sleep(0.2)
