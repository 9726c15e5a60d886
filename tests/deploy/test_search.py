"""Search is exact, remembers features, notices new images, and trusts no file name."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.deploy import nearest
from crgan.deploy.gallery import open_gallery
from crgan.deploy.listing import camera_of
from crgan.deploy.model import ReidModel
from crgan.deploy.nearest import top_k
from crgan.deploy.search import as_text, search, write_csv, write_html
from tests.deploy.models import crops, site, trained, write_crop


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ReidModel:
    return ReidModel.load(trained(tmp_path_factory.mktemp("model") / "r.pt"))


@pytest.mark.parametrize("seed", range(40))
def test_top_k_is_a_stable_sort_of_all(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small whole numbers: products are exact, and ties are many."""
    monkeypatch.setattr(nearest, "_ROWS", 50)
    monkeypatch.setattr(nearest, "_QUERIES", 7)
    rng = np.random.default_rng(seed)
    q, n, d, k = (int(rng.integers(1, most)) for most in (20, 300, 6, 15))
    queries, gallery = (rng.integers(-2, 3, (m, d)).astype(np.float32) for m in (q, n))
    cameras = rng.integers(-1, 3, q), rng.integers(-1, 3, n)
    itself = rng.integers(-1, n, q)
    matrix = np.empty((q, n), np.float32)
    rows, similarity = top_k(queries, gallery, k, cameras=cameras, itself=itself, matrix=matrix)

    naive = queries @ gallery.T
    np.testing.assert_array_equal(matrix, naive)
    naive[(cameras[0][:, None] == cameras[1]) & (cameras[0] >= 0)[:, None]] = -np.inf
    naive[np.flatnonzero(itself >= 0), itself[itself >= 0]] = -np.inf
    order = np.argsort(-naive, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(naive, order, 1)
    np.testing.assert_array_equal(similarity[:, : order.shape[1]], values)
    np.testing.assert_array_equal(rows[:, : order.shape[1]], np.where(np.isinf(values), -1, order))
    assert (rows[:, order.shape[1] :] == -1).all()


def test_a_memory_map_and_a_part_of_one_are_searched_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "_ROWS", 16)
    features = np.random.default_rng(0).standard_normal((50, 4), dtype=np.float32)
    features.tofile(tmp_path / "f")
    mapped = np.memmap(tmp_path / "f", np.float32, mode="r", shape=(50, 4))
    for given, plain in ((mapped, features), (mapped[7:], features[7:])):
        found, expected = (top_k(features[:3], g, 5)[0] for g in (given, plain))
        np.testing.assert_array_equal(found, expected)


def test_features_of_another_model_are_refused() -> None:
    with pytest.raises(UserError, match="2 and 3 dimensions"):
        top_k(np.ones((1, 2), np.float32), np.ones((4, 3), np.float32), 1)


def test_the_same_image_at_another_camera_is_found_first(model: ReidModel, tmp_path: Path) -> None:
    root = site(tmp_path, {"north": 5, "south": 5})
    twin = root / "east" / "twin.png"
    write_crop(twin, crops(5)[3])
    write_crop(root / "north" / "again.png", crops(5)[3])
    found = search(model, root, [twin], top=3).rankings[0]
    assert found.camera == "east"
    assert found.hits[0].name in ("north/again.png", "north/0003.jpg")
    query = root / "north" / "again.png"
    elsewhere = search(model, root, [query], top=20).rankings[0]
    assert elsewhere.hits[0].name == "east/twin.png"
    assert not [hit for hit in elsewhere.hits if hit.camera == "north"]
    anywhere = search(model, root, [query], top=20, same_camera=True).rankings[0]
    assert {hit.camera for hit in anywhere.hits} == {"north", "south", "east"}
    assert "north/again.png" not in [hit.name for hit in anywhere.hits]  # not itself


