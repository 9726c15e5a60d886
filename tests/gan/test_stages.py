"""The stage train_gan and `crgan render` from the command line, on files."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from crgan import cli
from crgan.common.errors import UserError
from crgan.common.io import load_torch, read_json, save_torch, sha256_bytes, sha256_file
from crgan.data.entries import SPLITS
from crgan.data.manifest import Manifest, write_manifest
from crgan.gan.base import open_task
from crgan.gan.crgan import Training, load_renderer
from crgan.masks.store import write_masks
from crgan.nets.camera import CameraNet
from crgan.nets.reid import ReidNet
from crgan.pipeline import params as parameters
from crgan.pipeline.records import record_path
from crgan.pipeline.stage import run_stage
from crgan.reid.model_file import camera_file, reid_file
from stages import train_gan

ROOT = Path(__file__).parents[2]
STORE, TRAIN = (64, 32), (32, 16)
OUTPUTS = {"--out": "gan.pt", "--history": "gan.csv", "--samples": "gan.png"}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder on the smoke scale: two domains, their masks, D_id and D_cam."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(parameters.ENVIRONMENT, str(tmp_path / "params.yaml"))
    monkeypatch.setenv("CRGAN_CHECKPOINT_SECONDS", "0")
    params = parameters.load(ROOT / "params.yaml") | {"profile": "smoke"}
    params["profiles"]["smoke"]["image"] = {"store": list(STORE), "train": list(TRAIN)}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    for seed, name in enumerate(("market1501", "dukemtmc")):
        make_domain(name, seed)
    torch.manual_seed(0)
    d_id = reid_file(ReidNet("small", 4, 3), (1, 2, 3), TRAIN, "none", ["random backbone weights"])
    save_torch("d_id.pt", d_id)
    save_torch("d_cam.pt", camera_file(CameraNet(4, 2), (1, 2)))
    return tmp_path


def make_domain(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [
        (split, pid, camid) for split in ("train", "query") for pid in (1, 2, 3) for camid in (1, 2)
    ]
    images = rng.integers(0, 256, (len(rows), *STORE, 3)).astype(np.uint8)
    Path(name).mkdir()
    np.save(Path(name, "images.npy"), images)
    hashes = tuple(sha256_bytes(image.tobytes()) for image in images)
    manifest = Manifest(
        paths=tuple(f"{s}/{pid:04d}_c{camid}.png" for s, pid, camid in rows),
        pid=np.array([pid for _, pid, _ in rows]),
        camid=np.array([camid for _, _, camid in rows]),
        split=tuple(s for s, _, _ in rows),
        sha256=hashes,
    )
    order = np.argsort([{"train": 0, "query": 1}[s] for s in manifest.split], kind="stable")
    assert (order == np.arange(len(rows))).all()
    write_manifest(Path(name, "manifest.csv"), manifest)
    write_masks(
        f"{name}/masks.h5",
        rng.random((len(rows), *STORE)) < 0.3,
        manifest_sha256=sha256_file(f"{name}/manifest.csv"),
        image_sha256s=hashes,
        shape=(len(rows), *STORE),
        splits=SPLITS,
        backend="random",
        weights_sha256=None,
        settings={},
    )


def domains() -> list[str]:
    return [
        f"--{role}-{kind}={name}/{file}"
        for role, name in (("source", "market1501"), ("target", "dukemtmc"))
        for kind, file in (("manifest", "manifest.csv"), ("masks", "masks.h5"))
    ]


def do_train(folder: str, *more: str, method: str = "crgan") -> list[bytes]:
    argv = ["--method", method, "--model", "crgan", "--source", "market1501"]
    argv += ["--target", "dukemtmc", "--seed", "0", "--d-id", "d_id.pt", "--d-cam", "d_cam.pt"]
    argv += [word for flag, name in OUTPUTS.items() for word in (flag, f"{folder}/{name}")]
    run_stage(train_gan.parser, train_gan.body, [*argv, *domains(), *more])
    return [Path(folder, name).read_bytes() for name in OUTPUTS.values()]


def do_render(*more: str) -> None:
    words = ["render", "--gan", "a/gan.pt", "--out", "out", *domains(), *more]
    args = cli.parser().parse_args(words)
    args.run(args)


def test_train_gan_writes_model_history_and_samples(project: Path) -> None:
    do_train("a")
    file = load_torch("a/gan.pt")
    assert (file["kind"], file["model"]) == ("gan", "crgan")
    assert file["notes"] == ["random backbone weights"]
    assert (file["config"]["height"], file["config"]["width_px"]) == TRAIN
    with open("a/gan.csv", newline="") as opened:
        assert [row["iteration"] for row in csv.DictReader(opened)] == ["4"]
    assert cv2.imread("a/gan.png").shape[0] > 9 * 128  # X_S, X_T, M and two intervals of three
    scratch = sorted(path.name for path in Path(".scratch", "smoke", "train_gan").glob("*/*"))
    assert scratch == ["history.csv", "samples-000002.png", "samples-000004.png"]
    record = read_json(record_path("a/gan.pt"))
    assert set(record["params"]) >= {"loss", "gan", "image", "run"}


def test_the_trained_file_renders_other_images(project: Path) -> None:
    do_train("a")
    paths = ("manifest.csv", "manifest.csv", "masks.h5", "masks.h5")
    names = ("market1501", "dukemtmc") * 2
    task = open_task(*(f"{n}/{p}" for n, p in zip(names, paths, strict=True)), TRAIN)
    assert len(task.source) == len(task.target) == 6  # training splits only
    assert task.source_masks[np.arange(2)].shape == (2, *TRAIN)
    renderer = load_renderer(load_torch("a/gan.pt"), task, "cpu")
    x_s = torch.rand(3, 3, *TRAIN) * 2 - 1
    x_g = renderer.render(x_s, np.arange(3), np.random.default_rng(0))
    assert x_g.shape == x_s.shape
    assert not torch.equal(x_g, x_s)


def test_killed_and_started_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = do_train("whole")
    step = Training.step

    def killed(self: Training, t: int, pairs: object) -> object:
        if t == 3:
            raise KeyboardInterrupt
        return step(self, t, pairs)  # type: ignore[arg-type]

    monkeypatch.setattr(Training, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        do_train("again")
    assert not Path("again").exists()  # nothing half-written
    assert list(Path(".scratch").rglob("*.pt"))

    seen: list[int] = []
    monkeypatch.setattr(Training, "step", lambda s, t, p: (seen.append(t), step(s, t, p))[1])
    assert do_train("again") == expected
    assert seen == [3]
    assert not list(Path(".scratch").rglob("*.pt"))


def test_ablations_are_methods(project: Path) -> None:
    whole = do_train("a")
    without = do_train("b", method="wo_dual_cond")
    assert load_torch("b/gan.pt")["config"]["dual_condition"] is False
    assert whole[0] != without[0]
    do_train("c", method="wo_identity_loss")
    with open("c/gan.csv", newline="") as opened:
        assert {row["loss_id"] for row in csv.DictReader(opened)} == {""}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (["--model", "spgan2"], "crgan/gan/spgan2.py: no such file"),
        (["--model", "losses"], "crgan/gan/losses.py is no method"),
        (["--d-id", "d_cam.pt"], "kind is 'camera'"),
        (["--target-masks", "market1501/masks.h5"], "do not belong"),
    ],
)
def test_wrong_inputs_write_nothing(
    project: Path, argument: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        do_train("a", *argument)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("a").exists()


def test_render_writes_named_images_and_a_sheet(project: Path) -> None:
    do_train("a")
    do_render("--count", "20", "--sheet", "5")
    written = sorted(path.name for path in Path("out").iterdir())
    assert "sheet.png" in written
    written.remove("sheet.png")
    assert 1 < len(written) <= 20  # a pair may be drawn twice
    for name in written:
        source, pid, target = name.removesuffix(".png").split("__")
        assert source.startswith(f"train_000{pid.removeprefix('pid')}_c")
        assert target.startswith("train_")
        assert cv2.imread(f"out/{name}").shape == (*TRAIN, 3)
    assert cv2.imread("out/sheet.png").shape == (6 * (128 + 2) + 2, 72 + 5 * (64 + 2) + 2, 3)


def test_render_repeats_and_refuses(project: Path) -> None:
    do_train("a")
    do_render("--count", "3")
    first = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    do_render("--count", "3")
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == first
    with pytest.raises(UserError, match="--count 0"):
        do_render("--count", "0")
    with pytest.raises(UserError, match="kind and model"):
        do_render("--gan", "d_id.pt")
