"""The drawing stages on a few generated images and untrained networks."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from crgan.common.io import save_torch, sha256_bytes, sha256_file
from crgan.data.batches import from_gan
from crgan.data.entries import SPLITS
from crgan.data.manifest import Manifest, write_manifest
from crgan.gan.base import Task, open_task
from crgan.looks.generators import part_columns, render_grid
from crgan.looks.picks import pick_pairs
from crgan.masks.store import write_masks
from crgan.nets.generator import Generator
from crgan.nets.reid import ReidNet
from crgan.pipeline import params as parameters
from crgan.pipeline.stage import run_stage
from crgan.reid.model_file import reid_file

ROOT = Path(__file__).parents[2]
STORE, TRAIN = (64, 32), (32, 16)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with two prepared data sets, their masks and untrained models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(parameters.ENVIRONMENT, str(tmp_path / "params.yaml"))
    params = parameters.load(ROOT / "params.yaml") | {"profile": "smoke"}
    params["profiles"]["smoke"]["image"] = {"store": list(STORE), "train": list(TRAIN)}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for seed, name in enumerate(("market1501", "dukemtmc")):
        _data_set(name, np.random.default_rng(seed))
    torch.manual_seed(0)
    save_torch("reid.pt", reid_file(ReidNet("small", 4, 3), [1, 2, 3], TRAIN, "none"))
    for name, dual in (("gan", True), ("baseline", False)):
        config = {"width": 4, "levels": 2, "dual_condition": dual}
        size = {"flip": True, "height": TRAIN[0], "width_px": TRAIN[1]}
        state = Generator(**config).state_dict()
        file = {"kind": "gan", "model": "crgan", "config": {**config, **size}, "state": state}
        save_torch(f"{name}.pt", file)
    return tmp_path


def _data_set(name: str, rng: np.random.Generator) -> None:
    """Three people before two cameras, in train, query and gallery."""
    rows = [(s, p, c) for s in ("train", "query", "gallery") for p in (1, 2, 3) for c in (1, 2)]
    images = rng.integers(0, 256, (len(rows), *STORE, 3), dtype=np.uint8)
    folder = Path("data") / name
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    digests = tuple(sha256_bytes(image.tobytes()) for image in images)
    manifest = Manifest(
        paths=tuple(f"{split}/{pid}_c{camid}.jpg" for split, pid, camid in rows),
        pid=np.array([row[1] for row in rows], dtype=np.int64),
        camid=np.array([row[2] for row in rows], dtype=np.int64),
        split=tuple(row[0] for row in rows),
        sha256=digests,
    )
    write_manifest(folder / "manifest.csv", manifest)
    mask = np.zeros(STORE, dtype=bool)
    mask[8:56, 8:24] = True
    write_masks(
        folder / "masks.h5",
        [mask] * len(rows),
        manifest_sha256=sha256_file(folder / "manifest.csv"),
        image_sha256s=digests,
        shape=(len(rows), *STORE),
        splits=SPLITS,
        backend="box",
        weights_sha256=None,
        settings={},
    )


def _task() -> Task:
    market, duke = Path("data/market1501"), Path("data/dukemtmc")
    manifests = market / "manifest.csv", duke / "manifest.csv"
    return open_task(*manifests, market / "masks.h5", duke / "masks.h5", TRAIN)


PAIR = ["--source", "market1501", "--target", "dukemtmc"]
RENDERINGS = [
    *PAIR, "--gan", "gan.pt", "--baseline-gan", "baseline.pt",
    "--source-manifest", "data/market1501/manifest.csv",
    "--target-manifest", "data/dukemtmc/manifest.csv",
    "--source-masks", "data/market1501/masks.h5", "--target-masks", "data/dukemtmc/masks.h5",
    "--out", "results/figure6-market1501-dukemtmc.png",
    "--parts", "results/figure6-market1501-dukemtmc-parts.png",
]  # fmt: skip


@pytest.mark.usefixtures("project")
def test_each_stage_draws_the_same_bytes_twice_and_records_them() -> None:
    from stages import draw_datasets, draw_rank_lists, draw_renderings

    manifests = ["data/market1501/manifest.csv", "data/dukemtmc/manifest.csv"]
    ranks = [*PAIR, "--method", "crgan", "--seed", "0", "--target-manifest", manifests[1],
             "--reid", "reid.pt", "--out", "results/smoke/ranks/seed0.png"]  # fmt: skip
    datasets = ["--manifests", *manifests, "--out", "results/figure5.png"]
    for stage, argv, outs in (
        (draw_datasets, datasets, ["results/figure5.png"]),
        (draw_renderings, RENDERINGS, [RENDERINGS[-3], RENDERINGS[-1]]),
        (draw_rank_lists, ranks, ["results/smoke/ranks/seed0.png"]),
    ):
        run_stage(stage.parser, stage.body, argv)
        first = [Path(out).read_bytes() for out in outs]
        run_stage(stage.parser, stage.body, argv)
        assert [Path(out).read_bytes() for out in outs] == first
        for out in outs:
            image = cv2.imread(out)
            assert image is not None
            assert image.shape[0] > 2 * 128
            assert 20 < image.std() < 120  # noise on white, neither blank nor all noise
            record = json.loads(Path(out).with_suffix(".prov.json").read_text())
            assert record["outputs"][out]["sha256"] == sha256_file(out)


@pytest.mark.usefixtures("project")
def test_figure_6_holds_what_the_generators_make() -> None:
    task = _task()
    torch.manual_seed(1)
    gan, baseline = Generator(4, 2).eval(), Generator(4, 2, dual_condition=False).eval()
    s_rows, t_rows = np.array([0, 3]), np.array([1, 2, 4])
    figure = render_grid(gan, baseline, task, s_rows, t_rows)
    assert figure.rendered.shape == (2, 3, *TRAIN, 3)
    assert (figure.sources == task.source.images[s_rows]).all()
    assert (figure.targets == task.target.images[t_rows]).all()
    columns = dict(part_columns(gan, task, np.array([3]), np.array([4])))
    assert list(columns) == ["X_S", "X_T", "M_T", "X'_T", "X_R", "X_C", "X_G"]
    # the same pair, alone in its batch: equal up to the rounding of one grey level
    difference = columns["X_G"][0].astype(int) - figure.rendered[1, 2]
    assert abs(difference).max() <= 1
    assert set(np.unique(columns["M_T"])) == {0, 255}
    assert (columns["X'_T"][columns["M_T"] == 0] == columns["X_T"][columns["M_T"] == 0]).all()
    assert set(np.unique(columns["X'_T"][columns["M_T"] == 255])) <= {127, 128}
    with torch.no_grad():
        x_s = torch.from_numpy(figure.sources).permute(0, 3, 1, 2).float() / 127.5 - 1
        alone = from_gan(baseline(x_s, torch.zeros_like(x_s), torch.zeros(2, 1, *TRAIN)))
    assert abs(alone.astype(int) - figure.baseline).max() <= 1


@pytest.mark.usefixtures("project")
def test_pairs_are_of_different_people_and_cameras() -> None:
    task = _task()
    s_rows, t_rows = pick_pairs(task.source, task.target, 3, 2, np.random.default_rng(0))
    assert sorted(task.source.pid[s_rows]) == [1, 2, 3]
    assert sorted(task.target.camid[t_rows]) == [1, 2]
    everything, _ = pick_pairs(task.source, task.target, 99, 2, np.random.default_rng(0))
    assert sorted(everything.tolist()) == list(range(6))


@pytest.mark.usefixtures("project")
def test_a_file_that_is_no_gan_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    from stages import draw_renderings

    argv = ["reid.pt" if value == "baseline.pt" else value for value in RENDERINGS]
    with pytest.raises(SystemExit):
        run_stage(draw_renderings.parser, draw_renderings.body, argv)
    assert "reid.pt: kind and model are" in capsys.readouterr().err
    assert not Path("results").exists()
