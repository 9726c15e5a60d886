"""docker/build: build the images with docker, podman or buildah and record them.

    docker/build                           all images, by the first of the three that is there
    docker/build training parsing          some
    docker/build --base registry/python:3.11-slim@sha256:...   on another base
    docker/build --sif                     and an Apptainer file of each, for --sdm apptainer
    docker/build --push registry/group     and push them; Snakemake then takes them from there

What was built stands in docker/images.lock. Results made in an image are stale once the lock file
names another, so commit the two together.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import sha256_file, write_json
from crgan.pipeline.containers import DOCKERFILE, LAYERS, LOCK, ROOT, read_lock, recipe

ENGINES = ("docker", "podman", "buildah")
PINS = "requirements.lock"
FILES = Path("resources/images")  # of Apptainer; ignored by git, as all of resources/


def main(argv: Sequence[str] | None = None) -> None:
    """Build, record; a `UserError` ends with status 2."""
    parser = argparse.ArgumentParser(
        prog="docker/build",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"of {', '.join(LAYERS)}")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--base", help="in place of the one docker/Dockerfile names")
    parser.add_argument("--sif", action="store_true", help="also write files for Apptainer")
    parser.add_argument("--push", metavar="PREFIX", help="also push as PREFIX/IMAGE")
    args = parser.parse_args(argv)
    try:
        for image in args.images or LAYERS:
            entry = build(image, args.engine or engine_here(), args.base)
            if args.push:
                entry["reference"] = push(image, entry, args.push)
            if args.sif:
                entry["sif"] = apptainer_file(image, entry)
            record(image, entry)
            print(f"{image}: {entry['digest']}", flush=True)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def engine_here() -> str:
    """The first of the engines on PATH."""
    for name in ENGINES:
        if shutil.which(name):
            return name
    raise UserError(f"none of {', '.join(ENGINES)} is on PATH; install one")


def build(image: str, engine: str, base: str | None = None) -> dict[str, Any]:
    """Build one image; what the lock file says of it."""
    now = recipe(image)  # before the build, which reads the same files
    base = base or default_base()
    _run(build_command(image, engine, base), "the build's output above says what is wrong")
    entry = {
        "digest": _identity(engine, f"crgan/{image}"),
        "base": base,
        "base_digest": _base_digest(engine, base),
        "recipe": now,
        "dockerfile_sha256": sha256_file(ROOT / DOCKERFILE),
        "requirements_lock_sha256": sha256_file(ROOT / PINS),
        "engine": engine,
    }
    old = read_lock().get(image, {})
    # What was derived from the very same image stays true.
    same = old.get("digest") == entry["digest"]
    return {**entry, **{k: old[k] for k in ("reference", "sif") if same and k in old}}


def build_command(image: str, engine: str, base: str) -> list[str]:
    """The command line that builds one image."""
    # All times are set to one moment: the same packages then give the same digest.
    clock = ["--timestamp", "0", "--layers"] if engine != "docker" else []
    return [
        engine, "build", *clock, "--file", str(DOCKERFILE), "--target", image,
        "--build-arg", f"BASE_IMAGE={base}", "--tag", f"crgan/{image}", ".",
    ]  # fmt: skip


def default_base() -> str:
    """The base image that the Dockerfile names."""
    found = re.search(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / DOCKERFILE).read_text(), re.MULTILINE)
    assert found, "the Dockerfile has lost its BASE_IMAGE"
    return found[1]


def push(image: str, entry: dict[str, Any], prefix: str) -> str:
    """Push one image; its address by digest."""
    engine, address = entry["engine"], f"{prefix}/{image}"
    local = entry["digest"] if engine == "docker" else entry["digest"].partition(":")[2]
    hint = "log in to the registry, or give another --push"
    _run([engine, "tag", local, address], hint)
    if engine == "docker":
        _run([engine, "push", address], hint)
        listed = _ask(engine, "image", "inspect", "--format", '{{join .RepoDigests " "}}', address)
        return next(name for name in listed.split() if name.startswith(f"{address}@"))
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "digest"
        _run([engine, "push", "--digestfile", str(answer), address], hint)
        return f"{address}@{answer.read_text().strip()}"


def apptainer_file(image: str, entry: dict[str, Any]) -> str:
    """Convert one image for Apptainer; the file's path below the project's folder.

    Its name holds the image's digest, so that another image is another file.
    """
    engine, local = entry["engine"], entry["digest"].partition(":")[2]
    path = FILES / f"{image}-{local[:16]}.sif"
    if (ROOT / path).is_file():
        return path.as_posix()
    if shutil.which("apptainer") is None:
        raise UserError("--sif needs the program apptainer on PATH; install Apptainer")
    (ROOT / FILES).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / FILES) as folder:
        archive, made = Path(folder) / "image.tar", Path(folder) / "image.sif"
        hint = "is there room on this disk for the image twice over?"
        tag = f"crgan/{image}"
        if engine == "buildah":
            _run([engine, "push", tag, f"docker-archive:{archive}:{tag}"], hint)
        else:
            form = ["--format", "docker-archive"] if engine == "podman" else []
            _run([engine, "save", *form, "--output", str(archive), tag], hint)
        # Levels above the first make the file a little smaller in several times the time.
        squash = "-comp gzip -Xcompression-level 1"
        _run(
            ["apptainer", "build", "--mksquashfs-args", squash, str(made),
             f"docker-archive:{archive}"], hint,
        )  # fmt: skip
        os.replace(made, ROOT / path)
    return path.as_posix()


def record(image: str, entry: dict[str, Any]) -> None:
    """Put one image into the lock file; the others stay."""
    write_json(ROOT / LOCK, {"images": {**read_lock(), image: entry}})


def _identity(engine: str, name: str) -> str:
    if engine == "buildah":
        found = _ask(engine, "inspect", "--type", "image", "--format", "{{.FromImageID}}", name)
    else:
        found = _ask(engine, "image", "inspect", "--format", "{{.Id}}", name)
    return found if found.startswith("sha256:") else f"sha256:{found}"


def _base_digest(engine: str, base: str) -> str:
    """The digest in the base's name, or that of the image that goes by this name here."""
    _, pinned, digest = base.partition("@")
    return digest if pinned else _identity(engine, base)


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise UserError(f"{' '.join(command)}: {error.stderr.strip()}") from None
    return done.stdout.strip()


def _run(command: Sequence[str], hint: str) -> None:
    environment = {**os.environ, "DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", "1")}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment)
    except FileNotFoundError:
        raise UserError(f"{command[0]}: no such program on PATH; install it") from None
    if done.returncode:
        raise UserError(f"{' '.join(command)} ended with {done.returncode}; {hint}")


if __name__ == "__main__":
    main()
