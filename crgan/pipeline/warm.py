"""Stages that start warm: torch is imported once, and each job is forked from the process that did.

To import torch and what a training needs takes 3 to 6 seconds of processor time, half of a short
job, and the demo has two hundred of them. So a local Snakemake run starts one process more
(`start`), which imports them and waits at a socket. A stage hands its command line, environment,
folder and standard streams to it (`hand_over`), and a fork of that process runs the stage as
`python -m` would; the stage's own process waits, passes signals on and ends with the fork's status.

Nothing else changes. The warm process keeps none of this project's code, so an edit counts from the
next job on. A stage that finds no warm process (DVC, a cluster, a container, a GPU) starts cold.
What a stage computes is the same either way: the end-to-end test compares Snakemake's table, made
warm, with DVC's, made cold.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crgan.pipeline import containers as images

# Environment of the jobs: path of the socket. Whoever sets it to something else starts them cold.
ADDRESS = "CRGAN_WARM"
# What the stages import of other people's code. torch.optim imports the compiler, without being
# asked for it, when the first optimiser is made: two of the seconds.
PRELOAD = ("torch", "torch._dynamo", "numpy", "scipy.sparse", "sklearn.cluster", "cv2", "h5py",
           "PIL.Image", "simplejpeg", "yaml", "tqdm")  # fmt: skip
# Numeric libraries read their number of threads when they are imported.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
REFUSED = b"refused"
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(threads: int, preload: Sequence[str] = PRELOAD) -> None:
    """Start the warm process, for the jobs of this process; it ends when this process does.

    With $CRGAN_WARM set it is not started. Jobs that begin before it is ready start cold, so
    nobody waits for it.

    Args:
        threads: of a job.
        preload: modules it imports.
    """
    if ADDRESS in os.environ or not hasattr(os, "pidfd_open"):  # not wanted; Linux only
        return
    import subprocess  # not needed by the jobs
    import tempfile

    address = Path(tempfile.mkdtemp(prefix="crgan-")) / "warm"  # only this user may enter it
    # Its end of this pipe is how it knows that we are gone, however we went.
    subprocess.Popen(
        [sys.executable, "-m", "crgan.pipeline.warm", str(address), *preload],
        cwd=images.ROOT, env={**os.environ, **dict.fromkeys(THREADS, str(threads))},
        start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.environ[ADDRESS] = str(address)


def hand_over() -> None:
    """Have the warm process run this command line, `python -m stages.<name> ...`, and end as that
    ends. Called when package `stages` is imported, before the stage is.

    Returns where this is another command, where there is no warm process, or where it is not of
    this very Python.
    """
    address = os.environ.get(ADDRESS)
    # While -m looks for its module, and so imports the package, the module's name stands in no
    # other place than the whole command line.
    if not address or sys.argv[0] != "-m":
        return
    del os.environ[ADDRESS]
    if images.inside():  # an image's stages run in the image
        return
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(address)
        except OSError:
            return
        try:
            answer = _ask(line, sys.orig_argv[sys.orig_argv.index("-m") + 1])
        except ConnectionError:
            answer = b""
    if not answer:
        sys.exit(f"{address}: the process that ran this stage was killed; run it again")
    if answer != REFUSED:
        _end(int(answer))


def _ask(line: socket.socket, module: str) -> bytes:
    """Have a module run, and pass signals on while it does; how it ended, or `REFUSED`."""
    request = {
        "python": [sys.executable, sys.prefix], "module": module, "argv": sys.argv,
        "cwd": os.getcwd(), "environ": dict(os.environ), "umask": _umask(),
    }  # fmt: skip
    before = {
        number: signal.signal(number, lambda number, _: line.sendall(bytes([number])))
        for number in _PASSED_ON
    }
    words = json.dumps(request).encode()
    socket.send_fds(line, [len(words).to_bytes(8, "big")], [0, 1, 2])
    line.sendall(words)
    answer = line.recv(16)
    for number, handler in before.items():
        signal.signal(number, handler)
    return answer


def _end(status: int) -> None:
    """Leave with a child's status: negative if it was ended by that signal, as in subprocess."""
    sys.stdout.flush()
    if status < 0:
        with contextlib.suppress(OSError, ValueError):  # KILL has no handler to reset
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)  # the fork has cleaned up, and here nothing was begun


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class _Warm:
    """The warm process: takes requests, forks, and tells each client how its fork ended.

    Args:
        address: path of the socket.
        parent: a file that is at its end when the process that started this one is gone.
    """

    def __init__(self, address: Path, parent: int) -> None:
        self.address = address
        self.parent = parent
        self.selector = selectors.DefaultSelector()
        self.running: dict[int, int] = {}  # {a fork's descriptor: its process}
        self.listener = socket.socket(socket.AF_UNIX)

    def serve(self) -> dict[str, Any] | None:
        """Wait for requests.

        Returns:
            A request, in the process forked for it; nothing in the warm process, at its end.
        """
        self.listener.bind(str(self.address))
        self.listener.listen(64)
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(self.parent, selectors.EVENT_READ, self._leave)
        while self.parent >= 0 or self.running:
            key, _ = self.selector.select()[0]  # it may undo the next: look again
            request: dict[str, Any] | None = key.data()
            if request:
                return request
        return None

    def _leave(self) -> None:
        """Nobody will ask any more; the jobs that run may end."""
        self.selector.unregister(self.parent)
        self.selector.unregister(self.listener)
        self.listener.close()
        self.parent = -1

    def _accept(self) -> dict[str, Any] | None:
        line, _ = self.listener.accept()
        request, streams = _receive(line)
        child = os.fork() if request else -1
        if child == 0:
            self.listener.close()
            self.selector.close()
            line.close()
            assert request
            return {**request, "streams": streams}
        for stream in streams:
            os.close(stream)
        if child < 0:
            line.close()
            return None
        watched = os.pidfd_open(child)
        self.selector.register(line, selectors.EVENT_READ, lambda: self._pass_on(line, watched))
        self.selector.register(
            watched, selectors.EVENT_READ, lambda: self._tell(line, watched, child)
        )
        self.running[watched] = child
        return None

    def _pass_on(self, line: socket.socket, watched: int) -> None:
        """A signal for the fork; if its client was killed, the fork is."""
        numbers = _read(line) or bytes([signal.SIGKILL])
        if numbers[0] == signal.SIGKILL:
            self.selector.unregister(line)
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(watched, number)

    def _tell(self, line: socket.socket, watched: int, child: int) -> None:
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(OSError):  # the client is gone
            line.sendall(str(os.waitstatus_to_exitcode(status)).encode())
        with contextlib.suppress(KeyError):
            self.selector.unregister(line)
        self.selector.unregister(watched)
        line.close()
        os.close(watched)
        del self.running[watched]


