"""Container images: what enters records, what makes them stale, what recipes hold."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.pipeline import containers as images
from crgan.pipeline import params as parameters
from crgan.pipeline.records import Auditor, record_path
from crgan.pipeline.stage import StageParser, run_stage
from tests import stub_project

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / images.DOCKERFILE).read_text()
OUT = "results/demo/cells/crgan/market1501-dukemtmc/seed0.json"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder to change the lock file of, on the host."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    shutil.copytree(ROOT / "docker", "docker")
    monkeypatch.setattr(images, "ROOT", tmp_path)
    monkeypatch.setattr(images, "INSIDE", tmp_path / "etc")
    return tmp_path


def enter(project: Path, image: str) -> None:
    """Make this process look like one in a container of the image, as docker/health.py left it."""
    (project / "etc").mkdir()
    for path in images.recipe_files(image):
        shutil.copy(project / path, project / "etc")
    (project / "etc" / "name").write_text(f"{image}\n")


def lock(project: Path, image: str, digest: str, **more: Any) -> None:
    entry = {"digest": digest, "definition": images.definition(image), **more}
    (project / images.LOCK).write_text(json.dumps({"images": {image: entry}}))


def evaluate() -> dict[str, Any]:
    """Run a small stage; its record."""
    parser = StageParser("evaluate", None)
    parser.cell("--seed", type=int)
    parser.output("--out")

    def body(args: Any, run: Any) -> None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("{}")

    run_stage(parser, body, ["--seed", "0", "--out", OUT])
    return dict(read_json(record_path(OUT)))


def why_stale() -> str | None:
    return Auditor(parameters.load()).why_stale(OUT)


def test_on_the_host_records_know_no_image_and_stand_whatever_is_locked(project: Path) -> None:
    record = evaluate()
    assert "image" not in record
    lock(project, "training", "sha256:aaaa")
    assert why_stale() is None
    assert evaluate()["key"] == record["key"]


def test_a_changed_image_makes_what_it_made_stale(project: Path) -> None:
    on_host = evaluate()["key"]
    lock(project, "training", "sha256:aaaa")
    enter(project, "training")
    record = evaluate()
    assert record["image"] == {"name": "training", "digest": "sha256:aaaa"}
    assert record["key"] != on_host
    shutil.rmtree(project / "etc")  # looked at from the host
    assert why_stale() is None
    lock(project, "training", "sha256:bbbb")
    assert why_stale() == "image training was sha256:aaaa, is sha256:bbbb"
    (project / images.LOCK).unlink()
    assert "is definition:" in str(why_stale())


def test_an_image_in_no_lock_file_is_known_by_its_recipe(project: Path) -> None:
    enter(project, "training")
    digest = evaluate()["image"]["digest"]
    assert digest == f"definition:{images.definition('training')}"
    assert why_stale() is None


def test_a_container_of_another_recipe_is_refused(project: Path) -> None:
    enter(project, "training")
    for path in (images.REQUIREMENTS / "training.txt", images.DOCKERFILE):
        with (project / path).open("a") as file:
            file.write("# changed\n")
        with pytest.raises(UserError, match="build it again: docker/build training"):
            images.inside()
        shutil.copy(ROOT / path, project / path)
    assert images.inside() is not None


def test_snakemake_takes_the_file_of_each_image(project: Path) -> None:
    with pytest.raises(UserError, match="docker/build --sif training"):
        images.apptainer_file("evaluate")
    lock(project, "training", "sha256:a", sif="a.sif")
    with pytest.raises(UserError, match="docker/build --sif training"):
        images.apptainer_file("evaluate")  # locked, and not on this machine
    (project / "a.sif").write_text("")
    assert images.apptainer_file("evaluate") == "a.sif"


def test_a_run_asks_only_for_the_images_of_its_jobs(tmp_path: Path) -> None:
    copy = stub_project.make(tmp_path / "copy", {"profile": "smoke"}, (2,))
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho apptainer version 1.4.0\n")
    program.chmod(0o755)
    (copy / "data.sif").write_text("")
    lock(copy, "data", "sha256:a", sif="data.sif")
    manifest, masks = (
        f"artifacts/smoke/{name}" for name in ("data/dukemtmc/manifest.csv", "masks/dukemtmc.h5")
    )
    words = ("snakemake", "-n", "--cores", "1", "--sdm", "apptainer", "--")
    path = f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    assert "prepare_data" in stub_project.run(copy, *words, manifest, PATH=path)
    refused = stub_project.run(copy, *words, masks, check=False, PATH=path)
    assert "no Apptainer file of image 'training'" in refused


def test_the_lock_file_says_what_each_image_was_built_from() -> None:
    for name, entry in images.read_lock().items():
        assert name in images.IMAGES
        assert {"digest", "base", "definition", "engine"} <= set(entry)
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", entry["digest"])


def test_a_damaged_lock_file_is_named(project: Path) -> None:
    (project / images.LOCK).write_text("{")
    with pytest.raises(UserError, match=r"images\.lock"):
        images.read_lock()


def pins(path: Path) -> dict[str, str]:
    """{package: version} for the machine of the images."""
    found = {}
    for line in path.read_text().splitlines():
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate():
            found[wanted.name] = str(wanted.specifier)
    return found


@pytest.mark.parametrize("image", images.IMAGES)
def test_images_hold_the_versions_of_the_lock(image: str) -> None:
    locked = pins(ROOT / "requirements.lock")
    wrong = {
        name: version
        for name, version in pins(ROOT / images.REQUIREMENTS / f"{image}.txt").items()
        if locked[name] != version
    }
    assert not wrong, "run make lock"


def third_party(stage: str) -> set[str]:
    """What a stage's file imports, and what it imports of ours imports, as top-level modules.

    Not of `common` and `pipeline`, which touch torch on behalf of stages that import it themselves.
    """
    queue, seen, found = [f"stages.{stage}"], set[str](), set[str]()
    while queue:
        module = queue.pop()
        path = ROOT / f"{module.replace('.', '/')}.py"
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{a.name}" for a in node.names)]
            else:
                continue
            queue += [n for n in names if n.startswith("crgan.")]
            if not module.startswith(("crgan.common", "crgan.pipeline")):
                found |= {name.partition(".")[0] for name in names}
    return found - set(sys.stdlib_module_names) - {"crgan"}


@pytest.mark.parametrize("stage", sorted(images.WITHOUT_TORCH))
def test_the_image_without_torch_has_what_its_stages_import(stage: str) -> None:
    names = {"cv2": "opencv-python-headless", "PIL": "pillow", "yaml": "pyyaml"}
    imported = third_party(stage)
    assert imported, "the stage's file was not read"
    packages = pins(ROOT / images.REQUIREMENTS / "data.txt")
    assert {names.get(module, module) for module in imported} <= set(packages)


def stage_of_dockerfile(image: str) -> str:
    return re.findall(rf"^FROM base AS {image}\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.M | re.S)[0]


@pytest.mark.parametrize("image", images.IMAGES)
def test_the_dockerfile_builds_every_image_from_its_recipe(image: str) -> None:
    text = stage_of_dockerfile(image)
    copied = re.findall(r"^COPY (docker/\S+) /etc/crgan/$", text, re.M)
    assert sorted(copied) == sorted(path.as_posix() for path in images.recipe_files(image))
    assert f" install-layer {image}\n" in text
    assert f" python /tmp/health.py {image} " in text
    assert re.findall(r"^USER (\S+)$", text, re.M) == ["1000"]


def services() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])


def test_compose_names_the_base_of_the_dockerfile() -> None:
    base = re.findall(r"^ARG BASE_IMAGE=(\S+@sha256:[0-9a-f]{64})$", DOCKERFILE, re.M)[0]
    build = services()["pipeline"]["build"]
    assert build["args"]["BASE_IMAGE"].endswith(f":-{base}}}")
    assert build["target"] in images.IMAGES


def test_a_compose_container_may_do_as_little_as_it_needs() -> None:
    service = services()["pipeline"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["network_mode"].endswith(":-none}")
    assert service["volumes"][0] == ".:/project:ro"
    assert services()["dvc"]["extends"] == "pipeline"
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    for volume in service["volumes"][1:]:  # nothing of git's can be written
        folder, inside = volume.split(":")
        assert inside == f"/project/{folder.removeprefix('./')}"
        name = folder.removeprefix("./")
        assert name in ignored or f"{name}/*" in ignored


def test_apptainer_shares_nothing_but_the_project() -> None:
    profile = yaml.safe_load((ROOT / "workflow/profiles/default/config.yaml").read_text())
    options = profile["apptainer-args"].split()
    assert {"--containall", "--no-privs"} <= set(options)
