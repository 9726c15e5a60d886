"""The re-id stages from the command line: labelled and unlabelled targets, kills, calibration."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crgan.common.errors import UserError
from crgan.common.io import load_arrays, load_torch, read_json, save_torch, sha256_bytes
from crgan.data.manifest import Manifest, write_manifest
from crgan.data.store import open_dataset
from crgan.nets.reid import ReidNet
from crgan.pipeline import params as parameters
from crgan.pipeline.stage import run_stage
from crgan.reid.calibrate import Line, markdown, measure, write_csv
from crgan.reid.evaluate import Protocol
from crgan.reid.pretrain import Start
from crgan.reid.pretrain import pretrain_id as train_d_id
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe
from stages import calibrate as calibrate_stage
from stages import evaluate, pretrain_cam, pretrain_id

ROOT = Path(__file__).parents[2]
SIZE = (64, 32)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with two labelled sets, an unlabelled one, and no weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(parameters.ENVIRONMENT, str(tmp_path / "params.yaml"))
    monkeypatch.setenv("CRGAN_CHECKPOINT_SECONDS", "0")
    params = parameters.load(ROOT / "params.yaml") | {"profile": "smoke"}
    params["profiles"]["smoke"]["image"] = {"store": list(SIZE), "train": list(SIZE)}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    make_data_set("market1501", labelled=True)
    make_data_set("dukemtmc", labelled=True)
    make_data_set("mysite", labelled=False)
    save_torch("backbone.pt", {"origin": "none", "sha256": "", "state": {}})
    return tmp_path


def make_data_set(name: str, labelled: bool) -> None:
    """Four people of a colour each before two cameras; the unlabelled set only trains."""
    rng = np.random.default_rng(len(name))
    splits = ("train", "query", "gallery") if labelled else ("train",)
    rows = [(s, p, c) for s in splits for p in (1, 2, 3, 4) for c in (1, 2)]
    colours = rng.integers(0, 200, (5, 3))
    images = rng.integers(0, 40, (len(rows), *SIZE, 3))
    images += np.array([colours[p] for _, p, _ in rows])[:, None, None]
    Path("data", name).mkdir(parents=True)
    np.save(Path("data", name, "images.npy"), images.astype(np.uint8))
    manifest = Manifest(
        paths=tuple(f"{split}/{pid:04d}_c{camid}.png" for split, pid, camid in rows),
        pid=np.array([pid if labelled else -2 for _, pid, _ in rows]),
        camid=np.array([camid for _, _, camid in rows]),
        split=tuple(split for split, _, _ in rows),
        sha256=tuple(sha256_bytes(image.tobytes()) for image in images),
    )
    write_manifest(Path("data", name, "manifest.csv"), manifest)


def manifest(name: str) -> str:
    return f"data/{name}/manifest.csv"


def do_pretrain_id(out: str = "d.pt") -> None:
    arguments = ["--source", "market1501", "--seed", "0", "--source-manifest",
                 manifest("market1501"), "--weights", "backbone.pt", "--out", out,
                 "--history", out.replace(".pt", ".csv")]  # fmt: skip
    run_stage(pretrain_id.parser, pretrain_id.body, arguments)


def do_evaluate(target: str) -> None:
    arguments = ["--method", "direct_transfer", "--source", "market1501", "--target", target,
                 "--seed", "0", "--target-manifest", manifest(target), "--reid", "d.pt",
                 "--out", "score.json", "--queries", "score.npz"]  # fmt: skip
    run_stage(evaluate.parser, evaluate.body, arguments)


def test_from_images_to_scores(project: Path) -> None:
    do_pretrain_id()
    do_evaluate("dukemtmc")
    score = read_json("score.json")
    assert {k: score[k] for k in ("method", "source", "target", "seed", "profile", "backbone")} == {
        "method": "direct_transfer",
        "source": "market1501",
        "target": "dukemtmc",
        "seed": 0,
        "profile": "smoke",
        "backbone": "small",
    }
    assert set(score["pooling"]) == {"global", "lmp", "global_rr", "lmp_rr"}
    for block in score["pooling"].values():
        assert set(block) == {"rank1", "rank5", "rank10", "mAP"}
        assert all(0 <= value <= 100 for value in block.values())
    assert (score["protocol"]["queries"], score["protocol"]["gallery"]) == (8, 8)
    assert score["notes"] == []
    ranked = load_arrays("score.npz")
    assert {name.partition("_")[0] for name in ranked} == {
        "ap",
        "first",
        "top",
        "right",
        "query",
        "gallery",
    }
    ranks = ranked["first_global"]
    assert score["pooling"]["global"]["rank1"] == 100 * np.mean(ranks == 1)
    assert score["pooling"]["lmp"]["mAP"] == pytest.approx(100 * ranked["ap_lmp"].mean(), rel=1e-6)
    whole = open_dataset(manifest("dukemtmc")).manifest
    for row, rank, top, right in zip(
        ranked["query_rows"], ranks, ranked["top_global"], ranked["right_global"], strict=True
    ):
        shown = ranked["gallery_rows"][top[top >= 0]]
        # the query's own camera shows its person once, which is removed
        assert [whole.split[image] for image in shown] == ["gallery"] * 7
        same = whole.pid[shown] == whole.pid[row]
        assert same.tolist() == right[:7].tolist()
        assert np.argmax(same) == rank - 1
    with open("d.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["1", "2", "3", "4"]
    assert all(float(row["loss"]) > 0 and 0 <= float(row["accuracy"]) <= 100 for row in rows)


def test_mobilenetv2_from_weights_to_scores(project: Path) -> None:
    """As profile keys choose it; the result says which backbone it is."""
    params = parameters.load("params.yaml")
    params["profiles"]["smoke"]["cnn"] = {"backbone": "mobilenetv2", "width": 32}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    state = ReidNet("mobilenetv2", 32, 0).backbone.state_dict()
    save_torch("backbone.pt", {"origin": "mobilenetv2_imagenet", "sha256": "", "state": state})
    do_pretrain_id()
    assert load_torch("d.pt")["origin"] == "mobilenetv2_imagenet"
    do_evaluate("dukemtmc")
    score = read_json("score.json")
    assert (score["backbone"], score["backbone_weights"]) == ("mobilenetv2", "mobilenetv2_imagenet")


def test_unlabelled_target(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--target", "mysite", "--seed", "0", "--target-manifest", manifest("mysite"),
                 "--out", "c.pt", "--history", "c.csv"]  # fmt: skip
    run_stage(pretrain_cam.parser, pretrain_cam.body, arguments)
    assert load_torch("c.pt")["camids"] == [1, 2]
    do_pretrain_id()
    with pytest.raises(SystemExit):
        do_evaluate("mysite")
    message = capsys.readouterr().err
    assert "data/mysite/manifest.csv: no query and no gallery images" in message
    assert not Path("score.json").exists()


def test_a_killed_stage_goes_on_where_it_was(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_pretrain_id("whole.pt")
    save, saves = Checkpoint.save, []

    def save_and_die(self: Checkpoint, state: dict[str, Any]) -> None:
        save(self, state)
        saves.append(state["history"]["iteration"])
        if len(saves) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            do_pretrain_id("killed.pt")
    assert saves == [1, 2]
    assert not list(project.glob("killed*"))
    (left,) = (project / ".scratch").rglob("*.pt")
    do_pretrain_id("killed.pt")
    for end in ("pt", "csv"):
        assert Path(f"whole.{end}").read_bytes() == Path(f"killed.{end}").read_bytes()
    assert not left.exists()


def test_calibration(project: Path) -> None:
    data = {name: open_dataset(manifest(name), SIZE) for name in ("market1501", "dukemtmc")}
    train_only = open_dataset(manifest("mysite"), SIZE)
    protocol = Protocol("step", "cosine", "rows", "pooled")
    recipe = Recipe(iterations=2, batch=4, lr=1e-3)
    trained = {
        name: [
            train_d_id(data[name].split("train"), Start("small", 4), recipe, seed=seed)[0]
            for seed in seeds
        ]
        for name, seeds in (("market1501", (0, 1)), ("dukemtmc", (0,)))
    }
    lines = measure({**data, "mysite": train_only}, trained, protocol)
    assert [(line.yardstick, line.source, line.target, line.seeds) for line in lines] == [
        ("supervised", "market1501", "market1501", 2),
        ("direct", "market1501", "dukemtmc", 2),
        ("direct", "dukemtmc", "market1501", 1),
        ("supervised", "dukemtmc", "dukemtmc", 1),
    ]


def test_calibration_tables(tmp_path: Path) -> None:
    within = Line("supervised", "a", "a", 2, 74.94, 1.0, 50.0, 2.0)
    across = Line("direct", "a", "b", 2, 49.96, 1.0, 30.0, 2.0)
    lomo = Line("lomo", "b", "b", 1, 31.0, 0.0, 20.0, 0.0)
    assert (within.aim, within.met) == ((75, 90), False)
    assert (across.aim, across.met) == ((30, 50), True)
    text = markdown([lomo, across, within], "Title")
    rows = [
        "| supervised | - | a | 2 | 74.9 ± 1.0 | 75-90 | missed | 50.0 ± 2.0 |",
        "| direct | a | b | 2 | 50.0 ± 1.0 | 30-50 | met | 30.0 ± 2.0 |",
        "| lomo | - | b | 1 | 31.0 ± 0.0 | 10-30 | missed | 20.0 ± 0.0 |",
    ]
    assert text.endswith("\n".join(rows) + "\n")
    write_csv(tmp_path / "c.csv", [within])
    assert (tmp_path / "c.csv").read_text() == (
        "yardstick,source,target,seeds,R1,R1_std,mAP,mAP_std\nsupervised,a,a,2,74.9,1.0,50.0,2.0\n"
    )


def test_calibration_measures_what_the_workflow_made(project: Path) -> None:
    options = ["--seeds", "0", "--out", "c.csv", "--readable", "c.md", "--datasets", "market1501"]
    with pytest.raises(
        UserError, match=r"run: snakemake --cores all artifacts/\w+/data/market1501"
    ):
        calibrate_stage.calibrate(calibrate_stage.arguments().parse_args(options))
    folder = Path("artifacts") / parameters.load()["profile"]
    (folder / "d_id" / "market1501").mkdir(parents=True)
    do_pretrain_id(str(folder / "d_id" / "market1501" / "seed0.pt"))
    Path("data").rename(folder / "data")
    calibrate_stage.calibrate(calibrate_stage.arguments().parse_args(options))
    with open("c.csv") as file:
        found = [(row["yardstick"], row["source"], row["target"]) for row in csv.DictReader(file)]
    assert found == [
        ("lomo", "market1501", "market1501"),
        ("bow", "market1501", "market1501"),
        ("supervised", "market1501", "market1501"),
    ]
