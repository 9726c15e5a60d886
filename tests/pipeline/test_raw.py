"""Raw data are an input: what changes in a folder changes its digest, and nothing else does."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from crgan.common.paths import expanded
from crgan.pipeline import raw
from crgan.pipeline.hashes import Hashes
from crgan.pipeline.identity import files_in, raw_data
from tests.data_trees import jpeg, write_tree


@pytest.fixture(autouse=True)
def in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "site", {"door/monday": ["a.jpg", "b.jpg"], "hall": ["c.jpg"]})


def settled(folder: Path) -> str:
    """The digest, once no file is so fresh that it is not remembered."""
    time.sleep(0.06)
    return raw.contents(folder)


def test_added_replaced_renamed_and_deleted_files_change_it(site: Path) -> None:
    seen = [settled(site)]
    path = site / "door/monday/new.jpg"
    path.write_bytes(b"one")
    seen.append(settled(site))
    times = path.stat().st_mtime_ns
    path.write_bytes(b"two")
    os.utime(path, ns=(times, times))  # of the same length, at the same time
    seen.append(settled(site))
    path.rename(site / "hall/new.jpg")
    seen.append(settled(site))
    shutil.copy2(site / "hall/c.jpg", site / "d.jpg")
    (site / "d.jpg").replace(site / "hall/new.jpg")  # another file under its name
    seen.append(settled(site))
    assert len(set(seen)) == 5
    (site / "hall/new.jpg").unlink()
    assert settled(site) == seen[0]


def test_clutter_times_and_the_place_do_not(site: Path) -> None:
    before = settled(site)
    (site / "hall/.DS_Store").touch()
    (site / "Thumbs.db").touch()
    os.utime(site / "hall/c.jpg", (1, 1))
    assert settled(site) == before
    shutil.copytree(site, site.with_name("copy"))
    assert settled(site.with_name("copy")) == before


def test_files_are_read_once(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    content = raw._content
    monkeypatch.setattr(raw, "_content", lambda path: read.append(path) or content(path))
    before = settled(site)
    assert len(read) == 3
    assert raw.contents(site) == before
    assert len(read) == 3
    raw.READ.write_text("damaged")
    assert raw.contents(site) == before
    assert len(read) == 6
    assert len(json.loads(raw.READ.read_text())) == 1


def test_links_are_followed_and_end_and_a_pipe_is_not_waited_for(
    site: Path, tmp_path: Path
) -> None:
    (site / "hall/up").symlink_to(site)
    (site / "hall/gone.jpg").symlink_to(tmp_path / "later.jpg")
    os.mkfifo(site / "hall/pipe.jpg")
    before = settled(site)
    (tmp_path / "later.jpg").write_bytes(jpeg())
    between = settled(site)
    assert between != before
    (tmp_path / "later.jpg").write_bytes(jpeg(1))  # behind the link, outside the folder
    assert settled(site) != between


def test_files_generated_sets_and_addresses(tmp_path: Path) -> None:
    archive = tmp_path / "m.zip"
    archive.write_bytes(b"one")
    before = raw_data({"source": str(archive)})
    archive.write_bytes(b"two")
    assert before != raw_data({"source": str(archive)})
    for source in ("https://host/m.zip", "generated", str(tmp_path / "nowhere")):
        assert raw_data({"source": source}) is None
    assert raw_data({"source": str(tmp_path / "nowhere")}, "as it was") == "as it was"


def test_home_and_variables_anywhere_in_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WHO", "me")
    write_tree(tmp_path / "me", {"a": ["a.jpg"]})
    for source in ("~/me", "$HOME/me", "${HOME}/me", f"{tmp_path}/$WHO"):
        assert raw_data({"source": source}) == raw.contents(tmp_path / "me"), source
    assert expanded("https://host/~me/$x.zip") == "https://host/~me/$x.zip"


def test_files_that_parameters_name_count_whatever_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (Path("table"), Path("own weights.pt"), tmp_path / "split"):
        path.write_text("x")
    values = {"a": ["table", {"b": "own weights.pt"}], "c": "~/split", "d": "absent", "e": "a\0b",
              "f": "", "g": 5, "h": "x" * 9999}  # fmt: skip
    assert files_in(values) == ["own weights.pt", "table", "~/split"]
    Path("table").unlink()
    Path("table").symlink_to(tmp_path / "split")
    before = Hashes(None).of("table")
    (tmp_path / "split").write_text("y")
    assert Hashes(None).of("table") != before
