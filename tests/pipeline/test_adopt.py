"""What is put aside, taken back and adopted before Snakemake looks at the files."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from crgan.common.errors import UserError
from crgan.pipeline import params as parameters
from crgan.workflow.adopt import Finding, adopt, note_made
from crgan.workflow.current import require_current
from tests.pipeline.test_records import CAMERA, HISTORY, MANIFEST, camera, prepare

ROOT = Path(__file__).resolve().parents[2]
RECORD = "artifacts/demo/d_cam/dukemtmc/seed0.prov.json"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set and a camera classifier, as a run of Snakemake left them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(parameters.ENVIRONMENT, raising=False)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    prepare()
    camera()
    note_made(parameters.load())
    return tmp_path


def set_batch(batch: int) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["profiles"]["demo"]["pretrain_cam"]["batch"] = batch
    Path("params.yaml").write_text(yaml.safe_dump(params))


def look() -> Finding:
    return adopt(parameters.load(), look_only=True)


def act(touched: list[str] | None = None) -> Finding:
    """What a real run does; touched outputs are listed instead."""

    def touch(outputs: Sequence[str], config: Mapping[str, Any]) -> None:
        (touched if touched is not None else []).extend(outputs)

    return adopt(parameters.load(), touch=touch)


def in_place() -> set[str]:
    return {str(p) for p in Path("artifacts").rglob("*") if p.is_file() and p.suffix != ".stale"}


def test_what_stands_is_left_as_it_is(project: Path) -> None:
    before = {name: os.lstat(name).st_mtime_ns for name in in_place()}
    assert act() == Finding()
    assert {name: os.lstat(name).st_mtime_ns for name in in_place()} == before


def test_what_does_not_stand_is_put_aside_and_taken_back(project: Path) -> None:
    before, times = in_place(), os.stat(CAMERA).st_mtime_ns
    set_batch(7)
    assert set(look().stale) == {CAMERA, HISTORY}
    assert in_place() == before  # a look changes nothing
    finding = act()
    assert "pretrain_cam.batch was 32, is 7" in finding.stale[CAMERA]
    assert before - in_place() == {CAMERA, HISTORY, RECORD}
    assert Path(f"{CAMERA}.stale").read_text() == "camera"

    set_batch(32)
    assert set(act().restored) == {CAMERA, HISTORY}
    assert in_place() == before
    assert os.stat(CAMERA).st_mtime_ns == times
    assert act() == Finding()


def test_two_generations_change_places(project: Path) -> None:
    set_batch(7)
    act()
    kept = {p: p.read_bytes() for p in Path("artifacts").rglob("*.stale")}
    camera("camera of seven")
    for path, content in kept.items():  # a new generation ends the old one; here it is kept
        path.write_bytes(content)
    set_batch(32)
    act()
    assert Path(CAMERA).read_text() == "camera"
    set_batch(7)
    act()
    assert Path(CAMERA).read_text() == "camera of seven"


def test_what_stands_beside_another_is_not_in_place(project: Path) -> None:
    """`dvc commit -f` may bless what lies there; the last stage of dvc.yaml does not."""
    set_batch(7)
    act()
    for path in Path("artifacts").rglob("*.stale"):
        shutil.copyfile(path, path.with_suffix(""))
    Path(CAMERA).write_text("camera of seven")
    set_batch(32)
    assert set(look().restored) == {CAMERA, HISTORY}
    with pytest.raises(UserError, match="of other parameters; that of these is beside it"):
        require_current(parameters.load())
    act()
    require_current(parameters.load())


def test_a_new_generation_ends_the_old_one(project: Path) -> None:
    set_batch(7)
    act()
    camera("camera of seven")
    assert not list(Path("artifacts").rglob("*.stale"))


def test_what_was_put_aside_is_checked_before_it_is_taken_back(project: Path) -> None:
    set_batch(7)
    act()
    Path(f"{CAMERA}.stale").write_text("cameru")
    set_batch(32)
    assert act().restored == []
    assert CAMERA not in in_place()


def test_what_another_made_is_adopted_with_what_was_made_from_it(project: Path) -> None:
    record = json.loads(Path(RECORD).read_text())
    record["run"]["started"] = "of another run"
    Path(RECORD).write_text(json.dumps(record))
    touched: list[str] = []
    act(touched)
    assert set(touched) == {CAMERA, HISTORY}
    touched.clear()
    Path(".scratch/made.json").unlink()
    act(touched)
    assert {MANIFEST, CAMERA} <= set(touched)
    touched.clear()
    act(touched)
    assert touched == []


def test_an_input_that_looks_newer_is_no_reason_to_run(project: Path) -> None:
    """`dvc checkout` hands out times in any order."""
    os.utime(CAMERA, ns=(1, 1))
    touched: list[str] = []
    act(touched)
    assert set(touched) == {CAMERA, HISTORY}


def test_files_without_a_record_are_put_aside(project: Path) -> None:
    Path(RECORD).unlink()
    assert act().stale[CAMERA] == "no provenance record"
    assert CAMERA not in in_place()


def test_a_link_into_a_cache_is_put_aside_and_the_cache_stays(project: Path) -> None:
    cache = project / "cache"
    cache.mkdir()
    for name in (CAMERA, HISTORY):
        shutil.move(name, cache / Path(name).name)
        Path(name).symlink_to(cache / Path(name).name)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in cache.iterdir()}
    set_batch(7)
    act()
    assert not os.path.lexists(CAMERA)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in cache.iterdir()} == before
    set_batch(32)
    act()
    assert Path(CAMERA).is_symlink()
    assert Path(CAMERA).read_text() == "camera"


def test_other_profiles_are_left_alone(project: Path) -> None:
    other = Path("artifacts/paper/gan/own.pt")
    other.parent.mkdir(parents=True)
    other.write_text("of another profile")
    Path("results/paper/cells").mkdir(parents=True)
    Path("results/paper/cells/seed0.json").write_text("{}")
    assert act() == Finding()


def test_what_no_stage_makes_is_left_alone(project: Path) -> None:
    for name in ("results/site/index.html", "artifacts/demo/notes/mine.txt"):
        Path(name).parent.mkdir(parents=True)
        Path(name).touch()
    assert act() == Finding()
    assert Path("results/site/index.html").is_file()


def test_what_a_killed_job_left_half_made_is_left_alone(project: Path) -> None:
    half = Path("artifacts/demo/data/.raw.building/query/0001.jpg")
    half.parent.mkdir(parents=True)
    half.touch()
    assert act() == Finding()
    assert half.exists()


def test_a_folder_of_another_user_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system refuses it; root, who may write everywhere, would not meet it."""

    def refused(old: Path, new: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(old))

    set_batch(7)
    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(UserError, match="another user"):
        act()