def _read(line: socket.socket) -> bytes:
    with contextlib.suppress(OSError):
        return line.recv(64)
    return b""


def _receive(line: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """What a client asks for, with its standard streams; nothing if it is not to be served."""
    head, streams, _, _ = socket.recv_fds(line, 8, 3)
    size, words = int.from_bytes(head, "big"), b""
    while len(head) == 8 and len(words) < size:
        more = line.recv(size - len(words))
        if not more:
            break
        words += more
    if len(head) < 8 or len(words) < size:
        return None, streams
    request: dict[str, Any] = json.loads(words)
    if request["python"] != [sys.executable, sys.prefix]:
        line.sendall(REFUSED)
        return None, streams
    return request, streams


def _become(request: dict[str, Any]) -> Callable[[], Any]:
    """Make this process what the client is; returns what runs its stage."""
    for stream, given in enumerate(request["streams"]):
        os.dup2(given, stream)
        os.close(given)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", 1)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.argv = request["argv"]
    sys.path[0] = request["cwd"]
    for name in [name for name in sys.modules if name.split(".")[0] == "crgan"]:
        del sys.modules[name]  # this file's; the stage imports what is on disk now
    return lambda: runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, wait at the socket named on the command line, and leave nothing behind."""
    address, preload = Path(sys.argv[1]), sys.argv[2:]
    gc.disable()
    for name in preload:
        importlib.import_module(name)
    gc.freeze()  # forks need not look at all this for garbage, nor copy its pages
    gc.enable()
    request = None
    try:
        request = _Warm(address, sys.stdin.fileno()).serve()
    finally:
        if request is None:
            shutil.rmtree(address.parent, ignore_errors=True)
    if request:
        _become(request)()


if __name__ == "__main__":
    main()
