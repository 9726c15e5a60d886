"""Records beside outputs, and the auditor that decides by them alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from crgan.pipeline import params as parameters
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.identity import identity_of
from crgan.pipeline.records import Auditor, all_records, key_of, mixed_versions, record_path
from crgan.pipeline.stage import Run, StageParser, run_stage

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = "artifacts/demo/data/dukemtmc/manifest.csv"
IMAGES = "artifacts/demo/data/dukemtmc/images.npy"
CAMERA = "artifacts/demo/d_cam/dukemtmc/seed0.pt"
HISTORY = "artifacts/demo/d_cam/dukemtmc/seed0.csv"
SCORE = "results/demo/cells/crgan/market1501-dukemtmc/seed0.json"
REID = "artifacts/demo/reid/crgan/market1501-dukemtmc/seed0.pt"


def prepare(content: str = "images") -> None:
    parser = StageParser("prepare_data", None)
    parser.cell("--dataset")
    parser.output("--out")
    parser.output("--images")

    def body(args: Any, run: Run) -> None:
        _write(args.out, "manifest")
        _write(args.images, content)

    argv = ["--dataset", "dukemtmc", "--out", MANIFEST, "--images", IMAGES]
    run_stage(parser, body, argv)


def camera(content: str = "camera") -> None:
    parser = StageParser("pretrain_cam", None)
    parser.cell("--target")
    parser.cell("--seed", type=int)
    parser.input("--target-manifest", beside=("images.npy",))
    parser.output("--out")
    parser.output("--history")

    def body(args: Any, run: Run) -> None:
        _write(args.out, content)
        _write(args.history, "history")

    argv = ["--target", "dukemtmc", "--seed", "0", "--target-manifest", MANIFEST]
    run_stage(parser, body, [*argv, "--out", CAMERA, "--history", HISTORY])


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(parameters.ENVIRONMENT, raising=False)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    prepare()
    camera()
    return tmp_path


def why(output: str, change: Callable[[dict[str, Any]], None] | None = None) -> str | None:
    params = parameters.load()
    if change:
        change(params)
    return Auditor(params).why_stale(output)


def test_what_was_just_made_is_current(project: Path) -> None:
    assert [why(output) for output in (MANIFEST, IMAGES, CAMERA, HISTORY)] == [None] * 4


def test_a_record_says_what_made_the_file(project: Path) -> None:
    record = json.loads(record_path(CAMERA).read_text())
    assert record_path(CAMERA) == record_path(HISTORY) == Path(CAMERA).with_suffix(".prov.json")
    assert record["stage"] == "pretrain_cam"
    assert record["cell"] == {"profile": "demo", "target": "dukemtmc", "seed": 0}
    assert set(record["inputs"]) == {MANIFEST, IMAGES}
    assert set(record["outputs"]) == {CAMERA, HISTORY}
    assert record["params"]["pretrain_cam"]["iterations"] > 0
    assert record["run"]["wall_seconds"] >= 0
    assert record["run"]["peak_memory_mb"] > 0
    assert set(all_records("artifacts")) == {MANIFEST, IMAGES, CAMERA, HISTORY}


def test_parameters_the_stage_reads_matter_and_others_do_not(project: Path) -> None:
    def batch(params: dict[str, Any]) -> None:
        params["profiles"]["demo"]["pretrain_cam"]["batch"] = 7

    def unread(params: dict[str, Any]) -> None:
        params["loss"]["lambda_con"] = 99
        params["profiles"]["paper"]["pretrain_cam"]["batch"] = 7

    assert "parameters changed: pretrain_cam.batch was 32, is 7" in str(why(CAMERA, batch))
    assert why(MANIFEST, batch) is None
    assert why(CAMERA, unread) is None


def test_a_file_belongs_to_the_profile_of_its_path(project: Path) -> None:
    assert why(CAMERA, lambda params: params.update(profile="paper")) is None


def test_a_number_typed_otherwise_is_the_same(project: Path) -> None:
    def typed(params: dict[str, Any]) -> None:
        params["profiles"]["demo"]["pretrain_cam"]["batch"] = 32.0

    assert why(CAMERA, typed) is None


def test_a_stale_input_makes_what_was_made_from_it_stale(project: Path) -> None:
    def store(params: dict[str, Any]) -> None:
        params["profiles"]["demo"]["image"]["store"] = [32, 16]

    assert "image.store" in str(why(CAMERA, store))
    prepare("other images")
    assert "is no longer the one it was made from" in str(why(CAMERA))
    camera()
    assert why(CAMERA) is None


def test_contents_are_judged_not_lengths_or_times(project: Path) -> None:
    Path(CAMERA).write_text("camerb")
    assert why(CAMERA) == "its content is not the one recorded"
    assert why(HISTORY) is None
    Path(CAMERA).write_text("camera!")
    assert why(CAMERA) == "its length is not the one recorded"
    Path(CAMERA).write_text("camera")
    assert why(CAMERA) is None


def test_changed_sources_make_stale(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crgan.pipeline.identity.code_digest", lambda files: "other")
    assert why(MANIFEST) == "source code changed"
    assert "source code changed" in str(why(CAMERA))


def test_nothing_without_a_record_is_trusted(project: Path) -> None:
    record_path(MANIFEST).rename("kept")
    assert why(MANIFEST) == "no provenance record"
    assert why(CAMERA) == f"{MANIFEST}: no provenance record"
    Path("kept").rename(record_path(MANIFEST))
    record_path(CAMERA).unlink()
    assert why(CAMERA) == "no provenance record"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("{}", "unreadable provenance record"),
        ("[]", "unreadable provenance record"),
        ('{"outputs": {}}', "not in the provenance record beside it"),
    ],
)
def test_a_damaged_record_vouches_for_nothing(project: Path, text: str, message: str) -> None:
    record_path(CAMERA).write_text(text)
    assert message in str(why(CAMERA))


def test_a_record_of_a_stage_or_method_that_is_no_more(project: Path) -> None:
    record = json.loads(record_path(CAMERA).read_text())
    record_path(CAMERA).write_text(json.dumps({**record, "stage": "gone"}))
    assert "names a stage or cell that cannot be: 'gone'" in str(why(CAMERA))


@pytest.mark.parametrize("name", ["x;touch y", "../x", "X", "", "-x"])
def test_a_record_of_a_cell_that_cannot_be(project: Path, name: str) -> None:
    record = json.loads(record_path(CAMERA).read_text())
    record["cell"]["target"] = name
    record_path(CAMERA).write_text(json.dumps(record))
    assert "names a stage or cell that cannot be" in str(why(CAMERA))


def forge(record: dict[str, Any]) -> None:
    """Write the camera's record with a key that fits it."""
    record_path(CAMERA).write_text(json.dumps(record | {"key": key_of(record)}))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(inputs={}),
        lambda record: record["cell"].update(seed=1),
        lambda record: record.update(wiring={"start": "fresh"}),
        lambda record: record.pop("key"),
    ],
)
def test_a_record_changed_by_hand_vouches_for_nothing(
    project: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    record = json.loads(record_path(CAMERA).read_text())
    change(record)
    record_path(CAMERA).write_text(json.dumps(record))
    assert re.search("changed by hand|unreadable", str(why(CAMERA)))


def test_a_forged_circle_ends(project: Path) -> None:
    record = json.loads(record_path(CAMERA).read_text())
    record["inputs"] = {CAMERA: record["outputs"][CAMERA]["sha256"]}
    forge(record)
    assert "depends on itself" in str(why(CAMERA))


def test_an_input_deleted_to_save_space_is_judged_by_its_record(project: Path) -> None:
    Path(IMAGES).unlink()
    assert why(IMAGES) == "missing"
    assert why(CAMERA) is None
    record_path(IMAGES).unlink()
    assert why(CAMERA) == f"{IMAGES}: no provenance record"


def test_raw_material_is_judged_by_content(project: Path) -> None:
    Path("resources").mkdir()
    raw = Path("resources/raw.txt")
    raw.write_text("raw")
    record = json.loads(record_path(CAMERA).read_text())
    record["inputs"][str(raw)] = Hashes(None).of(raw)
    forge(record)
    assert why(CAMERA) is None
    raw.write_text("new")
    assert why(CAMERA) == f"{raw}: its content changed"
    raw.unlink()
    assert why(CAMERA) == f"{raw}: missing"


def own_data(folder: Path) -> Callable[[dict[str, Any]], None]:
    """Parameters whose data set lies in a folder."""

    def change(params: dict[str, Any]) -> None:
        values = params["profiles"]["demo"]["data"]["dukemtmc"]
        values.clear()
        values.update(source=str(folder), expect="none")

    return change


def remake(change: Callable[[dict[str, Any]], None]) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    change(params)
    Path("params.yaml").write_text(yaml.safe_dump(params))
    prepare()
    camera()


@pytest.mark.parametrize("what", ["added", "replaced", "deleted"])
def test_raw_data_count(project: Path, what: str) -> None:
    raw = project / "resources/own"
    (raw / "a").mkdir(parents=True)
    for name in ("one", "two"):
        (raw / "a" / f"{name}.jpg").write_text(name)
    remake(own_data(raw))
    assert why(CAMERA) is None
    if what == "added":
        (raw / "a/three.jpg").write_text("three")
    elif what == "replaced":
        (raw / "a/one.jpg").write_text("eno")
    else:
        (raw / "a/one.jpg").unlink()
    assert "raw data changed" in str(why(MANIFEST))
    assert "raw data changed" in str(why(CAMERA))


def test_raw_data_that_are_not_here_are_taken_to_be_as_they_were(project: Path) -> None:
    raw = project / "resources/own"
    raw.mkdir(parents=True)
    (raw / "one.jpg").write_text("one")
    remake(own_data(raw))
    shutil.rmtree(raw)  # a clone that has pulled the results alone
    assert why(CAMERA) is None


def test_a_file_that_a_parameter_names_counts(project: Path) -> None:
    own = project / "own.mat"
    own.write_text("attributes")

    def name(params: dict[str, Any]) -> None:
        params["profiles"]["demo"]["data"]["dukemtmc"]["attributes"] = "own.mat"

    remake(name)
    assert why(MANIFEST) is None
    own.write_text("other")
    assert why(MANIFEST) == "own.mat: changed, a file that the parameters name"
    own.unlink()
    assert why(MANIFEST) is None


def test_versions_of_libraries_count_where_they_are_to(project: Path) -> None:
    record = json.loads(record_path(MANIFEST).read_text())
    here = record["run"]["versions"]["numpy"]
    record["run"]["versions"]["numpy"] = "0.1"
    record_path(MANIFEST).write_text(json.dumps(record))
    assert why(MANIFEST) is None
    strict = why(MANIFEST, lambda params: params["records"].update(strict_versions=True))
    assert strict == f"made with numpy 0.1, here is {here} (records.strict_versions)"
    assert mixed_versions([Path(CAMERA)]) == {"numpy": ["0.1", here]}
    assert mixed_versions([Path(MANIFEST)]) == {}


def test_another_line_of_the_matrix_is_another_result(project: Path) -> None:
    """A cell keeps its name and starts from another CNN."""
    params = parameters.load()
    entry = next(e for e in params["matrix"]["adapt"] if e["method"] == "pul")
    cell = {"method": "pul", "source": entry["source"], "target": entry["target"], "seed": 0}
    record = identity_of("adapt", params, {**cell, "model": "pul"}, Hashes(None))
    record |= {"cell": {"profile": "demo", **cell, "model": "pul"}, "inputs": {}}
    record["key"] = key_of(record)
    assert Auditor(params).why_record_stale(record) is None
    entry["start"] = "fresh"
    assert "the matrix changed: start was" in str(Auditor(params).why_record_stale(record))
