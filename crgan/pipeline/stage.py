"""What every stage shares: its command line, threads, device, checkpoint and record.

A stage file declares its arguments with `StageParser`, then hands a body to `run_stage`:

    parser = StageParser("pretrain_cam", __doc__)
    parser.input("--target", help="manifest of the target", beside=("images.npy",))
    parser.cell("--seed", type=int)
    parser.output("--out", help="the model")

    def body(args, run):
        ...
        save_torch(args.out, state)

    if __name__ == "__main__":
        run_stage(parser, body)
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import sha256_file, unwritable, write_json
from crgan.pipeline import code
from crgan.pipeline import containers as images
from crgan.pipeline import params as parameters
from crgan.pipeline.hashes import Hashes, stat_signature
from crgan.pipeline.identity import identity_of
from crgan.pipeline.progress import Lossy, heartbeat
from crgan.pipeline.records import (
    MADE,
    Auditor,
    aside,
    key_of,
    record_path,
    relative,
    versions,
)

SCRATCH = Path(".scratch")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class StageParser(argparse.ArgumentParser):
    """An argument parser that knows which arguments are inputs, outputs and the cell's axes."""

    def __init__(self, stage: str, description: str | None) -> None:
        super().__init__(
            prog=f"python -m stages.{stage}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.stage = stage
        self.inputs: dict[str, tuple[str, ...]] = {}
        self.inside: dict[str, str] = {}
        self.outputs: list[str] = []
        self.cells: list[str] = []

    def input(
        self, flag: str, *, beside: tuple[str, ...] = (), inside: str = "", **options: Any
    ) -> None:
        """A file the stage reads.

        Args:
            beside: files in the same folder that belong to it.
            inside: a pattern with `{seed}`; the flag takes files or folders (nargs), and a folder
                stands for its files of that name, one a seed of the experiment matrix.
        """
        options.setdefault("required", True)
        name = self.add_argument(flag, type=Path, **options).dest
        self.inputs[name] = beside
        if inside:
            self.inside[name] = inside

    def results(
        self, flag: str, what: str, *, suffix: str = ".json", required: bool = False
    ) -> None:
        """Results of many cells: files, or their folders.

        Args:
            what: they are, for the help text.
            required: at least one.
        """
        self.input(
            flag, nargs="+" if required else "*", default=[], required=required,
            inside=f"seed{{seed}}{suffix}",
            help=f"{what}, or their folders (then one file a seed of the matrix)",
        )  # fmt: skip

    def output(self, flag: str, **options: Any) -> None:
        """A file the stage writes."""
        self.outputs.append(self.add_argument(flag, type=Path, required=True, **options).dest)

    def cell(self, flag: str, **options: Any) -> None:
        """An axis of the experiment matrix: it is part of the result's identity."""
        options.setdefault("required", True)
        self.cells.append(self.add_argument(flag, **options).dest)


class Run:
    """What the body of a stage gets besides its arguments.

    Attributes:
        params: the stage's slice of the parameters, by section.
        seed: the cell's seed (0 where the stage has none).
        device: "cpu" or "cuda".
        threads: CPU threads each of its processes may use.
        processes: that train together; 1 for a stage that has no such parameter.
        writes: whether this is the process that writes the outputs.
        checkpoint_path: resume file of this very computation (same parameters, inputs, code, seed),
            for any number of processes.
        checkpoint_seconds: between two saves of it.
    """

    def __init__(self, parser: StageParser, args: argparse.Namespace) -> None:
        whole = parameters.load()
        # None means that the axis does not apply to this cell (no GAN behind this row, say)
        cell = {
            name: getattr(args, name) for name in parser.cells if getattr(args, name) is not None
        }
        self.profile: str = whole["profile"]
        self.cell: dict[str, Any] = {"profile": self.profile, **cell}
        hashes = Hashes()
        own = identity_of(parser.stage, whole, self.cell, hashes)
        # Only stages that write outside the profiles' folders see the profile as a parameter.
        self.params: dict[str, Any] = own["params"]
        self.seed = int(cell.get("seed", 0))
        settings = self.params.get("run", {})
        self.threads = int(settings.get("threads", 1))
        self.processes = int(settings.get("processes", 1))
        self.device = _device(settings.get("device", "cpu"))
        for name, pattern in parser.inside.items():
            setattr(args, name, _expanded(getattr(args, name), pattern, self.params["matrix"]))
        self.inputs = _existing(_input_files(parser, args), parser.stage)
        self.outputs = [Path(getattr(args, name)) for name in parser.outputs]
        _check_profile(self.outputs, self.profile, set(whole["profiles"]))
        self._began = datetime.now(UTC)
        self._started = time.monotonic()
        self._seen = {path: stat_signature(path) for path in self.inputs}
        self.record: dict[str, Any] = {
            **own,
            "cell": self.cell,
            "inputs": {relative(path): hashes.of(path) for path in self.inputs},
        }
        hashes.save()
        code.save()
        image = images.inside()
        if image:
            self.record["image"] = image
        self.key = key_of(self.record)

    @property
    def writes(self) -> bool:
        return os.environ.get("LOCAL_RANK", "0") == "0"  # set by Lightning Fabric

    def auditor(self) -> Auditor:
        """Of other stages' outputs, by the whole parameters this run was started with."""
        return Auditor(parameters.load(), hashes=Hashes())

    @property
    def checkpoint_path(self) -> Path:
        """The resume file of this very computation (same parameters, inputs, code, seed).

        Any number of processes may go on with it, so that is left out of its name.
        """
        params = dict(self.params)
        if "processes" in params.get("run", {}):
            params["run"] = {k: v for k, v in params["run"].items() if k != "processes"}
        key = key_of({**self.record, "params": params})
        return SCRATCH / self.profile / self.record["stage"] / f"{key[:24]}.pt"

    @property
    def checkpoint_seconds(self) -> float:
        """Between two saves."""
        return float(os.environ.get("CRGAN_CHECKPOINT_SECONDS", "60"))

    @property
    def resumed(self) -> bool:
        """Whether an earlier run of this computation left something to go on with."""
        path = self.checkpoint_path
        return any(path.parent.glob(f"{path.stem}*{path.suffix}"))

    def scratch(self, name: str) -> Path:
        """A file for looking at while the stage runs (sample grids, histories so far)."""
        folder = self.scratch_folder()
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def hash_of(self, path: Path) -> str:
        """SHA-256 of one of the inputs."""
        found: str = self.record["inputs"][relative(path)]
        return found

    def kept(self, name: str) -> Path:
        """A folder that all jobs share, of files known by the hash of what they were made from."""
        return SCRATCH / "kept" / name

    def scratch_folder(self) -> Path:
        """Where `scratch` puts its files; made when there is one."""
        return SCRATCH / self.profile / self.record["stage"] / self.key[:24]

    def finish(self) -> None:
        """Write the record beside the outputs; an output that is not there is our defect.

        Raises:
            UserError: an input was replaced while the stage ran, so nothing says what it read.
        """
        for path, seen in self._seen.items():
            if path.is_file() and stat_signature(path) == seen:
                continue
            if not path.is_file() or sha256_file(path) != self.record["inputs"][relative(path)]:
                raise UserError(f"{path}: changed while this stage was reading it; run it again")
        outputs = {
            relative(path): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
            for path in self.outputs
        }
        record = {**self.record, "key": self.key, "outputs": outputs, "run": self._circumstances()}
        records = sorted({record_path(path) for path in self.outputs})
        for path in records:
            write_json(path, record)
        for path in (*self.outputs, *records):  # an older generation, which now nothing would take
            aside(path).unlink(missing_ok=True)

    def _circumstances(self) -> dict[str, Any]:
        """Where and how it ran: true of one run, and no part of the result's identity."""
        own, helpers = (
            resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        spent = sum(used.ru_utime + used.ru_stime for used in (own, helpers))
        facts: dict[str, Any] = {
            "argv": ["python", "-m", f"stages.{self.record['stage']}", *sys.argv[1:]],
            "commit": commit(),
            "device": self.device,
            "threads": self.threads,
            **({"processes": self.processes} if self.processes > 1 else {}),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "python": platform.python_version(),
            "versions": versions(),
            "image": self.record.get("image"),
            "started": self._began.isoformat(timespec="seconds"),
            "wall_seconds": round(time.monotonic() - self._started, 2),
            "cpu_seconds": round(spent, 2),
            "peak_memory_mb": round(own.ru_maxrss / 1024, 1),
        }
        if self.device == "cuda":
            import torch

            facts["gpu"] = torch.cuda.get_device_name()
            facts["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
        return facts


def run_stage(
    parser: StageParser,
    body: Callable[[argparse.Namespace, Run], None],
    argv: list[str] | None = None,
) -> None:
    """Parse, set threads, run the body and write the records; a `UserError` ends with status 2."""
    args = parser.parse_args(argv)
    # Importing torch makes objects by the hundred thousand, and looking for garbage among them at
    # every 700 took half a second of each job.
    gc.set_threshold(100_000, 20, 20)
    if _is_own_process(parser.stage):
        sys.stdout, sys.stderr = Lossy(sys.stdout), Lossy(sys.stderr)
    try:
        _keep_memory()
        run = Run(parser, args)
        for name in THREADS:
            os.environ[name] = str(run.threads)  # before the first import of a numeric library
        about = {"stage": parser.stage, "cell": run.cell, "scratch": str(run.scratch_folder())}
        name = f"{parser.stage}-{run.key[:16]}"
        with heartbeat(run.profile, name, about, run.resumed) if run.writes else nullcontext():
            body(args, run)
            if run.writes:
                run.finish()
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        told = unwritable(Path(os.fsdecode(error.filename or SCRATCH)), error)
        if told is None:
            raise
        print(f"{parser.prog}: {told}", file=sys.stderr)
        raise SystemExit(2) from None
    _leave(parser.stage)


def _leave(stage: str) -> None:
    """End the process, if it is the stage's own: all is written, and Python takes a second of
    every job to take torch apart.
    """
    if _is_own_process(stage):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _is_own_process(stage: str) -> bool:
    started = getattr(sys.modules["__main__"], "__spec__", None)
    return started is not None and started.name == f"stages.{stage}"


def _keep_memory() -> None:
    """Have glibc's malloc keep what is freed, since the next iteration asks for it again.

    Otherwise it hands large blocks back to the system, and getting them anew, page by page, is a
    tenth of a small network's training.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:  # as in malloc.h: M_MMAP_THRESHOLD (32 MB is the most), M_TRIM_THRESHOLD, M_TOP_PAD
        for parameter, size in ((-3, 2**25), (-1, 2**30), (-2, 2**26)):
            mallopt(parameter, size)


def _device(wanted: str) -> str:
    if wanted == "cpu":
        return "cpu"
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError("run.device is 'cuda' but no GPU is visible; set run.device to auto or cpu")
    if wanted not in ("auto", "cuda"):
        raise UserError(f"run.device is {wanted!r}; use auto, cpu or cuda")
    return "cuda" if torch.cuda.is_available() else "cpu"


def _input_files(parser: StageParser, args: argparse.Namespace) -> list[Path]:
    files: list[Path] = []
    for name, beside in parser.inputs.items():
        value = getattr(args, name)
        for path in value if isinstance(value, list) else [value] if value else []:
            files += [path, *(path.parent / other for other in beside)]
    return sorted(set(files))


def _expanded(given: list[Path], pattern: str, matrix: dict[str, Any]) -> list[Path]:
    """Files as given, and for each folder its files of every seed of the matrix."""
    files: list[Path] = []
    for path in given:
        inside = [path / pattern.format(seed=seed) for seed in matrix["seeds"]]
        files += inside if path.is_dir() else [path]
    return files


def _check_profile(outputs: list[Path], profile: str, profiles: set[str]) -> None:
    """Refuse to write one profile's numbers into another's folder."""
    for path in outputs:
        parts = Path(relative(path)).parts
        if len(parts) > 2 and parts[0] in MADE and parts[1] in profiles - {profile}:
            raise UserError(
                f"{path} is of profile {parts[1]!r}, but the parameters say {profile!r}; "
                "set `profile` in params.yaml or give another path"
            )


def _existing(files: list[Path], stage: str) -> list[Path]:
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise UserError(
            f"stage {stage} needs {', '.join(missing)}: not there; "
            "run the stages before it (snakemake and dvc repro do)"
        )
    return files


def commit() -> str | None:
    """The commit of the folder, with `-dirty` where files differ; None where nobody can say."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        # A source archive, a checkout of another user's (Git refuses it), an image without Git.
        return os.environ.get("CRGAN_COMMIT")
    return done.stdout.strip()
