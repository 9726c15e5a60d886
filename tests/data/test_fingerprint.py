"""Raw data are an input: what changes in a folder changes its fingerprint, nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.data.prepare import Recipe, fingerprint, missing_source, named_files
from tests.data_trees import jpeg, write_tree


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "site", {"door/monday": ["a.jpg", "b.jpg"], "hall": ["c.jpg"]})


def of(source: Path | str) -> str:
    return fingerprint("mysite", {"layout": "folder", "source": str(source)})


def test_added_replaced_renamed_and_deleted_files_change_it(site: Path) -> None:
    seen = [of(site)]
    path = site / "door/monday/new.jpg"
    path.write_bytes(jpeg(1))
    seen.append(of(site))
    times = path.stat().st_mtime_ns
    path.write_bytes(jpeg(1)[:-1])
    os.utime(path, ns=(times, times))  # of another size, at the same time
    seen.append(of(site))
    os.utime(path, ns=(times, times + 1))  # of the same size, at another time
    seen.append(of(site))
    path.rename(site / "hall/new.jpg")
    seen.append(of(site))
    assert len(set(seen)) == 5
    (site / "hall/new.jpg").unlink()
    assert of(site) == seen[0]


def test_clutter_reading_and_the_place_do_not(site: Path) -> None:
    before = of(site)
    (site / "hall/.DS_Store").touch()
    (site / "Thumbs.db").touch()
    (site / "hall/c.jpg").read_bytes()
    assert of(site) == before
    assert of(site.rename(site.with_name("moved"))) == before


def test_links_are_followed_and_end(site: Path, tmp_path: Path) -> None:
    (site / "hall/up").symlink_to(site)
    (site / "hall/gone.jpg").symlink_to(tmp_path / "later.jpg")
    before = of(site)
    (tmp_path / "later.jpg").write_bytes(jpeg())
    assert of(site) != before


def test_files_generated_sets_and_addresses(tmp_path: Path) -> None:
    archive = tmp_path / "m.zip"
    archive.write_bytes(b"one")
    before = of(archive)
    archive.write_bytes(b"three")
    assert before != of(archive) != ""
    assert of("https://host/m.zip") == of(tmp_path / "nowhere") == ""
    assert fingerprint("m", {"layout": "market1501", "source": "generated"}) == ""


def test_files_that_parameters_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    values = {"layout": "cuhk03", "source": "$HERE/c", "protocol_file": "~/split.mat"}
    assert named_files(values) == [tmp_path / "me/split.mat"]
    assert named_files({"layout": "market1501", "source": "x"}) == []
    assert named_files({"layout": "market1501", "source": "x", "attributes": "a.mat"}) == [
        Path("a.mat")
    ]
    assert named_files({"layout": "market_style", "source": "x", "cameras": "c.txt"}) == [
        Path("c.txt")
    ]


def test_home_and_variables_in_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    for source in ("~/data", "$HOME/data", "${HOME}/data"):
        recipe = Recipe("market1501", source)
        assert recipe.source == str(tmp_path / "data")
        assert missing_source("m", recipe) is None
    address = "https://host/~me/$x.zip"
    assert Recipe("market1501", address).source == address
    with pytest.raises(UserError, match="source is 7"):
        Recipe("market1501", 7)  # type: ignore[arg-type]
