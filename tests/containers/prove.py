"""Table 6 made in containers is the host's, byte for byte.

    docker/prove --base IMAGE                             images, host, Snakemake with Apptainer
    docker/prove --base IMAGE --compose "docker compose"  and by compose.yaml
    docker/prove --keep FOLDER ... --only build host      some steps; a later call does the others

Works in copies of the project below a temporary folder; --keep names one that stays. Smoke profile,
one direction, all stages of Table 6.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from crgan.common.io import read_json, write_json
from crgan.pipeline.containers import IMAGES, LOCK, image_of
from tests.stub_project import SMALL, make, run

TABLE = "results/table6.csv"
SNAKEMAKE = ("snakemake", "--cores", "all")
WRITTEN = ("artifacts", "results", "resources", "logs", ".snakemake", ".scratch")  # by Compose


class Proof:
    """The steps, each in its own copy of one project; their order is that of `steps`."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.options = options
        self.steps = {
            "build": self.build,
            "host": self.on_the_host,
            "sdm": self.by_apptainer,
            "compose": self.in_compose,
            "stale": self.a_changed_image_reruns,
        }
        if not options.compose:
            del self.steps["compose"]

    def project(self, name: str) -> Path:
        """A copy of the project; with the images' lock file once there is one."""
        folder = self.folder / name
        if folder.exists():  # of an earlier call
            shutil.rmtree(folder)
        # Table 6 takes a row of Table 2.
        make(folder, {**SMALL, "profile": "smoke"}, (2, 6), stubbed=False)
        first = self.folder / "images"
        if folder != first and (first / LOCK).is_file():
            shutil.copy(first / LOCK, folder / LOCK)
            # Apptainer's files are gigabytes: linked, not copied.
            shutil.copytree(first / "resources", folder / "resources", copy_function=os.link)
        return folder

    def step(self, name: str, folder: Path, *command: str, **environment: str) -> str:
        """Run one command, say how long it took."""
        began = time.monotonic()
        answer = run(folder, *command, check=True, **environment)
        print(f"{time.monotonic() - began:7.1f} s  {name}: {shlex.join(command)}", flush=True)
        return answer

    def build(self) -> None:
        """Both images, their lock file and Apptainer's files."""
        folder = self.project("images")
        (folder / "resources").mkdir()
        words = ["--engine", self.options.engine, "--sif"]
        words += ["--base", self.options.base] if self.options.base else []
        print(self.step("build", folder, "docker/build", *words, *IMAGES))

    def on_the_host(self) -> None:
        """The table by Snakemake on the host."""
        folder = self.project("host")
        self.step("host", folder, *SNAKEMAKE, "--", TABLE)
        made = records(folder)
        assert made
        assert not any("image" in read_json(path) for path in made)

    def by_apptainer(self) -> None:
        """Snakemake on the host, each job in its stage's image."""
        folder = self.project("sdm")
        self.step("sdm", folder, *SNAKEMAKE, "--sdm", "apptainer", "--", TABLE)
        self.compare("sdm", None)

    def in_compose(self) -> None:
        """Snakemake and its jobs in one image."""
        folder = self.project("compose")
        for name in WRITTEN:
            (folder / name).mkdir(exist_ok=True)
        ids = {"CRGAN_UID": str(os.getuid()), "CRGAN_GID": str(os.getgid())}
        command = (*shlex.split(self.options.compose), "run", "--rm", "-T", "pipeline", TABLE)
        self.step("compose", folder, *command, **ids)
        self.compare("compose", "training")

    def compare(self, name: str, image: str | None) -> None:
        """The host's table; every record names its image: `image`, or its stage's own."""
        folder = self.folder / name
        locked = read_json(folder / LOCK)["images"]
        seen: Counter[str] = Counter()
        for path in records(folder):
            record = read_json(path)
            expected = image or image_of(record["stage"])
            inside = {"name": expected, "digest": locked[expected]["digest"]}
            assert record.get("image") == inside, f"{path}: {record.get('image')}, not {inside}"
            seen[expected] += 1
        print(f"{name}: jobs in {', '.join(f'{i} {n}' for i, n in sorted(seen.items()))}")
        table = (folder / TABLE).read_bytes()
        host = (self.folder / "host" / TABLE).read_bytes()
        assert table == host, f"{name}: {folder / TABLE} is not {self.folder / 'host' / TABLE}"
        print(f"{name}: {TABLE} equals the host's, {len(table)} bytes", flush=True)

    def a_changed_image_reruns(self) -> None:
        """With another digest in the lock file, what that image made is made again."""
        folder = self.folder / "sdm"
        lock = read_json(folder / LOCK)
        idle = self.step("nothing to do", folder, "snakemake", "--cores", "1", "--", TABLE)
        assert "Nothing to be done" in idle, idle
        changed = {**lock["images"]["training"], "digest": f"sha256:{'0' * 64}"}
        write_json(folder / LOCK, {"images": {**lock["images"], "training": changed}})
        told = self.step("changed", folder, "snakemake", "--cores", "1", "-n", "--", TABLE)
        assert "image training was sha256:" in told, told
        write_json(folder / LOCK, lock)


def records(folder: Path) -> list[Path]:
    """The record of every job of a run."""
    return [
        path for home in ("artifacts", "results") for path in (folder / home).rglob("*.prov.json")
    ]


def main() -> None:
    """Prove, or fail with the step that differs."""
    parser = argparse.ArgumentParser(
        prog="docker/prove",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--base", help="base image, in place of the one docker/Dockerfile names")
    parser.add_argument("--engine", choices=("docker", "podman"), default="docker")
    parser.add_argument("--compose", default="", metavar="PROGRAM", help='"docker compose", say')
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", nargs="+", metavar="STEP", help="all steps unless given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crgan-prove.") as temporary:
        proof = Proof((options.keep or Path(temporary)).resolve(), options)
        unknown = set(options.only or ()) - set(proof.steps)
        if unknown:
            parser.error(f"no step {', '.join(unknown)}; steps: {', '.join(proof.steps)}")
        for name in options.only or proof.steps:
            proof.steps[name]()


if __name__ == "__main__":
    main()
