"""The pipeline in containers against the pipeline on the host: the same table, byte for byte.

    docker/prove --base IMAGE                                both engines, podman
    docker/prove --base IMAGE --runtime docker
    docker/prove --base IMAGE --runtime podman apptainer     and Snakemake's --sdm apptainer
    docker/prove --base IMAGE --compose "docker compose"     and the image for who has no engine
    docker/prove --base IMAGE --quick          stages of milliseconds, images without torch
    docker/prove --keep FOLDER ... --only build host     some steps; a later call does the others

Works in copies of the project below a temporary folder; --keep names one that stays. The real proof
runs the smoke profile, one direction, all stages of Table 6. The quick one has the real rules,
dvc.yaml, launcher, Dockerfile and records, and stands in for nothing a number comes from.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from crgan.common.errors import UserError
from crgan.common.io import read_json, write_json
from crgan.pipeline.containers import LAYERS, LOCK, REQUIREMENTS, SETTING, image_of
from tests.stub_project import SMALL, make, run

TABLE = "results/table6.csv"
STAGE = "make_table_6"
THIN = ("numpy", "pyyaml", "requests", "tqdm")  # what the frame of a stage and pip need
SNAKEMAKE = ("snakemake", "--cores", "all", "-q", "all")
RUNTIMES = ("docker", "podman", "apptainer")


class Proof:
    """The steps, each in its own copy of one project.

    Attributes:
        folder: where the copies are.
        steps: {name: what does it}, in the order that they need.
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.quick: bool = options.quick
        self.runtimes: list[str] = options.runtime
        self.base: str | None = options.base
        self.compose: list[str] = shlex.split(options.compose)
        self.profile = "demo" if self.quick else "smoke"
        self.steps: dict[str, Callable[[], None]] = {"build": self.build, "host": self.on_the_host}
        for runtime in self.runtimes:
            self._add(f"{runtime}-snakemake", ("docker/run", *SNAKEMAKE, "--", TABLE), runtime)
            self._add(f"{runtime}-dvc", ("docker/run", "dvc", "repro", "-q", STAGE), runtime)
        if "apptainer" in self.runtimes:
            self._add("sdm", (*SNAKEMAKE, "--sdm", "apptainer", "--", TABLE), None)
        if self.compose:
            self.steps["compose"] = self.in_compose
        self.steps["stale"] = self.a_changed_image_reruns

    def _add(self, name: str, command: tuple[str, ...], runtime: str | None) -> None:
        environment = {SETTING: runtime} if runtime else {}
        self.steps[name] = lambda: self.in_containers(name, command, None, **environment)

    def project(self, name: str) -> Path:
        """A copy of the project, one direction; with the images' lock file once there is one.

        Table 6 takes a row of Table 2.
        """
        folder = self.folder / name
        if folder.exists():  # of an earlier call
            shutil.rmtree(folder)
        make(folder, {**SMALL, "profile": self.profile}, (2, 6), stubbed=self.quick)
        if self.quick:
            for path in (folder / REQUIREMENTS).glob("*.txt"):
                path.write_text(_thin(path.read_text(), path.stem))
        first = self.folder / "images"
        if folder != first and (first / "resources").is_dir():
            shutil.copy(first / LOCK, folder / LOCK)
            # Apptainer's files are gigabytes: linked, not copied.
            shutil.copytree(first / "resources", folder / "resources", copy_function=os.link)
        return folder

    def step(self, name: str, folder: Path, *command: str, **environment: str) -> str:
        """Run one command, say how long it took."""
        began = time.monotonic()
        answer = run(folder, *command, check=True, **environment)
        print(f"{time.monotonic() - began:7.1f} s  {name}: {' '.join(command)}", flush=True)
        return answer

    def build(self) -> None:
        """All images that are asked for, and their lock file."""
        folder = self.project("images")
        (folder / "resources").mkdir()
        engines = [name for name in self.runtimes if name != "apptainer"]
        words = ["--engine", engines[0] if engines else "podman"]
        words += ["--base", self.base] if self.base else []
        names = [name for name in LAYERS if name != "pipeline"]
        if "apptainer" in self.runtimes:
            words.append("--sif")
        print(self.step("build", folder, "docker/build", *words, *names))
        if self.compose:
            words = [word for word in words if word != "--sif"]
            print(self.step("build", folder, "docker/build", *words, "pipeline"))

    def on_the_host(self) -> None:
        """The table by Snakemake on the host."""
        folder = self.project("host")
        self.step("host", folder, *SNAKEMAKE, "--", TABLE)
        made = records(folder)
        assert made
        assert not any("image" in read_json(path) for path in made)

    def in_containers(
        self, name: str, command: tuple[str, ...], image: str | None, **environment: str
    ) -> None:
        """The host's table by a command whose stages run in images; every record names its own.

        Args:
            image: of all stages; None where each has its own.
        """
        folder = self.project(name)
        self.step(name, folder, *command, **environment)
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

    def in_compose(self) -> None:
        """The table by compose.yaml: engine and stages in one image."""
        ids = {"CRGAN_UID": str(os.getuid()), "CRGAN_GID": str(os.getgid())}
        command = (*self.compose, "run", "--rm", "-T", "pipeline", TABLE)
        self.in_containers("compose", command, "pipeline", **ids)

    def a_changed_image_reruns(self) -> None:
        """With another digest in the lock file, what that image made is made again."""
        by_snakemake = [name for name in self.steps if name == "sdm" or name.endswith("-snakemake")]
        folder = next(f for f in map(self.folder.joinpath, by_snakemake) if (f / TABLE).is_file())
        lock = read_json(folder / LOCK)
        ran_in = Counter(read_json(path)["image"]["name"] for path in records(folder))
        image = ran_in.most_common(1)[0][0]
        idle = self.step("nothing to do", folder, "snakemake", "--cores", "1", "--", TABLE)
        assert "Nothing to be done" in idle, idle
        changed = {**lock["images"][image], "digest": f"sha256:{'0' * 64}"}
        write_json(folder / LOCK, {"images": {**lock["images"], image: changed}})
        told = self.step("changed", folder, "snakemake", "--cores", "1", "-n", "--", TABLE)
        assert f"image {image} was sha256:" in told, told
        write_json(folder / LOCK, lock)


def records(folder: Path) -> list[Path]:
    """The record of every job of a run."""
    return [
        path for home in ("artifacts", "results") for path in (folder / home).rglob("*.prov.json")
    ]


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
    parser.add_argument("--runtime", choices=RUNTIMES, nargs="+", default=["podman"])
    parser.add_argument("--compose", default="", metavar="PROGRAM", help='"docker compose", say')
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", nargs="+", metavar="STEP", help="all steps unless given")
    options = parser.parse_args()
    if options.quick and options.compose:
        parser.error("--compose needs whole images: drop --quick")
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="crgan-prove."))
    try:
        proof = Proof(folder.resolve(), options)
        unknown = set(options.only or ()) - set(proof.steps)
        if unknown:
            parser.error(f"no step {', '.join(unknown)}; steps: {', '.join(proof.steps)}")
        for name in options.only or proof.steps:
            proof.steps[name]()
    except UserError as error:
        parser.error(str(error))
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
