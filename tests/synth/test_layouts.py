"""The demo benchmark on disk: layouts, splits, label files, repeatability, refusals."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import scipy.io

from crgan.common.errors import UserError
from crgan.data.layouts import cuhk03, dukemtmc, market1501
from crgan.looks.synth import contact_sheet
from crgan.masks.truth import true_masks
from crgan.synth import DATASETS, MARKER, DemoConfig, benchmark, generate
from crgan.synth.network import network_at

TINY = DemoConfig(
    height=64,
    width=32,
    train_ids=4,
    test_ids=3,
    cuhk03_ids=7,
    cuhk03_test_ids=3,
    images_per_camera=2,
    images_per_view=2,
    junk_images=3,
    distractor_images=4,
    distractor_ids=2,
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three networks at a tiny size."""
    root = tmp_path_factory.mktemp("demo")
    for dataset in DATASETS:
        generate(dataset, root / dataset, TINY)
    return root


def _contents(root: Path) -> dict[str, bytes]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.mark.parametrize("dataset", ["market1501", "campus"])
def test_market_names_and_splits(demo: Path, dataset: str) -> None:
    root = demo / dataset
    name = re.compile(r"(-1|\d{4})_c([1-6])s[1-6]_\d{6}_\d\d\.jpg")
    found = {}
    for folder in ("bounding_box_train", "bounding_box_test", "query"):
        matches = [name.fullmatch(path.name) for path in (root / folder).iterdir()]
        assert all(matches)
        found[folder] = [(int(m[1]), int(m[2])) for m in matches if m]
    gallery = found["bounding_box_test"]
    assert sum(pid == -1 for pid, _ in gallery) == TINY.junk_images
    assert sum(pid == 0 for pid, _ in gallery) == TINY.distractor_images
    train = {pid for pid, _ in found["bounding_box_train"]}
    assert len(train) == TINY.train_ids
    assert not train & {pid for pid, _ in gallery}
    assert len({pid for pid, _ in found["query"]}) == TINY.test_ids


@pytest.mark.parametrize("dataset", ["market1501", "dukemtmc"])
def test_every_query_can_be_found_in_another_camera(demo: Path, dataset: str) -> None:
    module = {"market1501": market1501, "dukemtmc": dukemtmc}[dataset]
    listing = module.load(demo / dataset, None, dataset)
    gallery = {(e.pid, e.camid) for e in listing.entries if e.split == "gallery"}
    queries = [(e.pid, e.camid) for e in listing.entries if e.split == "query"]
    assert queries
    assert len(set(queries)) == len(queries)  # one query a person and camera
    for pid, camera in queries:
        assert any(p == pid and c != camera for p, c in gallery)


def test_duke_has_identities_only_in_the_gallery(demo: Path) -> None:
    root = demo / "dukemtmc"
    pids = {
        folder: {path.name[:4] for path in (root / folder).iterdir()}
        for folder in ("bounding_box_train", "bounding_box_test", "query")
    }
    names = [path.name for path in root.rglob("*.jpg")]
    assert all(re.fullmatch(r"\d{4}_c[1-8]_f\d{7}\.jpg", name) for name in names)
    assert len(pids["bounding_box_test"] - pids["query"]) == TINY.distractor_ids
    assert pids["query"] <= pids["bounding_box_test"]
    assert not pids["bounding_box_train"] & pids["bounding_box_test"]


@pytest.mark.parametrize(
    ("dataset", "file", "order", "fields"),
    [
        ("market1501", "market_attribute", ("test", "train"), 27),
        ("dukemtmc", "duke_attribute", ("train", "test"), 23),
    ],
)
def test_attribute_file(
    demo: Path, dataset: str, file: str, order: tuple[str, str], fields: int
) -> None:
    path = demo / dataset / "attribute" / f"{file}.mat"
    content = scipy.io.loadmat(path)[file]
    assert content.dtype.names == order
    orders = []
    for part, folder in (("train", "bounding_box_train"), ("test", "bounding_box_test")):
        table = content[0, 0][part][0, 0]
        names = [name for name in table.dtype.names if name != "image_index"]
        orders.append(names)
        assert len(names) == fields
        index = [str(cell[0]) for cell in table["image_index"].ravel()]
        shown = {p.name[:4] for p in (demo / dataset / folder).iterdir()} - {"-1_c", "0000"}
        assert sorted(shown) == index
        for name in names:
            values = table[name]
            assert values.dtype == np.uint8
            assert values.shape == (1, len(index))
            assert values.min() >= 1
            assert values.max() <= (4 if name == "age" else 2)
    assert orders[0] != orders[1]  # as in the real files
    assert sorted(orders[0]) == sorted(orders[1])


def test_attributes_are_those_of_the_drawn_person(demo: Path) -> None:
    root = demo / "market1501"
    listing = market1501.load(root, None, "market1501")
    train = sorted({e.pid for e in listing.entries if e.split == "train"})
    network = network_at("market1501", root, TINY)
    for index, pid in enumerate(train):
        labels = network.person(index).attributes()
        for name, values in listing.attributes.items():
            assert values[pid] == labels[name]


