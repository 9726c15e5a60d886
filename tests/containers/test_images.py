"""The lock file of images: what enters records, what makes them stale, what recipes hold."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.containers import build, requirements
from crgan.pipeline import containers as images
from crgan.pipeline import params as parameters
from crgan.pipeline.recipes import FOLDER, recipes
from crgan.pipeline.records import Judge, record_path
from crgan.pipeline.stage import StageParser, run_stage
from crgan.pipeline.workflow import Experiment, job_environment
from tests import stub_project

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / images.DOCKERFILE).read_text()
OUT = "results/demo/cells/crgan/market1501-dukemtmc/seed0.json"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder to change the lock file of, on the host."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(images.SETTING, raising=False)
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
    entry = {"digest": digest, "recipe": images.recipe(image), **more}
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
    return Judge(parameters.load()).why_stale(OUT)


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
    assert "is recipe:" in str(why_stale())


def test_an_image_in_no_lock_file_is_known_by_its_recipe(project: Path) -> None:
    enter(project, "pipeline")
    digest = evaluate()["image"]["digest"]
    assert digest == f"recipe:{images.recipe('pipeline')}"
    assert why_stale() is None


def test_a_container_of_another_recipe_is_refused(project: Path) -> None:
    enter(project, "training")
    for path in (images.REQUIREMENTS / "torch.txt", images.DOCKERFILE):
        with (project / path).open("a") as file:
            file.write("# changed\n")
        with pytest.raises(UserError, match="build it again: docker/build training"):
            images.inside()
        shutil.copy(ROOT / path, project / path)
    assert images.inside() is not None


def test_dvc_sees_the_image_of_each_stage_where_stages_run_in_containers(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = parameters.load()
    on_host = recipes(params)
    lock(project, "training", "sha256:aaaa")
    assert recipes(params) == on_host
    monkeypatch.setenv(images.SETTING, "podman")
    there = recipes(params)
    evaluate = json.loads(on_host[FOLDER / "evaluate.json"])
    image = {"name": "training", "digest": "sha256:aaaa"}
    assert json.loads(there[FOLDER / "evaluate.json"]) == {**evaluate, "image": image}
    prepared = json.loads(there[FOLDER / "prepare_data" / "market1501.json"])
    assert prepared["image"]["name"] == "data"
    monkeypatch.setenv(images.SETTING, "apptainer")  # the same images by another runtime
    assert recipes(params) == there


def test_snakemake_takes_the_file_or_the_address_of_each_image(project: Path) -> None:
    assert Experiment({}).container("evaluate") is None
    image = Experiment({}, apptainer=True).container("evaluate")
    assert image is not None
    with pytest.raises(UserError, match="docker/build --sif"):
        image({})
    lock(project, "training", "sha256:a", reference="host/crgan/training@sha256:b", sif="a.sif")
    assert image({}) == "docker://host/crgan/training@sha256:b"
    (project / "a.sif").write_text("")
    assert image({}) == "a.sif"


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
    assert "names no file or address of image 'parsing'" in refused


def test_snakemakes_jobs_find_the_shim_only_in_a_container_runtime(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = parameters.load()
    assert "shims" not in job_environment(params, own_python=True)
    monkeypatch.setenv(images.SETTING, "docker")
    assert f"PATH={project}/docker/shims:" in job_environment(params, own_python=True)
    assert "shims" not in job_environment(params, own_python=False)


def test_the_lock_file_says_what_each_image_was_built_from() -> None:
    fields = {"digest", "base", "base_digest", "recipe", "dockerfile_sha256",
              "requirements_lock_sha256", "engine"}  # fmt: skip
    for name, entry in images.read_lock().items():
        assert name in images.LAYERS
        assert fields <= set(entry)
        assert re.fullmatch(r"sha256:[0-9a-f]{64}", entry["digest"])


def test_a_damaged_lock_file_is_named(project: Path) -> None:
    (project / images.LOCK).write_text("{")
    with pytest.raises(UserError, match=r"images\.lock"):
        images.read_lock()


def test_requirement_files_are_fresh() -> None:
    """Derived from the stages' imports and requirements.lock."""
    for layer, text in requirements.texts().items():
        path = ROOT / images.REQUIREMENTS / f"{layer}.txt"
        assert path.read_text() == text, "run python -m crgan.containers.requirements"


def test_torch_lies_under_the_images_that_need_it_and_in_no_other() -> None:
    pinned = {layer: text.splitlines() for layer, text in requirements.texts().items()}
    holders = {layer for layer, lines in pinned.items() for line in lines if "torch==" in line}
    assert holders == {"torch"}
    assert "torch" not in images.LAYERS["data"] + images.LAYERS["report"]
    for layers in images.LAYERS.values():  # no package twice in an image
        lines = [line for layer in layers for line in pinned[layer] if "==" in line]
        assert len(lines) == len(set(lines))


def stages_under(image: str) -> str:
    """The Dockerfile's text of an image, from its base to its own stage."""
    stages = re.findall(r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.M | re.S)
    found = {name: (below, body.replace("\\\n", " ")) for below, name, body in stages}
    text, name = "", image
    while name in found:
        name, body = found[name]
        text = body + text
    return text


def test_the_dockerfile_builds_every_image_from_its_recipe() -> None:
    for image, layers in images.LAYERS.items():
        text = stages_under(image)
        copied = re.findall(r"^COPY (docker/\S+) /etc/crgan/$", text, re.M)
        assert sorted(copied) == sorted(path.as_posix() for path in images.recipe_files(image))
        assert re.findall(r" install-layer (\S+)$", text, re.M) == list(layers)
        assert re.findall(r" python /tmp/health.py (\S+)$", text, re.M) == [image]
        assert re.findall(r"^USER (\S+)$", text, re.M) == ["1000"]
        assert f'image.title="crgan/{image}"' in text
    assert re.search(r"@sha256:[0-9a-f]{64}$", build.default_base())


def test_compose_names_the_same_base_and_a_target_there_is() -> None:
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["pipeline"]
    assert service["build"]["args"]["BASE_IMAGE"].endswith(f":-{build.default_base()}}}")
    assert service["build"]["target"] in images.LAYERS
    assert service["network_mode"].endswith(":-none}")


def test_build_commands() -> None:
    command = build.build_command("data", "podman", "a/base@sha256:b")
    assert command[:4] == ["podman", "build", "--timestamp", "0"]
    assert {"BASE_IMAGE=a/base@sha256:b", "crgan/data"} <= set(command)
    assert "--timestamp" not in build.build_command("data", "docker", "a/base")


def test_another_digest_forgets_what_was_derived_from_the_old(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ROOT", project)
    shutil.copy(ROOT / "requirements.lock", project)
    monkeypatch.setattr(build, "_run", lambda command, hint: None)
    made = {"crgan/data": "sha256:a", "base": "sha256:b"}
    monkeypatch.setattr(build, "_identity", lambda engine, name: made[name])
    for digest, kept in (("sha256:a", None), ("sha256:a", "x.sif"), ("sha256:c", None)):
        made["crgan/data"] = digest
        entry = build.build("data", "podman", "base")
        assert entry.get("sif") == kept
        build.record("data", {**entry, "sif": "x.sif"})
    assert entry["base_digest"] == "sha256:b"
    assert images.read_lock()["data"]["digest"] == "sha256:c"
