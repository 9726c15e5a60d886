"""The pipeline in containers against the pipeline on the host: the same table, byte for byte.

    docker/prove --base IMAGE                  both engines, podman; about half an hour of two cores
    docker/prove --base IMAGE --runtime docker
    docker/prove --base IMAGE --sif            and by Snakemake's --sdm apptainer
    docker/prove --base IMAGE --quick          stages that take milliseconds, images without torch

Works in copies of the project below a temporary folder; --keep names one that stays. The real proof
runs the smoke profile, one direction, all stages of Table 2. The quick one has the real rules,
dvc.yaml, launcher, Dockerfile and records, and stands in for nothing a number comes from.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from crgan.run.images import LAYERS, LOCK, REQUIREMENTS
from crgan.run.io import read_json, write_json
from tests.stub_project import SMALL, make, run

TABLE = "results/table2.csv"
STAGE = "make_table_2"
SCORE = "cells/crgan/market1501-dukemtmc/seed0.prov.json"
THIN = ("numpy", "pyyaml", "requests", "tqdm")  # what the frame of a stage and pip need


class Proof:
    """The steps, in copies of one project.

    Attributes:
        folder: where the copies are.
        seconds: what each step took.
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.quick: bool = options.quick
        self.runtime: str = options.runtime
        self.base: str | None = options.base
        self.sif: bool = options.sif or options.runtime == "apptainer"
        self.seconds: dict[str, float] = {}
        self.profile = "demo" if self.quick else "smoke"

    def project(self, name: str) -> Path:
        """A copy of the project, one direction; with the images' lock file once there is one."""
        folder = self.folder / name
        make(folder, {**SMALL, "profile": self.profile}, (2,), stubbed=self.quick)
        if self.quick:
            for path in (folder / REQUIREMENTS).glob("*.txt"):
                path.write_text(_thin(path.read_text(), path.stem))
        first = self.folder / "images"
        if folder != first and first.is_dir():
            shutil.copy(first / LOCK, folder / LOCK)
            shutil.copytree(first / "resources", folder / "resources", dirs_exist_ok=True)
        return folder

    def step(self, name: str, folder: Path, *command: str, **environment: str) -> str:
        """Run one command, say how long it took."""
        began = time.monotonic()
        known = {n: v for n, v in os.environ.items() if n in ("CONTAINERS_CONF",)}
        answer = run(folder, *command, **known, **environment)
        self.seconds[name] = time.monotonic() - began
        print(f"{self.seconds[name]:7.1f} s  {name}: {' '.join(command)}", flush=True)
        return answer

    def build(self) -> None:
        """All images that stages run in, and their lock file."""
        folder = self.project("images")
        (folder / "resources").mkdir(exist_ok=True)
        engine = "podman" if self.runtime == "apptainer" else self.runtime
        words = ["--engine", engine, *(["--base", self.base] if self.base else [])]
        names = [name for name in LAYERS if name != "pipeline"]
        words += ["--sif"] if self.sif else []
        print(self.step("build", folder, "docker/build", *words, *names))

    def on_the_host(self) -> bytes:
        """The table by Snakemake on the host."""
        folder = self.project("host")
        self.step("host", folder, "snakemake", "--cores", "all", "-q", "all", "--", TABLE)
        assert "image" not in read_json(folder / "results" / self.profile / SCORE)
        return (folder / TABLE).read_bytes()

    def in_containers(self, name: str, *command: str, **environment: str) -> bytes:
        """The table by a command whose stages run in images; its records name them."""
        folder = self.project(name)
        self.step(name, folder, *command, **environment)
        record = read_json(folder / "results" / self.profile / SCORE)
        digest = read_json(folder / LOCK)["images"]["training"]["digest"]
        assert record["image"] == {"name": "training", "digest": digest}, record["image"]
        return (folder / TABLE).read_bytes()

    def a_changed_image_reruns(self, name: str) -> None:
        """With another digest in the lock file, what that image made is made again."""
        folder = self.folder / name
        lock = read_json(folder / LOCK)
        idle = self.step("nothing to do", folder, "snakemake", "--cores", "1", "--", TABLE)
        assert "Nothing to be done" in idle, idle
        lock["images"]["training"]["digest"] = f"sha256:{'0' * 64}"
        write_json(folder / LOCK, lock)
        told = self.step("changed", folder, "snakemake", "--cores", "1", "-n", "--", TABLE)
        assert "image training was sha256:" in told, told


def _thin(text: str, layer: str) -> str:
    """A requirement file of the frame only, so that an image takes seconds."""
    kept = [line for line in text.splitlines() if line.partition("==")[0] in THIN]
    if layer in ("torch", "pipeline"):
        kept = []
    elif layer in ("training", "parsing"):  # torch's layer has numpy, in the whole images
        kept = [line for line in kept if not line.startswith("numpy")]
    return "\n".join(["# imports: yaml", *kept]) + "\n"


def main() -> None:
    """Prove, or fail with the step that differs."""
    parser = argparse.ArgumentParser(
        prog="docker/prove",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--base", help="base image, in place of the one docker/Dockerfile names")
    parser.add_argument("--runtime", choices=("docker", "podman", "apptainer"), default="podman")
    parser.add_argument("--sif", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="crgan-prove."))
    try:
        proof = Proof(folder.resolve(), options)
        proof.build()
        expected = proof.on_the_host()
        launched = {"CRGAN_RUNTIME": proof.runtime}
        engine = ("docker/run", "snakemake", "--cores", "all", "-q", "all", "--", TABLE)
        tables = {
            "snakemake": proof.in_containers("snakemake", *engine, **launched),
            "dvc": proof.in_containers(
                "dvc", "docker/run", "dvc", "repro", "-q", STAGE, **launched
            ),
        }
        if proof.sif:
            words = ["snakemake", "--cores", "all", "--sdm", "apptainer", "-q", "all", "--"]
            tables["sdm"] = proof.in_containers("sdm", *words, TABLE)
        for name, table in tables.items():
            assert table == expected, f"{name}: another table than on the host"
            print(f"{name}: {TABLE} equals the host's, {len(table)} bytes")
        proof.a_changed_image_reruns("snakemake")
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
