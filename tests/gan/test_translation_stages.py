"""The stages of the image-level rivals, by the examples of their own help.

Each example runs as a shell would take it, in a project of two small domains at the smoke scale.
"""

from __future__ import annotations

import csv
import importlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.io import (
    load_torch,
    read_json,
    save_torch,
    sha256_bytes,
    sha256_file,
    write_json,
)
from crgan.data.entries import SPLITS
from crgan.data.manifest import Manifest, write_manifest
from crgan.gan.cyclegan import Training
from crgan.gan.pairs import Pairs
from crgan.masks.store import write_masks
from crgan.nets.generator import Generator
from crgan.nets.reid import ReidNet
from crgan.pipeline import params as parameters
from crgan.pipeline.records import Auditor, record_path
from crgan.pipeline.stage import run_stage
from crgan.reid.model_file import reid_file

ROOT = Path(__file__).parents[2]
SIZE = (64, 32)
MADE = Path("artifacts/demo")
PAIR = "market1501-dukemtmc"
SPGAN = MADE / "gan/spgan" / PAIR / "seed0.pt"
SET = MADE / "sets/spgan" / PAIR / "seed0.h5"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose demo profile has the smoke scale: data, masks, weights, D_id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(parameters.ENVIRONMENT, str(tmp_path / "params.yaml"))
    monkeypatch.setenv("CRGAN_CHECKPOINT_SECONDS", "0")
    params = parameters.load(ROOT / "params.yaml")
    scale = {**params["profiles"]["smoke"], "image": {"store": list(SIZE), "train": list(SIZE)}}
    params["profiles"]["demo"] = scale
    Path("params.yaml").write_text(yaml.safe_dump({**params, "profile": "demo"}))
    for seed, name in enumerate(("market1501", "dukemtmc")):
        make_domain(name, np.random.default_rng(seed))
    save_torch(MADE / "weights/backbone.pt", {"origin": "none", "sha256": "", "state": {}})
    save_torch(MADE / "weights/lpips.pt", {"origin": "random", "sha256": "", "state": {}})
    torch.manual_seed(0)
    d_id = reid_file(ReidNet("small", 4, 3), (1, 2, 3), SIZE, "none")
    save_torch(MADE / "d_id/market1501/seed0.pt", d_id)
    return tmp_path


def make_domain(name: str, rng: np.random.Generator) -> None:
    """Three people before two cameras, in each split."""
    rows = [(s, p, c) for s in ("train", "query", "gallery") for p in (1, 2, 3) for c in (1, 2)]
    images = rng.integers(0, 256, (len(rows), *SIZE, 3)).astype(np.uint8)
    folder = MADE / "data" / name
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    hashes = tuple(sha256_bytes(image.tobytes()) for image in images)
    manifest = Manifest(
        paths=tuple(f"{s}/{pid:04d}_c{camid}.png" for s, pid, camid in rows),
        pid=np.array([pid for _, pid, _ in rows]),
        camid=np.array([camid for _, _, camid in rows]),
        split=tuple(s for s, _, _ in rows),
        sha256=hashes,
    )
    write_manifest(folder / "manifest.csv", manifest)
    (MADE / "masks").mkdir(exist_ok=True)
    write_masks(
        MADE / "masks" / f"{name}.h5",
        rng.random((len(rows), *SIZE)) < 0.3,
        manifest_sha256=sha256_file(folder / "manifest.csv"),
        image_sha256s=hashes,
        shape=(len(rows), *SIZE),
        splits=SPLITS,
        backend="random",
        weights_sha256=None,
        settings={},
    )


def example(stage: str, which: int = 0, changes: Mapping[str, str] | None = None) -> list[str]:
    """The arguments of the example in a stage's help, as a shell hands them over.

    Args:
        which: of several examples.
        changes: words of the example that are replaced.
    """
    text = importlib.import_module(f"stages.{stage}").__doc__ or ""
    start = f"python -m stages.{stage} "
    command = text.split(start)[which + 1].split("\n\n")[0].replace("\\\n", " ")
    for old, new in (changes or {}).items():
        command = command.replace(old, new)
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split("\n")[:-1]


def run(stage: str, which: int = 0, changes: Mapping[str, str] | None = None) -> None:
    module = importlib.import_module(f"stages.{stage}")
    run_stage(module.parser, module.body, example(stage, which, changes))


def image(path: str | Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path)), dtype=np.uint8)


def untrained_crgan(method: str) -> None:
    config: dict[str, Any] = {"width": 4, "levels": 2, "dual_condition": method == "crgan"}
    size = {"flip": True, "height": SIZE[0], "width_px": SIZE[1]}
    state = Generator(**config).state_dict()
    file = {"kind": "gan", "model": "crgan", "config": {**config, **size}, "state": state}
    save_torch(MADE / "gan" / method / PAIR / "seed0.pt", file)


