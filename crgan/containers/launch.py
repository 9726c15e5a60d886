"""docker/run: a command with its stages on the host, in Docker, in Podman or in Apptainer.

    docker/run python -m stages.train_gan ...      one stage, in its image
    docker/run snakemake --cores all ...           an engine on the host, each stage in its image
    docker/run dvc repro
    docker/run --image training python             anything, in an image
    docker/run --print python -m stages.evaluate   only show what would be run

One setting decides, CRGAN_RUNTIME=host|docker|podman|apptainer (host when unset). More of them:
    CRGAN_GPUS       none (default), all, or device numbers such as 0,1
    CRGAN_NETWORK    none (default), or what the runtime calls a network (bridge, host): to fetch
    CRGAN_DATA       folders outside the project that stages may read, separated by colons
    CRGAN_SHM        size of /dev/shm in a container, 8g unless given
    OMP_NUM_THREADS  threads of numeric libraries, 1 unless given (stages set their own)

An engine records the command of a stage as it stands in dvc.yaml and the rules, whatever the
runtime: the launcher only puts docker/shims on PATH, whose `python` sends `-m stages.*` back here.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crgan.common.errors import UserError
from crgan.pipeline import warm
from crgan.pipeline.containers import (
    LAYERS,
    LOCK,
    ROOT,
    SETTING,
    image_of,
    read_lock,
    recipe,
    runtime,
)

SHIMS = ROOT / "docker" / "shims"
RAW = "resources"
WRITES_RAW = ("prepare_data", "fetch_weights")  # the demo's raw data; weights
# What a container is told of the caller's environment, besides CRGAN_*.
PASSED = ("CUDA_VISIBLE_DEVICES", "NCCL_DEBUG", "TORCH_LOGS")
# The process that it names is outside, and Apptainer shares /tmp, where its socket lies.
KEPT_BACK = (warm.ADDRESS,)


def main(argv: Sequence[str] | None = None) -> None:
    """Become the command that `argv` asks for; a `UserError` ends with status 2."""
    parser = argparse.ArgumentParser(
        prog="docker/run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--image", choices=LAYERS, help="run the command itself in this image")
    parser.add_argument("--print", action="store_true", help="show the command, run nothing")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    if not args.command:
        parser.error("no command; for example: docker/run dvc repro")
    try:
        command, environment = plan(args.command, args.image, os.environ)
        if args.print:
            print(shlex.join(command))
            return
        if environment.get(SETTING, "host") != "host" and Path(args.command[0]).name == "dvc":
            _refresh_recipes(environment)
        _become(command, environment)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def plan(
    command: Sequence[str], image: str | None, environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The command to become, and its environment.

    Args:
        command: as the user, or an engine through the shim, wrote it.
        image: where the command itself runs; None for a stage's own image, or the host.
        environment: the caller's.
    """
    where = runtime()
    stage = stage_of(command)
    if image is None and stage is not None:
        image = image_of(stage)
    if where == "host":
        if image is not None and stage is None:
            raise UserError(f"--image needs a container runtime: set {SETTING}")
        return list(command), _without_shims(environment)
    if image is None:
        path = f"{SHIMS}:{_without_shims(environment)['PATH']}"
        return list(command), {**environment, "PATH": path}
    return in_container(command, image, where, environment), _without_shims(environment)


def stage_of(command: Sequence[str]) -> str | None:
    """The stage that a command runs, None for other commands."""
    words = list(command[:3])
    if len(words) == 3 and Path(words[0]).name.startswith("python") and words[1] == "-m":
        room, _, name = words[2].partition(".")
        return name if room == "stages" and name else None
    return None


@dataclass(frozen=True)
class Container:
    """What a container is given, whichever program starts it.

    Attributes:
        image: what the lock file says of its image.
        mounts: (path, ro or rw), each at the same path inside.
        variables: its environment.
        folder: where the command starts.
        gpus: none, all, or device numbers with commas.
        network: none, or what the program calls a network.
        shm: size of /dev/shm.
    """

    image: Mapping[str, str]
    mounts: Sequence[tuple[Path, str]]
    variables: Mapping[str, str]
    folder: Path
    gpus: str
    network: str
    shm: str

    def options(self, mount: str) -> list[str]:
        """The options that all programs spell alike, but for the word for a mount."""
        words = [w for path, mode in self.mounts for w in (mount, f"{path}:{path}:{mode}")]
        return words + [w for n, v in sorted(self.variables.items()) for w in ("--env", f"{n}={v}")]


