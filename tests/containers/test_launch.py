"""docker/run: the command line of each runtime, and the way of a stage through the shim."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crgan.common.errors import UserError
from crgan.containers import launch
from crgan.pipeline import containers as images
from crgan.pipeline import warm

ROOT = Path(__file__).resolve().parents[2]
STAGE = ["python", "-m", "stages.train_gan", "--seed", "0"]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "CRGAN_PARAMS": "p.yaml", "SECRET": "x"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every image in its lock file, and the project's recipes."""
    root = tmp_path / "project"
    shutil.copytree(ROOT / "docker", root / "docker")
    (root / "resources").mkdir()
    for module in (images, launch):
        monkeypatch.setattr(module, "ROOT", root)
    monkeypatch.setattr(launch, "SHIMS", root / "docker" / "shims")
    monkeypatch.chdir(root)
    monkeypatch.delenv(images.SETTING, raising=False)
    write_lock(root)
    return root


def write_lock(root: Path, **changes: Any) -> None:
    entries = {
        name: {
            "digest": f"sha256:{name}",
            "recipe": images.recipe(name),
            "sif": f"resources/images/{name}.sif",
            **changes,
        }
        for name in images.LAYERS
    }
    (root / images.LOCK).write_text(json.dumps({"images": entries}))


def planned(
    monkeypatch: pytest.MonkeyPatch, where: str, command: list[str] = STAGE, **more: str
) -> tuple[list[str], dict[str, str]]:
    monkeypatch.setenv(images.SETTING, where)
    return launch.plan(command, None, {**ENVIRONMENT, images.SETTING: where, **more})


def pairs(command: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(command))


def test_on_the_host_the_command_is_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    command, environment = planned(monkeypatch, "host", PATH=f"{launch.SHIMS}:/usr/bin")
    assert command == STAGE
    assert environment["PATH"] == "/usr/bin"


@pytest.mark.parametrize("where", ["docker", "podman"])
def test_docker_and_podman(monkeypatch: pytest.MonkeyPatch, where: str, project: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    command, _ = planned(monkeypatch, where)
    assert command[:4] == [where, "run", "--rm", "--init"]
    assert command[-len(STAGE) - 1 :] == ["sha256:training", *STAGE]
    options = pairs(command)
    for option in (
        ("--network", "none"),
        ("--pull", "never"),
        ("--shm-size", "8g"),
        ("--user", f"1234:{os.getgid()}"),
        ("--workdir", str(project)),
        ("--volume", f"{project}:{project}:rw"),
        ("--volume", f"{project}/resources:{project}/resources:ro"),
        ("--env", "OMP_NUM_THREADS=1"),
        ("--env", "CRGAN_PARAMS=p.yaml"),
        ("--env", "CRGAN_RUNTIME=host"),
    ):
        assert option in options, option
    assert (("--userns", "keep-id") in options) == (where == "podman")
    assert not any("SECRET" in word or "gpu" in word for word in command)


@pytest.mark.parametrize(
    ("where", "gpus", "expected"),
    [
        ("docker", "all", ["--gpus", "all"]),
        ("docker", "0,1", ["--gpus", '"device=0,1"']),
        ("podman", "all", ["--device", "nvidia.com/gpu=all"]),
        ("podman", "0,1", ["--device", "nvidia.com/gpu=0", "--device", "nvidia.com/gpu=1"]),
        ("apptainer", "all", ["--nv"]),
    ],
)
def test_gpus_when_asked(
    monkeypatch: pytest.MonkeyPatch, where: str, gpus: str, expected: list[str]
) -> None:
    command, _ = planned(monkeypatch, where, CRGAN_GPUS=gpus)
    text = " ".join(command)
    assert " ".join(expected) in text
    assert text.index(expected[0]) < text.index("python -m stages")


def test_apptainer(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    command, _ = planned(monkeypatch, "apptainer", OMP_NUM_THREADS="4", **{warm.ADDRESS: "/tmp/x"})
    assert not any(warm.ADDRESS in word for word in command)  # its process is outside
    assert command[1:3] == ["exec", "--cleanenv"]
    assert command[-len(STAGE) - 1 :] == [f"{project}/resources/images/training.sif", *STAGE]
    options = pairs(command)
    assert ("--net", "--network") in options
    assert ("--network", "none") in options
    assert ("--bind", f"{project}:{project}:rw") in options
    assert ("--env", "OMP_NUM_THREADS=4") in options
    write_lock(project, sif=None)
    with pytest.raises(UserError, match="docker/build --sif"):
        planned(monkeypatch, "apptainer")


def test_each_stage_in_its_image_and_only_data_may_write_raw_data(
    monkeypatch: pytest.MonkeyPatch, project: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "market"
    elsewhere.mkdir()
    (project / "resources" / "market1501").symlink_to(elsewhere)
    for stage, image, mode in (
        ("prepare_data", "data", "rw"),
        ("extract_masks", "parsing", "ro"),
        ("evaluate", "training", "ro"),
        ("make_table", "report", "ro"),
        ("fetch_weights", "training", "rw"),
    ):
        command, _ = planned(monkeypatch, "docker", ["python", "-m", f"stages.{stage}"])
        assert f"sha256:{image}" in command
        assert ("--volume", f"{project}/resources:{project}/resources:{mode}") in pairs(command)
        assert ("--volume", f"{elsewhere}:{elsewhere}:ro") in pairs(command)


def test_what_cannot_run_is_said(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    with pytest.raises(UserError, match="use host, docker, podman, apptainer"):
        planned(monkeypatch, "singularity")
    with pytest.raises(UserError, match="which is no folder"):
        planned(monkeypatch, "docker", CRGAN_DATA="/no/such/folder")
    with (project / images.DOCKERFILE).open("a") as file:
        file.write("# changed\n")
    with pytest.raises(UserError, match="build it again: docker/build training"):
        planned(monkeypatch, "docker")
    (project / images.LOCK).unlink()
    with pytest.raises(UserError, match="build it: docker/build training"):
        planned(monkeypatch, "docker")


def test_an_engine_stays_on_the_host_with_the_shim_before_its_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command, environment = planned(monkeypatch, "podman", ["dvc", "repro"])
    assert command == ["dvc", "repro"]
    assert environment["PATH"] == f"{launch.SHIMS}:/usr/bin:/bin"


def test_a_stage_goes_through_the_shim_and_other_python_does_not(
    project: Path, tmp_path: Path
) -> None:
    """The real chain: engine, shell, shim, launcher, and a stand-in that shows what it is given."""
    for name in ("crgan/__init__.py", "crgan/run", "crgan/containers"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (project / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, project / name)
    programs = tmp_path / "bin"
    programs.mkdir()
    podman = programs / "podman"
    podman.write_text('#!/bin/sh\nprintf "<%s>" podman "$@"\n')
    podman.chmod(0o755)
    line = 'python -m stages.evaluate --note "two words"; python -c "print(6 * 7)"'
    done = subprocess.run(
        ["docker/run", "sh", "-c", line],
        cwd=project,
        env={
            "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin",
            images.SETTING: "podman",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shown, answer = done.stdout.rsplit(">", 1)
    assert shown.startswith("<podman><run>")
    words = "<sha256:training><python><-m><stages.evaluate><--note><two words"
    assert shown.endswith(words)
    assert answer.strip() == "42"