def test_cuhk03_cells_are_as_matlab_writes_them(demo: Path) -> None:
    root = demo / "cuhk03"
    with h5py.File(root / "cuhk-03.mat") as file:
        assert file["detected"].shape == file["labeled"].shape == (1, 5)
        assert file["testsets"].shape == (1, 20)
        people = 0
        for reference in file["detected"][0]:
            cells = file[reference]
            assert cells.shape[0] == 10
            people += cells.shape[1]
            first, unused = file[cells[0, 0]], file[cells[4, 0]]
            assert first.dtype == np.uint8
            assert first.shape[0] == 3
            assert first.shape[2] > first.shape[1]  # (3, W, H) of a standing person
            assert unused.shape == (2,)
            assert not unused[:].any()
        assert people == TINY.cuhk03_ids
    assert (root / "cuhk-03.mat").read_bytes()[:19] == b"MATLAB 7.3 MAT-file"


@pytest.mark.parametrize("protocol", ["all", "new"])
def test_cuhk03_is_read_by_both_protocols(demo: Path, protocol: str) -> None:
    listing = cuhk03.load(demo / "cuhk03", cuhk03.Options(protocol))
    pids = {s: {e.pid for e in listing.entries if e.split == s} for s in ("train", "query")}
    tested = TINY.cuhk03_test_ids if protocol == "new" else 0
    assert len(pids["query"]) == tested
    assert len(pids["train"]) == TINY.cuhk03_ids - tested
    assert len(listing.entries) == TINY.cuhk03_ids * 2 * TINY.images_per_view


@pytest.mark.parametrize("dataset", DATASETS)
def test_same_configuration_gives_the_same_bytes(demo: Path, dataset: str, tmp_path: Path) -> None:
    generate(dataset, tmp_path / "again", TINY)
    assert _contents(tmp_path / "again") == _contents(demo / dataset)


def test_second_call_does_nothing_and_another_configuration_replaces(tmp_path: Path) -> None:
    root = tmp_path / "set"
    generate("market1501", root, TINY)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    generate("market1501", root, TINY)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    generate("market1501", root, dataclasses.replace(TINY, seed=5))
    assert {path.name for path in root.rglob("*.jpg")} != {path.name for path in before}
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_another_renderer_draws_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"
    generate("market1501", root, TINY)
    image = next(root.rglob("*.jpg"))
    image.write_bytes(b"drawn by older code")
    generate("market1501", root, TINY)
    assert image.read_bytes() == b"drawn by older code"
    monkeypatch.setattr(benchmark, "_renderer", lambda: "newer code")
    generate("market1501", root, TINY)
    assert image.read_bytes()[:2] == b"\xff\xd8"


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(UserError, match="not a demo data set"):
        generate("market1501", tmp_path, TINY)
    assert (tmp_path / "photo.jpg").read_bytes() == b"mine"


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(benchmark, "write_masks", fail)
    with pytest.raises(OSError, match="disk full"):
        generate("cuhk03", tmp_path / "set", TINY)
    assert not list(tmp_path.iterdir())


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"demo\.images_per_view is 6"):
        DemoConfig(images_per_view=6)
    with pytest.raises(UserError, match=r"demo\.colour_gap is -1"):
        DemoConfig(colour_gap=-1)
    with pytest.raises(UserError, match="no demo data set 'msmt17'"):
        generate("msmt17", tmp_path / "set", TINY)


@pytest.mark.parametrize("dataset", ["market1501", "dukemtmc"])
def test_masks_have_the_images_size_and_lie_in_the_middle(demo: Path, dataset: str) -> None:
    root = demo / dataset
    paths = [str(p.relative_to(root)) for p in sorted((root / "bounding_box_train").iterdir())]
    columns = []
    for path, mask in zip(paths, true_masks(root, paths), strict=True):
        image = cv2.imread(str(root / path))
        assert image is not None
        assert mask.dtype == bool
        assert mask.shape == image.shape[:2]
        assert 0.03 < mask.mean() < 0.6
        columns.append(np.nonzero(mask)[1].mean() / mask.shape[1])
    assert abs(np.mean(columns) - 0.5) < 0.08


def test_masks_of_other_images_are_refused(demo: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no mask of 'query/x\.jpg'"):
        list(true_masks(demo / "market1501", ["query/x.jpg"]))
    with pytest.raises(UserError, match="true masks exist only for demo data sets"):
        list(true_masks(tmp_path, ["query/x.jpg"]))


def test_contact_sheet_has_a_row_a_camera(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    contact_sheet([demo / "dukemtmc", demo / "cuhk03"], out, columns=3)
    image = cv2.imread(str(out))
    assert image is not None
    seen = {path.name[6] for path in (demo / "dukemtmc" / "bounding_box_train").iterdir()}
    assert image.shape[0] == 256 * (len(seen) + 2)
    contact_sheet([demo / "campus", demo / "cuhk03"], out, columns=3, people=2)
    image = cv2.imread(str(out))
    assert image is not None
    assert image.shape[0] == 256 * (2 + 2)
    (tmp_path / MARKER).write_text("{}")
    with pytest.raises(UserError, match="not written by the demo"):
        contact_sheet([tmp_path], out)
