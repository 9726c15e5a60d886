"""A run whose results live in a bucket and whose jobs share no folder, against a local run.

    python -m tests.cluster.prove_storage            (make prove-storage)
    python -m tests.cluster.prove_storage --short    with stages that compute nothing

On copies of this checkout: the smoke profile's Table 2, in one direction. The
Kubernetes profile and its plugin send the jobs to a stand-in cluster (kube_server.py), whose pods
see an empty folder and a local S3-compatible server (moto), and nothing else. One pod is killed
once. Then the folder of the run is deleted, and in fresh clones:

* the same command finds nothing to do, and the bucket's table is, byte for byte, the local run's;
* every record in the bucket says what the local run's says, but where and when it was made;
* with the bucket's files copied into it, a local run has nothing to do;
* after a change of a parameter, what depends on it is made again, and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import read_json
from tests.cluster.command import main
from tests.cluster.kube_server import Cluster, Pod, kube_server
from tests.cluster.s3_server import BUCKET, Server, s3_server
from tests.stub_project import SMALL, make, run

SETTINGS = {"profile": "smoke", **SMALL}
PREFIX = f"s3://{BUCKET}/smoke"
VICTIM = "pretrain_cam"  # of its pods the first is killed
CHANGED = ("profiles.smoke.finetune.lr=0.002", ("finetune", "evaluate", "make_table"))
CIRCUMSTANCES = "run"  # the part of a record that is true of one run


class Killer:
    """Ends the victim's first pod as soon as it runs."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, pod: Pod) -> None:
        container = pod.job["spec"]["template"]["spec"]["containers"][0]
        if not self.done and f"--allowed-rules {VICTIM} " in " ".join(container["args"]):
            self.done = True
            assert pod.process is not None
            os.killpg(pod.process.pid, signal.SIGKILL)


def made(output: str) -> dict[str, int]:
    """{rule: jobs} that a run of Snakemake did."""
    return {
        rule: len(re.findall(rf"^(?:local)?rule {rule}:$", output, flags=re.M))
        for rule in sorted(set(re.findall(r"^(?:local)?rule (\w+):$", output, flags=re.M)))
    }


def compare(local: Path, found: dict[str, Path], table: str) -> int:
    """The bucket's table and records against the local run's; how many records there are."""
    if found[table].read_bytes() != (local / table).read_bytes():
        raise UserError(f"{table} in the bucket is not the local run's: {found[table]}")
    records = {name: path for name, path in found.items() if name.endswith(".prov.json")}
    here = {
        path.relative_to(local).as_posix()
        for part in ("artifacts", "results")
        for path in (local / part).rglob("*.prov.json")
    }
    if records.keys() != here:
        raise UserError(f"records of one run alone: {sorted(records.keys() ^ here)}")
    for name, path in records.items():
        if _lasting(path) != _lasting(local / name):
            raise UserError(f"{name} in the bucket says other things than the local run's: {path}")
    return len(records)


def _lasting(path: Path) -> dict[str, Any]:
    record = read_json(path)
    return {key: value for key, value in record.items() if key != CIRCUMSTANCES}


def fetch(server: Server, folder: Path) -> dict[str, Path]:
    """Copy the bucket's files into a folder, as `aws s3 sync` does; {file of the project: copy}."""
    found = {}
    for key in server.names():
        name = key.partition("/")[2]
        found[name] = folder / name
        found[name].parent.mkdir(parents=True, exist_ok=True)
        found[name].write_bytes(server.read(key))
    return found


@dataclass
class Proof:
    """The two servers and what is asked of them.

    Attributes:
        origin: the project that is cloned for each run.
        environment: what Snakemake needs to know of the servers.
    """

    folder: Path
    origin: Path
    table: str
    server: Server
    cluster: Cluster
    environment: dict[str, str]

    def run(self, name: str, *more: str) -> str:
        """Snakemake in a fresh clone, through the Kubernetes profile; what it says."""
        project = clone(self.origin, self.folder / name)
        command = ("snakemake", self.table, "--profile", "workflow/profiles/kubernetes", *more)
        often = ("--seconds-between-status-checks", "1")
        output = run(project, *command, *often, **self.environment)
        for part in ("artifacts", "results"):
            if (project / part).exists():
                raise UserError(f"{project / part}: the bucket was to be the only place of results")
        shutil.rmtree(project)
        return output

    def in_pods(self, killer: Killer) -> None:
        """The table, with a pod killed."""
        started = time.monotonic()
        jobs = _listed(made(self.run("first")))
        say(f"in pods: {self.table} in {time.monotonic() - started:.0f} s: {jobs}")
        if not killer.done or self.cluster.failed != 1:
            raise UserError(f"one pod was to be killed, and {self.cluster.failed} failed")
        say(f"  {self.cluster.finished} pods succeeded, 1 was killed and its job done again")

    def again(self, local: Path) -> None:
        """Nothing to do, and nothing but the local run's results."""
        output = self.run("second")
        if "Nothing to be done" not in output:
            raise UserError(f"a fresh clone did not take what the bucket has:\n{output}")
        home = clone(self.origin, self.folder / "home")
        records = compare(local, fetch(self.server, home), self.table)
        say(
            f"fresh clone: nothing to do; {self.table} is byte for byte the local run's, and "
            f"{records} records are equal but for where and when"
        )
        output = run(home, "snakemake", "--cores", "1", self.table)
        if "Nothing to be done" not in output:
            raise UserError(f"the bucket's files in a clone are not taken as they are:\n{output}")
        say("the bucket's files copied into a clone: a local run has nothing to do")

    def changed(self) -> None:
        """Another value of a parameter, and only what follows from it is made."""
        setting, rules = CHANGED
        jobs = made(self.run("third", "--config", f"set=[{setting}]"))
        if set(jobs) != set(rules):
            raise UserError(f"{setting}: expected {', '.join(rules)} again, got {jobs}")
        say(f"fresh clone, {setting}: {_listed(jobs)}")


def prove(folder: Path, short: bool) -> None:
    """All of it, in an empty folder."""
    table = "results/table2.csv"
    origin = make(folder / "origin", SETTINGS, (2,), stubbed=short)
    local = clone(origin, folder / "local")
    started = time.monotonic()
    run(local, "snakemake", "--cores", "2", table)
    say(f"local run: {table} in {time.monotonic() - started:.0f} s")
    killer = Killer()
    with s3_server(folder) as server, kube_server(folder, started=killer) as (cluster, config):
        environment = {
            "KUBECONFIG": str(config),
            "CRGAN_BUCKET": PREFIX,
            "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": server.url,
            "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": server.environment["AWS_ACCESS_KEY_ID"],
            "SNAKEMAKE_STORAGE_S3_SECRET_KEY": server.environment["AWS_SECRET_ACCESS_KEY"],
            "no_proxy": "127.0.0.1",
        }
        proof = Proof(folder, origin, table, server, cluster, environment)
        proof.in_pods(killer)
        proof.again(local)
        proof.changed()
        say(f"{len(server.names())} objects in the bucket")


def clone(origin: Path, folder: Path) -> Path:
    """A fresh clone."""
    run(origin, "git", "clone", "-q", str(origin), str(folder))
    return folder


def _listed(jobs: dict[str, int]) -> str:
    return ", ".join(f"{number} {rule}" for rule, number in jobs.items())


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main("prove_storage", __doc__, "with stages that write digests and compute nothing", prove)