def test_every_example_runs_as_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("train_translation")
    file = load_torch(SPGAN)
    assert (file["kind"], file["model"], file["domains"]) == (
        "gan", "spgan", ["market1501", "dukemtmc"],
    )  # fmt: skip
    with open(SPGAN.with_suffix(".csv"), newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["iteration"] for row in rows] == ["4"]
    assert {"loss_cycle", "loss_similarity", "loss_siamese"} <= set(rows[0])
    assert image(SPGAN.with_suffix(".png")).shape[0] > 10 * 128  # a, b, twice four rows
    read = read_json(record_path(SPGAN))["params"]
    assert read["translation"]["lambda_3"] == 2
    assert read["translation"]["lambda_identity"] == 5
    assert "loss" not in read

    run("render_set")
    with h5py.File(SET) as opened_set:
        assert opened_set["images"].shape == (6, 1, *SIZE, 3)  # SPGAN's do not vary
    run("finetune", 1)

    run("train_judges")
    run("judge_images")
    said = read_json(f"results/demo/judged/spgan/{PAIR}/seed0.json")
    assert 0 <= said["identity"] <= 100
    assert said["camera"] is None
    assert said["diversity"] == pytest.approx(0, abs=1e-6)
    assert said["notes"] == ["lpips with random weights: no published quantity"]

    for method in ("crgan", "wo_dual_cond"):
        untrained_crgan(method)
    for method in ("ptgan", "m2mgan"):
        run("train_translation", changes={"spgan": method})
        run("judge_images", changes={"spgan": method})
    run("draw_methods")
    sheet = image(f"results/figures/figure7-{PAIR}.png")
    assert sheet.shape[0] > 3 * 128  # three people
    assert sheet.shape[1] > 10 * 64  # X_S, three renderings of CR-GAN and of M2M-GAN, one of others

    # what `measure_images` writes; its Inception is too slow for here
    images = {"method": "spgan", "source": "market1501", "target": "dukemtmc", "lpips": 0.1,
                "fid": 2.0, "reference": {"fid": 3.0}, "profile": "demo", "notes": []}  # fmt: skip
    write_json(f"results/demo/visual/spgan/{PAIR}/seed0.json", images)
    # the data sets made by hand have no records
    monkeypatch.setattr(Auditor, "why_stale", lambda _self, _path: None)
    run("tabulate_renderings")
    with open("results/renderings.csv", newline="") as opened:
        table = {row["method"]: row for row in csv.DictReader(opened)}
    assert set(table) == {"source images, unrendered", "PTGAN", "SPGAN", "M2M-GAN"}
    assert (table["SPGAN"]["fid"], table["SPGAN"]["diversity"]) == ("2.000", "0.000")
    assert table["M2M-GAN"]["camera"]


def test_other_methods_and_the_way_back(project: Path) -> None:
    """One training serves both directions; PTGAN's has no loss of SPGAN's."""
    run("train_translation", changes={"spgan": "m2mgan"})
    there, back = "gan/m2mgan/market1501-dukemtmc", "gan/m2mgan/dukemtmc-market1501"
    turned = {"market1501": "X", "dukemtmc": "market1501", "X": "dukemtmc", back: there}
    run("render_set", changes={"spgan": "m2mgan", **turned})
    with h5py.File(MADE / "sets/m2mgan/dukemtmc-market1501/seed0.h5") as opened:
        assert opened["images"].shape == (6, 4, *SIZE, 3)  # to random cameras, four copies


def test_killed_and_started_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [SPGAN, SPGAN.with_suffix(".csv"), SPGAN.with_suffix(".png")]
    run("train_translation")
    expected = [path.read_bytes() for path in outputs]
    for path in outputs:
        path.unlink()
    step = Training.step

    def killed(self: Training, t: int, pairs: Pairs) -> dict[str, Tensor]:
        if t == 3:
            raise KeyboardInterrupt
        return step(self, t, pairs)

    monkeypatch.setattr(Training, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        run("train_translation")
    assert not any(path.exists() for path in outputs)
    seen: list[int] = []

    def noting(self: Training, t: int, pairs: Pairs) -> dict[str, Tensor]:
        seen.append(t)
        return step(self, t, pairs)

    monkeypatch.setattr(Training, "step", noting)
    run("train_translation")
    assert [path.read_bytes() for path in outputs] == expected
    assert seen == [3]
    assert not list(Path(".scratch").rglob("*.pt"))


def test_wrong_inputs_write_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("render_set")
    assert "not there; run the stages before it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("train_translation", changes={"masks/dukemtmc": "masks/market1501"})
    assert "do not belong" in capsys.readouterr().err
    run("train_translation")
    with pytest.raises(SystemExit):
        run("render_set", changes={"--target dukemtmc": "--target cuhk03"})
    assert "translates between market1501 and dukemtmc, not" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("render_set", changes={"--model spgan": "--model ptgan"})
    assert "('gan', 'spgan'), expected ('gan', 'ptgan')" in capsys.readouterr().err
    assert not SET.exists()
