"""Results that a storage keeps: one identity wherever copies lie, and the records decide."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.pipeline import copies
from crgan.pipeline import params as parameters
from crgan.pipeline.bucket import INCOMPLETE, Bucket, Lineage
from crgan.pipeline.reconcile import METADATA, snakemake_record
from crgan.pipeline.records import Judge, record_path, relative
from crgan.pipeline.stage import Run, StageParser, run_stage
from crgan.pipeline.workflow import Experiment, job_environment

ROOT = Path(__file__).resolve().parents[2]
COPIES = Path(".snakemake/storage/s3/b/lab")
MANIFEST = "artifacts/demo/data/dukemtmc/manifest.csv"
CAMERA = "artifacts/demo/d_cam/dukemtmc/seed0.pt"
RECORDS = ["artifacts/demo/d_cam/dukemtmc/seed0.prov.json",
           "artifacts/demo/data/dukemtmc/manifest.prov.json"]  # fmt: skip


def work(stage: str, axis: str, inputs: list[str], output: str) -> dict[str, Any]:
    """Run a stage that copies its input; its record."""
    parser = StageParser(stage, None)
    parser.cell(f"--{axis}")
    parser.input("--given", nargs="*", required=False, default=[])
    parser.output("--out")

    def body(args: Any, run: Run) -> None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(f"{stage} of {[path.read_text() for path in args.given]}")

    run_stage(parser, body, [f"--{axis}", "dukemtmc", "--given", *inputs, "--out", output])
    return dict(read_json(record_path(output)))


def both(prefix: str = "") -> dict[str, Any]:
    """A data set and a classifier of its cameras; the latter's record."""
    work("prepare_data", "dataset", [], f"{prefix}{MANIFEST}")
    return work("pretrain_cam", "target", [f"{prefix}{MANIFEST}"], f"{prefix}{CAMERA}")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (parameters.ENVIRONMENT, copies.ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    return tmp_path


class Provider:
    """Snakemake's interface to a storage, on a folder in place of a bucket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def object(self, query: str) -> Any:
        key = query.removeprefix("s3://b/lab/")
        found = SimpleNamespace(place=Path(".snakemake/storage/s3/b/lab") / key)
        found.local_path = lambda: found.place
        found.set_local_path = lambda path: setattr(found, "place", path)
        found.retrieve_object = lambda: shutil.copyfile(self.folder / key, found.place)

        async def inventory(cache: Any) -> None:
            for path in (self.folder / key).parent.rglob("*"):
                if path.is_file():
                    name = str(COPIES / path.relative_to(self.folder))
                    cache.exists_in_storage[name] = True
                    cache.size[name] = path.stat().st_size
                    seconds = path.stat().st_mtime
                    cache.mtime[name] = SimpleNamespace(storage=lambda s=seconds: s)

        found.inventory = inventory
        return found


@pytest.fixture
def bucket(project: Path) -> Bucket:
    """A bucket with what `both` makes, and nothing beside the parameters in the folder."""
    both()
    os.rename("artifacts", project / "made")
    (project / "far").mkdir()
    os.rename("made", "far/artifacts")
    shutil.rmtree(".scratch")
    return Bucket(Provider(project / "far"), "s3://b/lab")


def noted(name: str) -> Path:
    return INCOMPLETE / snakemake_record(f"s3://b/lab/{name}").relative_to(METADATA)


def params(batch: int | None = None) -> dict[str, Any]:
    found = parameters.load()
    if batch:
        found["profiles"]["demo"]["pretrain_cam"]["batch"] = batch
    return found


def test_a_result_has_one_identity_wherever_its_copy_lies(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = both()
    shutil.rmtree("artifacts")
    monkeypatch.setenv(copies.ENVIRONMENT, str(COPIES))
    there = both(f"{COPIES}/")
    for record in (here, there):
        del record["run"]
    assert there == here
    assert set(there["inputs"]) == {MANIFEST}
    assert not Path("artifacts").exists()
    judge = Judge(parameters.load())
    assert [judge.why_stale(f"{COPIES}/{name}") for name in (MANIFEST, CAMERA)] == [None, None]
    assert record_path(CAMERA) == COPIES / RECORDS[0]


def test_a_record_shows_the_command_of_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(copies.ENVIRONMENT, str(COPIES))
    monkeypatch.setattr("sys.argv", ["stage", "--out", f"{COPIES}/{MANIFEST}"])
    argv = work("prepare_data", "dataset", [], f"{COPIES}/{MANIFEST}")["run"]["argv"]
    assert argv[3:] == ["--out", MANIFEST]


def test_only_made_files_are_looked_for_among_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(copies.ENVIRONMENT, str(COPIES))
    assert copies.place("reported/table2.csv") == Path("reported/table2.csv")
    assert copies.place("results/table2.csv") == COPIES / "results/table2.csv"
    assert relative(COPIES / "results/table2.csv") == "results/table2.csv"
    assert relative("reported/table2.csv") == "reported/table2.csv"


def test_a_clone_takes_what_the_bucket_has(bucket: Bucket) -> None:
    own = snakemake_record(f"s3://b/lab/{CAMERA}")  # what this folder remembers of another time
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    finding = bucket.reconcile(params(), look_only=False)
    assert finding.message() is None
    assert not own.exists()
    assert not INCOMPLETE.exists()


def test_what_is_stale_is_left_to_be_made_again(bucket: Bucket) -> None:
    finding = bucket.reconcile(params(batch=7), look_only=False)
    assert list(finding.stale) == [CAMERA]
    assert "pretrain_cam.batch was 32, is 7" in finding.stale[CAMERA]
    assert [noted(name).is_file() for name in (CAMERA, RECORDS[0], MANIFEST)] == [True, True, False]
    assert not bucket.reconcile(params(batch=7), look_only=False).stale  # said once
    bucket.reconcile(params(), look_only=False)  # the old value again
    assert not noted(CAMERA).exists()


def test_looking_changes_nothing(bucket: Bucket) -> None:
    assert bucket.reconcile(params(batch=7), look_only=True).stale
    assert not INCOMPLETE.exists()


def test_a_job_that_was_interrupted_stays_so(bucket: Bucket) -> None:
    note = noted(CAMERA)
    note.parent.mkdir(parents=True)
    note.write_text(json.dumps({"external_jobid": "12"}))
    bucket.reconcile(params(), look_only=False)
    assert read_json(note) == {"external_jobid": "12"}


def test_an_object_of_another_length_is_stale(bucket: Bucket, project: Path) -> None:
    (project / "far" / CAMERA).write_text("half")
    finding = bucket.reconcile(params(), look_only=False)
    assert finding.stale == {CAMERA: "its length is not the one recorded"}


def test_an_object_without_a_record_is_stale(bucket: Bucket, project: Path) -> None:
    (project / "far" / RECORDS[0]).unlink()
    finding = bucket.reconcile(params(), look_only=False)
    assert finding.stale == {CAMERA: "no provenance record"}
    assert noted(CAMERA).is_file()


class Rule:
    """A rule that makes one file from others."""

    def __init__(self, output: str, *inputs: str) -> None:
        self.output, self.inputs = str(COPIES / output), inputs

    def is_producer(self, path: str) -> bool:
        return path == self.output

    def get_wildcards(self, path: str) -> dict[str, str]:
        return {}

    def expand_input(self, wildcards: dict[str, str]) -> tuple[Iterator[str], None]:
        made = (str(COPIES / name) if "/" in name else name for name in self.inputs)
        return iter(made), None


def test_the_records_behind_a_file() -> None:
    rules = [
        Rule("results/s.json", "artifacts/m.pt", "code.py"),
        Rule("artifacts/m.pt", "artifacts/d.csv", "artifacts/d.npy"),
        Rule("artifacts/d.csv"),
        Rule("artifacts/d.npy"),
    ]
    lineage = Lineage(lambda: rules, COPIES)
    expected = ["artifacts/d.prov.json", "artifacts/m.prov.json", "results/s.prov.json"]
    assert lineage.of(["results/s.json"]) == expected
    with pytest.raises(UserError, match=r"results/t.json: no rule makes it"):
        lineage.of(["results/t.json"])


def test_without_a_storage_rules_get_what_they_got(project: Path) -> None:
    exp = Experiment({})
    files = ["stages/evaluate.py"]
    assert [type(name) for name in exp.of_checkout(files)] == [str]
    assert exp.with_records(files) is files
    assert copies.ENVIRONMENT not in job_environment(exp.params, own_python=False)
    with_storage = job_environment(exp.params, own_python=False, copies=COPIES)
    assert f"export {copies.ENVIRONMENT}={COPIES};" in with_storage
