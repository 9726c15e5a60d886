"""What parameters may be chosen by: criteria by hand, a held-out source, and the list of runs."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.data.held_out import hold_out
from crgan.data.layouts.market1501 import load
from crgan.metrics.neighbourhood import camera_mixing, reciprocity, soft_neighbourhood_density
from crgan.report.experiments import dvc_show, experiments, report
from tests import evidence_project as project
from tests.stub_project import run

NEAR = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)


def test_density_by_hand() -> None:
    equal = np.ones((5, 3), dtype=np.float32)
    assert soft_neighbourhood_density(equal, 0.05) == pytest.approx(math.log(4))
    # two pairs: one other at cosine 1, two at 0
    a, b = math.exp(1 / 0.5), 1.0
    p, q = a / (a + 2 * b), b / (a + 2 * b)
    wanted = -(p * math.log(p) + 2 * q * math.log(q))
    assert soft_neighbourhood_density(NEAR, 0.5) == pytest.approx(wanted)
    assert soft_neighbourhood_density(7 * NEAR, 0.5) == pytest.approx(wanted)  # cosines


def test_density_in_blocks_is_density_at_once() -> None:
    rows = np.random.default_rng(0).normal(size=(1500, 4)).astype(np.float32)
    unit = rows.astype(np.float64) / np.linalg.norm(rows, axis=1, keepdims=True)
    s = unit @ unit.T / 0.05
    np.fill_diagonal(s, -np.inf)
    p = np.exp(s - s.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    wanted = -np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(1).mean()
    assert soft_neighbourhood_density(rows, 0.05) == pytest.approx(wanted, rel=1e-4)


def test_camera_mixing_by_hand() -> None:
    """One neighbour each; by chance an other camera is met in 2 of 3."""
    apart = camera_mixing(NEAR, np.array([1, 1, 2, 2]), 1)
    mixed = camera_mixing(NEAR, np.array([1, 2, 1, 2]), 1)
    assert (apart, mixed) == (0, pytest.approx(1.5))
    everyone = camera_mixing(NEAR, np.array([1, 2, 1, 2]), 10)
    assert everyone == pytest.approx(1)  # all others are what chance gives


def test_features_that_tell_nothing_mix_as_chance_does() -> None:
    rng = np.random.default_rng(0)
    features, cameras = rng.normal(size=(1100, 8)).astype("f4"), rng.integers(1, 4, 1100)
    assert camera_mixing(features, cameras, 10) == pytest.approx(1, abs=0.03)


def test_reciprocity_by_hand() -> None:
    """Two people before two cameras, and an image whose nearest is taken."""
    cameras = np.array([1, 2, 1, 2, 1])
    angles = np.array([0.0, 0.1, 1.0, 1.2, 0.4])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    # 0-1 and 2-3 find each other; 4's nearest of camera 2 is 1, whose nearest is 0
    assert reciprocity(rows, cameras) == pytest.approx(4 / 5)
    same = np.ones((6, 2), dtype=np.float32)  # collapsed: all take the first of another camera
    assert reciprocity(same, np.array([1, 1, 1, 2, 2, 2])) == pytest.approx(2 / 6)
    with pytest.raises(UserError, match="two cameras"):
        reciprocity(rows, np.ones(5, dtype=int))


def test_features_that_tell_nothing_find_back_less_often() -> None:
    rng = np.random.default_rng(0)
    people = rng.normal(size=(100, 8))
    told = np.concatenate([people + 0.05 * rng.normal(size=people.shape) for _ in (1, 2)])
    cameras = np.repeat([1, 2], 100)
    assert reciprocity(told.astype("f4"), cameras) > 0.95
    assert reciprocity(rng.normal(size=(200, 8)).astype("f4"), cameras) < 0.7


def test_what_has_no_neighbourhood_is_refused() -> None:
    with pytest.raises(UserError, match="two rows"):
        soft_neighbourhood_density(NEAR[:1], 0.05)
    with pytest.raises(UserError, match="temperature"):
        soft_neighbourhood_density(NEAR, 0.0)
    with pytest.raises(UserError, match="two cameras"):
        camera_mixing(NEAR, np.ones(4, dtype=int), 1)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Ten training people with three images before each of two cameras, and a test set."""
    folder = tmp_path / "market"
    for name in ("bounding_box_train", "query", "bounding_box_test"):
        (folder / name).mkdir(parents=True)
    for pid in range(1, 11):
        for camera in (1, 2):
            for frame in range(3):
                name = f"{pid:04}_c{camera}s1_{frame:06}_00.jpg"
                (folder / "bounding_box_train" / name).write_text(name)
    (folder / "query" / "0900_c1s1_000000_00.jpg").write_text("of the test set")
    (folder / "bounding_box_test" / "0900_c2s1_000000_00.jpg").write_text("of the test set")
    return folder


