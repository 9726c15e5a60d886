"""From a source to manifest and store: all layouts, all refusals, nothing half written."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import yaml

from crgan.common.errors import UserError
from crgan.common.io import sha256_bytes, sha256_file
from crgan.data.prepare import DataSpec, missing_source, prepare
from crgan.data.standins import main as standins
from crgan.data.store import open_dataset
from crgan.pipeline.stage import run_stage
from stages import prepare_data
from tests.data_trees import CUHK03, DUKE, MARKET, image, jpeg, write_cuhk03, write_tree

SIZE = (16, 8)
TINY = {"train_ids": 2, "test_ids": 2, "cuhk03_ids": 5, "cuhk03_test_ids": 2}
TINY |= {"junk_images": 1, "distractor_images": 1, "distractor_ids": 1, "images_per_camera": 2}


def spec(layout: str, source: Path | str, **values: Any) -> DataSpec:
    return DataSpec.of("m", {"layout": layout, "source": str(source), "expect": "none"} | values)


def files(folder: Path) -> dict[str, str]:
    return {p.name: sha256_file(p) for p in sorted(folder.iterdir())}


def test_market_from_folder_to_opened_splits(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "m", MARKET)
    manifest = prepare("m", spec("market1501", root), tmp_path / "out", tmp_path / "raw", SIZE)
    assert manifest.split == ("train",) * 3 + ("query",) * 2 + ("gallery",) * 4
    assert manifest.paths[0] == "bounding_box_train/0002_c1s1_000451_03.jpg"
    assert manifest.sha256[0] == sha256_file(root / manifest.paths[0])
    dataset = open_dataset(tmp_path / "out" / "manifest.csv")
    assert dataset.manifest.paths == manifest.paths
    assert dataset.split("gallery").pid.tolist() == [-1, 0, 1, 1488]
    assert dataset.split("gallery").images.shape == (4, *SIZE, 3)
    assert not (tmp_path / "raw").exists()


def test_the_same_command_gives_the_same_bytes(tmp_path: Path) -> None:
    chosen = spec("market1501", write_tree(tmp_path / "m", MARKET))
    for out, workers in (("a", 1), ("b", 3)):
        prepare("m", chosen, tmp_path / out, tmp_path / "raw", SIZE, workers)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert sorted(files(tmp_path / "a")) == ["images.npy", "manifest.csv"]


def test_attributes_become_columns(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "m", MARKET)
    (root / "attribute").mkdir()

    def write(train: list[str]) -> None:
        parts = {}
        for part, pids in (("train", train), ("test", ["0001"])):
            cells = np.empty((1, len(pids)), dtype=object)
            cells[0] = pids
            parts[part] = {"image_index": cells, "hat": np.array([[2] * len(pids)])}
        scipy.io.savemat(root / "attribute" / "market_attribute.mat", {"market_attribute": parts})

    write(["0007", "0002"])
    manifest = prepare("m", spec("market1501", root), tmp_path / "out", tmp_path / "raw", SIZE)
    assert manifest.attributes["hat"].tolist() == [2, 2, 2, 2, 0, 0, 0, 2, 0]
    write(["0002"])
    with pytest.raises(UserError, match=r"1 training identities .* \(for example 7\)"):
        prepare("m", spec("market1501", root), tmp_path / "out", tmp_path / "raw", SIZE)


def test_cuhk03_hashes_arrays(tmp_path: Path) -> None:
    path = write_cuhk03(tmp_path / "c")
    manifest = prepare("c", spec("cuhk03", path), tmp_path / "out", tmp_path / "raw", SIZE)
    assert manifest.paths[1] == f"detected/{CUHK03[1]}"
    assert manifest.sha256[1] == sha256_bytes(image(1, 30, 20).tobytes())


def test_cameras_of_ones_own(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "site", {"door": ["a.jpg"], "hall": ["b.jpg"]})
    manifest = prepare("site", spec("folder", root), tmp_path / "out", tmp_path / "raw", SIZE)
    assert manifest.pid.tolist() == [-2, -2]
    assert manifest.camid.tolist() == [1, 2]


def test_an_archive_is_unpacked_once_and_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for folder, names in DUKE.items():
            for name in names:
                file.writestr(f"DukeMTMC-reID/{folder}/{name}", jpeg(len(file.namelist())))
    archive = tmp_path / "DukeMTMC-reID.zip"
    archive.write_bytes(buffer.getvalue())
    manifest = prepare("d", spec("dukemtmc", archive), tmp_path / "out", tmp_path / "raw", SIZE)
    assert manifest.pid.tolist() == [1, 1, 8, 5, 5, 3000]
    assert len(list((tmp_path / "raw").iterdir())) == 1


def test_bad_images_stop_it_before_anything_is_written(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "m", MARKET)
    out = tmp_path / "out"
    prepare("m", spec("market1501", root), out, tmp_path / "raw", SIZE)
    before = files(out)
    (root / "query" / MARKET["query"][0]).write_bytes(b"")
    grey = root / "bounding_box_train" / MARKET["bounding_box_train"][0]
    grey.write_bytes(_grey_jpeg())
    with pytest.raises(UserError, match=r"2 of 9 images .* \(1 empty, 1 greyscale\)"):
        prepare("m", spec("market1501", root), out, tmp_path / "raw", SIZE)
    assert files(out) == before
    (root / "query" / MARKET["query"][0]).write_bytes(jpeg())
    prepare("m", spec("market1501", root, on_odd="convert"), out, tmp_path / "raw", SIZE)
    assert files(out) != before


def _grey_jpeg() -> bytes:
    import cv2

    return cv2.imencode(".jpg", image()[:, :, 0])[1].tobytes()


def test_counts_stop_it_before_any_image_is_read(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "m", MARKET)
    with pytest.raises(UserError, match="train: 3 images, published 12,936 \\(12,933 missing\\)"):
        prepare(
            "m", spec("market1501", root, expect="published"), tmp_path / "out",
            tmp_path / "raw", SIZE,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layout", ["market1501", "dukemtmc", "cuhk03"])
def test_the_demo_benchmark_is_read_by_the_real_loaders(tmp_path: Path, layout: str) -> None:
    chosen = spec(layout, "generated", demo=TINY)
    manifest = prepare(layout, chosen, tmp_path / "out", tmp_path / "raw" / layout, SIZE)
    assert set(manifest.split) == (
        {"train"} if layout == "cuhk03" else {"train", "query", "gallery"}
    )
    assert bool(manifest.attributes) == (layout != "cuhk03")
    if layout == "cuhk03":
        new = spec(layout, "generated", demo=TINY, protocol="new")
        split = prepare(layout, new, tmp_path / "out", tmp_path / "raw" / layout, SIZE)
        assert {"train", "query", "gallery"} == set(split.split)
        assert sorted(split.sha256) == sorted(manifest.sha256)


def test_recipes_are_strict() -> None:
    made = DataSpec.of("m", {"layout": "market1501", "source": "x", "expect": "none"})
    assert made == spec("market1501", "x")
    with pytest.raises(UserError, match=r"data\.m\.expects: no such key; known: attributes, "):
        DataSpec.of("m", {"layout": "market1501", "source": "x", "expects": "none"})
    with pytest.raises(UserError, match=r"data\.m\.source is not set"):
        DataSpec.of("m", {"layout": "market1501"})
    with pytest.raises(UserError, match="layout is 'market'; use one of cuhk03, cuhk03_np"):
        DataSpec.of("m", {"layout": "market", "source": "x"})


def test_demo_settings_are_strict(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.m\.demo\.people: no such key"):
        prepare(
            "m", spec("market1501", "generated", demo={"people": 3}), tmp_path / "out",
            tmp_path / "raw", SIZE,
        )  # fmt: skip


def test_missing_sources_are_told_before_anything_runs(tmp_path: Path) -> None:
    assert missing_source("m", spec("market1501", "generated")) is None
    assert missing_source("m", spec("market1501", "https://host/m.zip")) is None
    assert missing_source("m", spec("market1501", tmp_path)) is None
    told = missing_source("cuhk03", spec("cuhk03", tmp_path / "no"))
    assert told is not None
    assert told.startswith(f"cuhk03: {tmp_path / 'no'} is not there. CUHK03: on request")


def test_standins_write_the_listed_names(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    lists.mkdir()
    for split, folder in (
        ("train", "bounding_box_train"),
        ("query", "query"),
        ("test", "bounding_box_test"),
    ):
        lines = [f"{name} 0" if split == "train" else name for name in MARKET[folder]]
        (lists / f"market_{split}.list").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    arguments = ["--dataset", "market1501", "--lists", str(lists), "--out", str(out)]
    standins([*arguments, "--height", "20", "--width", "10", "--distinct", "5"])
    found = {f: sorted(p.name for p in (out / f).iterdir()) for f in MARKET}
    assert found == {folder: sorted(names) for folder, names in MARKET.items()}
    manifest = prepare("m", spec("market1501", out), tmp_path / "p", tmp_path / "raw", SIZE)
    assert len(set(manifest.sha256)) == 5
    with pytest.raises(SystemExit) as caught:  # never over what is there
        standins(arguments)
    assert caught.value.code == 2


def test_standins_for_cuhk03_and_missing_lists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = np.empty((len(CUHK03), 1), dtype=object)
    cells[:, 0] = CUHK03
    scipy.io.savemat(tmp_path / "cuhk03_new_protocol_config_detected.mat", {"filelist": cells})
    arguments = ["--dataset", "cuhk03", "--lists", str(tmp_path), "--out", str(tmp_path / "c")]
    standins([*arguments, "--height", "20", "--width", "10", "--distinct", "3"])
    source = spec("cuhk03", tmp_path / "c")
    manifest = prepare("c", source, tmp_path / "p", tmp_path / "raw", SIZE)
    assert sorted(p.removeprefix("detected/") for p in manifest.paths) == sorted(CUHK03)
    with pytest.raises(SystemExit):
        standins(["--dataset", "dukemtmc", "--lists", str(tmp_path), "--out", str(tmp_path / "d")])
    assert "duke_train.list: no such list" in capsys.readouterr().err


def test_the_stage_runs_and_fails_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    source = {"source": str(write_tree(tmp_path / "m", MARKET)), "expect": "none"}
    params["profiles"][params["profile"]]["data"]["market1501"] = source
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # the stage sets them; this puts them back afterwards
    argv = ["--dataset", "market1501", "--raw", "raw", "--out", "data/manifest.csv", "--images"]
    run_stage(prepare_data.parser, prepare_data.body, [*argv, "data/images.npy"])
    height, width = params["profiles"][params["profile"]]["image"]["store"]
    assert open_dataset("data/manifest.csv").size == (height, width)
    assert len(list(Path("data").glob("*prov.json"))) == 2
    with pytest.raises(SystemExit) as caught:
        run_stage(prepare_data.parser, prepare_data.body, [*argv, "elsewhere/images.npy"])
    assert caught.value.code == 2
    assert "--images images.npy beside it" in capsys.readouterr().err


def test_home_and_variables_in_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    for source in ("~/data", "$HOME/data", "${HOME}/data"):
        spec = DataSpec("market1501", source)
        assert spec.source == str(tmp_path / "data")
        assert missing_source("m", spec) is None
    address = "https://host/~me/$x.zip"
    assert DataSpec("market1501", address).source == address
    with pytest.raises(UserError, match="source is 7"):
        DataSpec("market1501", 7)  # type: ignore[arg-type]