def test_features_are_kept_until_an_image_or_the_model_changes(
    model: ReidModel, tmp_path: Path
) -> None:
    root = site(tmp_path / "g", {"a": 4, "b": 3})
    assert open_gallery(root, model).computed == 7
    assert open_gallery(root, model).computed == 0
    write_crop(root / "b" / "day2" / "new.jpg", crops(1, 50)[0])  # added
    assert open_gallery(root, model).computed == 1
    write_crop(root / "a" / "0000.jpg", crops(1, 51)[0])  # replaced
    os.utime(root / "a" / "0000.jpg", ns=(1, 1))
    assert open_gallery(root, model).computed == 1
    (root / "a" / "0001.jpg").unlink()
    kept = open_gallery(root, model)
    assert (kept.computed, len(kept.names)) == (0, 7)
    np.testing.assert_allclose(kept.features, model(root / n for n in kept.names), atol=1e-6)
    assert len(list((root / ".crgan").glob("*.f32"))) == 1  # old ones go
    other = ReidModel.load(trained(tmp_path / "other.pt", width=4))
    assert open_gallery(root, other).computed == 7
    assert open_gallery(root, model).computed == 0


def test_a_damaged_cache_is_made_anew(model: ReidModel, tmp_path: Path) -> None:
    root = site(tmp_path, {"a": 3})
    open_gallery(root, model)
    (features,) = (root / ".crgan").glob("*.f32")
    features.write_bytes(features.read_bytes()[:-4])
    assert open_gallery(root, model).computed == 3
    (index,) = (root / ".crgan").glob("*.json")
    index.write_text('{"names": 5')
    assert open_gallery(root, model).computed == 3


def test_one_bad_image_stops_no_search(model: ReidModel, tmp_path: Path) -> None:
    root = site(tmp_path, {"a": 3})
    (root / "a" / "bad.jpg").write_bytes(b"no image")
    os.mkfifo(root / "a" / "pipe.png")
    for _ in range(2):  # the second time from the cache
        gallery = open_gallery(root, model)
        assert len(gallery.names) == 3
        assert list(gallery.skipped) == ["a/bad.jpg"]
        assert "not an image" in gallery.skipped["a/bad.jpg"]
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="no image in it"):
        open_gallery(tmp_path / "b", model)


def test_a_folder_of_queries_gives_a_matrix(model: ReidModel, tmp_path: Path) -> None:
    root, queries = site(tmp_path / "g", {"a": 4, "b": 3}), site(tmp_path / "q", {"a": 2}, seed=9)
    found = search(model, root, [queries], top=2, matrix=tmp_path / "m.npy")
    matrix = np.load(tmp_path / "m.npy")
    assert matrix.shape == (2, 7)
    for row, ranking in zip(matrix, found.rankings, strict=True):
        assert ranking.camera == "a"  # so b's are found
        columns = [found.gallery.names.index(hit.name) for hit in ranking.hits]
        np.testing.assert_array_equal(row[columns], [hit.similarity for hit in ranking.hits])
        assert all(hit.camera == "b" for hit in ranking.hits)


def test_names_steer_neither_page_nor_terminal(model: ReidModel, tmp_path: Path) -> None:
    evil = "<script>alert(1)<"
    root = site(tmp_path / "g", {evil: 2, "b\x1b[31m": 1})
    found = search(model, root, [root / evil / "0000.jpg"], top=5, same_camera=True)
    write_html(found, tmp_path / "page.html", 'Search "<b>"')
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;" in page
    assert "\x1b" not in page + "\n".join(as_text(found))
    write_csv(found, tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == ["1", "2"]
    assert {row["image"] for row in rows} == {f"{evil}/0001.jpg", "b\x1b[31m/0000.jpg"}


@pytest.mark.parametrize(
    ("name", "camera"),
    [("north/day1/a.jpg", "north"), ("0002_c1s1_000451_03.jpg", "1"), ("a.jpg", ""),
     ("bounding_box_test/-1_c3s2_000451_03.jpg", "3"), ("0001_c2_f0046182.jpg", "2")],
)  # fmt: skip
def test_cameras_are_read_from_paths(name: str, camera: str) -> None:
    assert camera_of(name) == camera


def test_what_is_not_there_is_named(model: ReidModel, tmp_path: Path) -> None:
    root = site(tmp_path / "g", {"a": 1})
    for queries, gallery, message in (
        ([tmp_path / "q.jpg"], root, r"q\.jpg: no such image"),
        ([root / "a" / "0000.jpg"], tmp_path / "h", "h: no such folder"),
        ([], root, "no query"),
    ):
        with pytest.raises(UserError, match=message):
            search(model, gallery, queries)