def in_container(
    command: Sequence[str], image: str, where: str, environment: Mapping[str, str]
) -> list[str]:
    """The command line that runs `command` in `image` by docker, podman or apptainer."""
    here = Path.cwd()
    seen = {"OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS", "1")}
    seen |= {n: v for n, v in environment.items() if n.startswith("CRGAN_") or n in PASSED}
    seen = {n: v for n, v in seen.items() if n not in KEPT_BACK}
    seen[SETTING] = "host"  # inside, a stage is at home
    seen["CRGAN_COMMIT"] = environment.get("CRGAN_COMMIT") or _commit()
    container = Container(
        image=_locked(image),
        mounts=_mounts(stage_of(command), here, environment),
        variables=seen,
        folder=here,
        gpus=environment.get("CRGAN_GPUS", "none"),
        network=environment.get("CRGAN_NETWORK", "none"),
        shm=environment.get("CRGAN_SHM", "8g"),
    )
    words = list(command)
    words[0] = "python" if stage_of(command) else words[0]  # the image's, not a path of the host's
    start = _apptainer(container) if where == "apptainer" else _docker_or_podman(where, container)
    return [*start, *words]


def _docker_or_podman(program: str, container: Container) -> list[str]:
    words = [program, "run", "--rm", "--init", "--pull", "never"]
    words += ["--network", container.network, "--shm-size", container.shm]
    words += ["--user", f"{os.getuid()}:{os.getgid()}"]
    if program == "podman" and os.getuid() != 0:
        words += ["--userns", "keep-id"]
    gpus = container.gpus
    if gpus != "none" and program == "docker":
        words += ["--gpus", "all" if gpus == "all" else f'"device={gpus}"']
    elif gpus != "none":
        words += [w for n in gpus.split(",") for w in ("--device", f"nvidia.com/gpu={n}")]
    words += container.options("--volume")
    return [*words, "--workdir", str(container.folder), container.image["digest"]]


def _apptainer(container: Container) -> list[str]:
    if not container.image.get("sif"):
        raise UserError(f"{LOCK} names no Apptainer file of this image; run docker/build --sif")
    named = "apptainer", "singularity"
    program = next((name for name in named if shutil.which(name)), named[0])
    words = [program, "exec", "--cleanenv", "--no-home", "--no-mount", "cwd"]
    if container.network != "host":
        words += ["--net", "--network", container.network]
    if container.gpus != "none":
        words.append("--nv")  # which of them: CUDA_VISIBLE_DEVICES
    if container.gpus not in ("none", "all"):
        chosen = {**container.variables, "CUDA_VISIBLE_DEVICES": container.gpus}
        container = replace(container, variables=chosen)
    words += container.options("--bind")
    return [*words, "--pwd", str(container.folder), str(ROOT / container.image["sif"])]


def _mounts(
    stage: str | None, here: Path, environment: Mapping[str, str]
) -> list[tuple[Path, str]]:
    """(path, ro or rw), at the same path inside: the project, and data that stages only read.

    Raw data stand below resources/, some of them often linked from elsewhere. Only the stages that
    make the demo's raw data, or fetch weights, may write there.
    """
    mounts = {ROOT: "rw"}
    if ROOT not in (here, *here.parents):
        mounts[here] = "rw"
    raw = ROOT / RAW
    if raw.exists():
        mounts[raw] = "rw" if stage in WRITES_RAW else "ro"
        links = [p for p in (raw, *raw.glob("*"), *raw.glob("*/*")) if p.is_symlink()]
        mounts |= {path.resolve(): "ro" for path in links if path.exists()}
    for name in filter(None, environment.get("CRGAN_DATA", "").split(":")):
        if not Path(name).is_dir():
            raise UserError(f"CRGAN_DATA names {name}, which is no folder")
        mounts[Path(name).resolve()] = "ro"
    return list(mounts.items())


def _locked(image: str) -> Mapping[str, str]:
    """What the lock file says of an image; refuses one whose recipe has changed since."""
    locked = read_lock().get(image)
    if locked is None:
        raise UserError(f"{LOCK} has no image {image!r}; build it: docker/build {image}")
    if locked["recipe"] != recipe(image):
        raise UserError(
            f"docker/Dockerfile or docker/requirements changed since image {image!r} was built; "
            f"build it again: docker/build {image}"
        )
    return dict(locked)


def _refresh_recipes(environment: Mapping[str, str]) -> None:
    """DVC cannot see which runtime is set: run its stage `write_recipes` when the recipes, which
    name the images' digests and which stages depend on, say otherwise.
    """
    from crgan.pipeline.params import load
    from crgan.pipeline.recipes import recipes

    if all(path.is_file() and path.read_text() == text for path, text in recipes(load()).items()):
        return
    done = subprocess.run(
        ["dvc", "repro", "--quiet", "--force", "write_recipes"], env=dict(environment)
    )
    if done.returncode:
        raise UserError("dvc could not run its stage write_recipes; see its message above")


def _without_shims(environment: Mapping[str, str]) -> dict[str, str]:
    path = [p for p in environment.get("PATH", os.defpath).split(":") if p != str(SHIMS)]
    return {**environment, "PATH": ":".join(path)}


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _become(command: Sequence[str], environment: Mapping[str, str]) -> None:
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise UserError(f"{command[0]}: no such program on PATH")
    sys.stdout.flush()
    os.execve(program, list(command), dict(environment))


if __name__ == "__main__":
    main()