def test_held_out_people_become_query_and_gallery(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "fit"
    assert hold_out("market1501", raw, out, share=0.3, seed=0) == {
        "train": 42, "query": 6, "gallery": 12,
    }  # fmt: skip
    entries = load(out).entries
    people = {
        split: {e.pid for e in entries if e.split == split}
        for split in ("train", "query", "gallery")
    }
    assert people["query"] == people["gallery"]
    assert len(people["query"]) == 3
    assert people["train"] == set(range(1, 11)) - people["query"]  # and nobody of the test set
    queries = Counter((e.pid, e.camid) for e in entries if e.split == "query")
    assert set(queries.values()) == {1}
    for entry in entries:
        assert (out / entry.path).read_text() == Path(entry.path).name


def test_the_seed_decides_who_is_held_out(raw: Path, tmp_path: Path) -> None:
    def held(name: str, seed: int) -> set[str]:
        hold_out("market1501", raw, tmp_path / name, share=0.3, seed=seed)
        return {p.name[:4] for p in (tmp_path / name / "query").iterdir()}

    assert held("a", 0) == held("b", 0)
    assert held("a2", 0) != held("c", 1)


def test_no_sensible_holding_out_is_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--share is 1\.0"):
        hold_out("market1501", raw, tmp_path / "x", share=1.0, seed=0)
    with pytest.raises(UserError, match="10 training identities: 9 cannot be held out"):
        hold_out("market1501", raw, tmp_path / "x", share=0.9, seed=0)
    with pytest.raises(UserError, match="is there already"):
        hold_out("market1501", raw, raw, share=0.3, seed=0)
    assert not list(tmp_path.glob(".x*"))


OUT = "results/smoke/selection/direct_transfer/market1501-dukemtmc/seed0.json"


def test_the_stage_reads_no_test_image_of_the_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages import select

    monkeypatch.chdir(tmp_path)
    project.prepare()
    argv = ["--method", "direct_transfer", *project.PAIR, "--seed", "0", "--source-manifest",
            "data/manifest.csv", "--target-manifest", "data/manifest.csv",
            "--reid", project.network(0), "--out", OUT]  # fmt: skip
    project.run(select, *argv)
    first = read_json(OUT)
    assert 0 < first["snd"] <= math.log(23)
    assert first["camera_mixing"] > 0
    assert "validation" not in first  # the source's test identities belong to other cells

    images = np.load("data/images.npy")  # all but the training images made black
    rows = [line.split(",") for line in Path("data/manifest.csv").read_text().splitlines()[1:]]
    images[[i for i, row in enumerate(rows) if "train" not in row]] = 0
    np.save("data/images.npy", images)
    project.run(select, *argv)
    again = read_json(OUT)
    assert (again["snd"], again["camera_mixing"]) == (first["snd"], first["camera_mixing"])


def test_the_stage_ranks_held_out_people_where_the_source_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages import evaluate, select

    monkeypatch.chdir(tmp_path)
    project.prepare()
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["selection"]["held_out"] = ["market1501"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    data = ["--target-manifest", "data/manifest.csv", "--reid", project.network(0)]
    cell = ["--method", "direct_transfer", *project.PAIR, "--seed", "0"]
    project.run(select, *cell, "--source-manifest", "data/manifest.csv", *data, "--out", OUT)
    queries = project.score("direct_transfer", 0, "queries", ".npz")
    scores = project.score("direct_transfer", 0)
    project.run(evaluate, *cell, *data, "--out", scores, "--queries", queries)
    ranked = read_json(scores)["pooling"]  # the same images, by the stage that scores the target
    assert read_json(OUT)["validation"] == {"global": ranked["global"], "lmp": ranked["lmp"]}


def shown(**snd: float) -> list[dict[str, Any]]:
    """As `dvc exp show --json`: a workspace, and a commit with its experiments."""

    def data(weight: int, value: float) -> dict[str, Any]:
        return {
            "params": {"params.yaml": {"data": {"loss": {"lambda_con": weight, "lambda_id": 1}}}},
            "metrics": {
                "results/metrics.json": {
                    "data": {
                        "table6": {"snd": 99.0},
                        "selection": {
                            f"crgan/{pair}/seed0": {"snd": value + i}
                            for i, pair in enumerate(("market1501-dukemtmc", "dukemtmc-market1501"))
                        },
                    }
                },
                "results/demo/cells/crgan/x/seed0.json": {"data": {"selection": {"snd": 99.0}}},
            },
        }

    runs = [
        {"revs": [{"name": name, "rev": "0" * 40, "data": data(weight, value)}]}
        for weight, (name, value) in zip((1, 10), snd.items(), strict=True)
    ]
    return [{"name": "workspace", "rev": "workspace", "data": data(5, 3.0), "experiments": runs}]


def test_experiments_by_criterion() -> None:
    found = experiments(shown(low=2.0, high=4.0), "snd")
    assert [(e.name, e.mean) for e in found] == [("high", 4.5), ("workspace", 3.5), ("low", 2.5)]
    assert found[0].changed == {"loss.lambda_con": 10}
    one = experiments(shown(low=2.0, high=4.0), "snd", "crgan/market1501-dukemtmc")
    assert one[0].mean == 4.0
    text = report(found, "snd")
    assert text.splitlines()[1].split() == ["4.5000", "high", "loss.lambda_con=10"]
    assert text.splitlines()[2].split() == ["3.5000", "workspace", "loss.lambda_con=5"]


def test_what_dvc_says_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC itself, on a pipeline of one stage that takes no time."""
    out = "results/metrics.json"
    weight = "json.load(open('params.json'))['weight']"
    found_of = f"{{'selection': {{'crgan/a-b/seed0': {{'snd': 2 * {weight}}}}}}}"
    write = f"import json; json.dump({found_of}, open('{out}', 'w'))"
    stage = {
        "cmd": f'python -c "{write}"',
        "params": [{"params.json": ["weight"]}],
        "metrics": [out],
    }
    (tmp_path / out).parent.mkdir(parents=True)
    (tmp_path / out).parent.joinpath(".keep").touch()
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"select": stage}}))
    (tmp_path / "params.json").write_text('{"weight": 5}')
    for command in ("git init -q", "dvc init -q", "git add -A", "git commit -q -m start",
                    "dvc exp run -q -n ten -S params.json:weight=10"):  # fmt: skip
        run(tmp_path, *command.split())
    monkeypatch.chdir(tmp_path)
    found = {one.name: one for one in experiments(dvc_show(), "snd")}
    assert found["ten"].mean == 20
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(UserError, match=r"dvc exp show: .*not inside of a DVC repository"):
        dvc_show()


def test_experiments_that_do_not_compare_are_refused() -> None:
    with pytest.raises(UserError, match="no experiment has 'camera_mixing' of any cell"):
        experiments(shown(low=2.0, high=4.0), "camera_mixing")
    runs = shown(low=2.0, high=4.0)
    metrics = runs[0]["data"]["metrics"]["results/metrics.json"]["data"]
    del metrics["selection"]["crgan/market1501-dukemtmc/seed0"]
    with pytest.raises(UserError, match="different cells or seeds"):
        experiments(runs, "snd")
