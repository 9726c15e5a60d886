"""A stand-in for a Kubernetes cluster, on the loopback address: all that the plugin asks of one.

Each job it is sent must fit the schema of the Kubernetes API. Its pod is a process of this machine
that has nothing of the submitting folder: an empty working directory and home, the variables that
the job declares (secrets included) and a PATH. Nothing is scheduled, no image is pulled, and
memory and CPU are not limited; that needs a real cluster.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import yaml

VERSION = "1.31"
# `pip install --target ...` of the storage plugin comes first in each pod; this machine has it.
_PIP = "#!/bin/sh\necho 'pip: the storage plugin is installed here'\n"


@dataclass
class Pod:
    """One job's pod.

    Attributes:
        folder: its own, for working directory, home and log.
        code: exit status, None while it waits or runs.
    """

    job: dict[str, Any]
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    code: int | None = None

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def status(self) -> dict[str, Any]:
        """Of the job, as the API tells it."""
        if self.code is None:
            return {"active": 1}
        return {"succeeded": 1} if self.code == 0 else {"failed": 1}


@dataclass
class Cluster:
    """What the server knows.

    Args:
        folder: where pods get their folders.
        slots: how many run at once.
        started: called with each pod that starts, its process known.
    """

    folder: Path
    slots: int
    started: Callable[[Pod], None]
    pods: dict[str, Pod] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    finished: int = 0
    failed: int = 0

    def __post_init__(self) -> None:
        self._free = threading.Semaphore(self.slots)
        self._bin = self.folder / "bin"
        self._bin.mkdir(parents=True)
        (self._bin / "pip").write_text(_PIP)
        (self._bin / "pip").chmod(0o755)

    def add_job(self, body: dict[str, Any]) -> None:
        """Check a job and start its pod as soon as there is a slot."""
        name = body["metadata"]["name"]
        whole = {"apiVersion": "batch/v1", "kind": "Job", **body}
        kubernetes_validate.validate(whole, VERSION, strict=True)
        pod = Pod(body, self.folder / name)
        for part in ("workdir", "home", "tmp"):
            (pod.folder / part).mkdir(parents=True)
        self.pods[name] = pod
        threading.Thread(target=self._run, args=(pod,), daemon=True).start()

    def remove(self, name: str) -> None:
        """End a job that runs, and forget it with its folder."""
        pod = self.pods.pop(name, None)
        if pod is None:
            return
        if pod.process and pod.process.poll() is None:
            os.killpg(pod.process.pid, signal.SIGTERM)
            pod.process.wait()
        shutil.rmtree(pod.folder, ignore_errors=True)

    def _run(self, pod: Pod) -> None:
        container = pod.job["spec"]["template"]["spec"]["containers"][0]
        with self._free, pod.log.open("wb") as log:
            pod.process = subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=pod.folder / "workdir",
                env=self._environment(pod, container),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.started(pod)
            code = pod.process.wait()
        self.finished += code == 0
        self.failed += code != 0
        pod.code = code if code >= 0 else 128 - code

    def _environment(self, pod: Pod, container: dict[str, Any]) -> dict[str, str]:
        found = {
            # The image's Python is this one's.
            "PATH": f"{self._bin}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(pod.folder / "home"),
            "TMPDIR": str(pod.folder / "tmp"),
            "OMP_NUM_THREADS": "1",
            "no_proxy": "127.0.0.1",
        }
        for variable in container.get("env") or []:
            reference = variable["valueFrom"]["secretKeyRef"]
            value = self.secrets[reference["name"]][reference["key"]]
            found[variable["name"]] = base64.b64decode(value).decode()
        return found


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind = urlsplit(self.path).path.split("/")[-1]
        if kind == "secrets":
            self.cluster.secrets[body["metadata"]["name"]] = body["data"]
            return self._answer(201, body)
        if kind == "jobs":
            try:
                self.cluster.add_job(body)
            except kubernetes_validate.ValidationError as error:
                return self._fail(422, str(error).splitlines()[0])
            return self._answer(201, body)
        return self._fail(404, self.path)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        parts = address.path.strip("/").split("/")
        if parts[-1] == "status":
            pod = self.cluster.pods.get(parts[-2])
            return self._answer(200, {"status": pod.status()}) if pod else self._fail(404, "job")
        if parts[-1] == "log":
            pod = self.cluster.pods[parts[-2]]
            return self._answer(200, pod.log.read_text(errors="replace"))
        if parts[-1] == "pods":
            name = parse_qs(address.query)["labelSelector"][0].removeprefix("job-name=")
            known = [_shown(name, self.cluster.pods[name])] if name in self.cluster.pods else []
            return self._answer(200, {"kind": "PodList", "apiVersion": "v1", "items": known})
        return self._fail(404, self.path)

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, name = urlsplit(self.path).path.split("/")[-2:]
        if kind == "jobs":
            self.cluster.remove(name)
        if kind == "secrets":
            self.cluster.secrets.pop(name, None)
        self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _answer(self, code: int, body: dict[str, Any] | str) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.send_response(code)
        self.send_header(
            "Content-Type", "text/plain" if isinstance(body, str) else "application/json"
        )
        self.end_headers()
        self.wfile.write(text.encode())

    def _fail(self, code: int, message: str) -> None:
        self._answer(code, {"kind": "Status", "code": code, "message": message})

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal for the proof's own lines."""


def _shown(name: str, pod: Pod) -> dict[str, Any]:
    """A pod as the API lists it: named like its job."""
    state = {"running": {}} if pod.code is None else {"terminated": {"exitCode": pod.code}}
    container = {
        "name": "snakemake", "image": "-", "imageID": "-", "ready": True, "restartCount": 0,
        "state": state,
    }  # fmt: skip
    return {"metadata": {"name": name}, "status": {"containerStatuses": [container]}}


@contextlib.contextmanager
def kube_server(
    folder: Path, slots: int = 2, started: Callable[[Pod], None] = lambda pod: None
) -> Iterator[tuple[Cluster, Path]]:
    """The stand-in within the block, and the file to name in $KUBECONFIG."""
    cluster = Cluster(folder / "pods", slots, started)
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = folder / "kubeconfig"
    address = f"http://127.0.0.1:{server.server_port}"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "proof",
                "clusters": [{"name": "proof", "cluster": {"server": address}}],
                "users": [{"name": "proof", "user": {}}],
                "contexts": [{"name": "proof", "context": {"cluster": "proof", "user": "proof"}}],
            }
        )
    )  # fmt: skip
    try:
        yield cluster, config
    finally:
        for name in list(cluster.pods):
            cluster.remove(name)
        server.shutdown()
        server.server_close()
