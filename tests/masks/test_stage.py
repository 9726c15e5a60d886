"""The stages extract_masks and fetch_weights, run as the workflow runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crgan.common.errors import UserError
from crgan.common.io import load_torch, read_json, sha256_bytes
from crgan.data.manifest import Manifest, write_manifest
from crgan.masks.store import open_masks
from crgan.pipeline.records import record_path
from crgan.pipeline.stage import run_stage
from crgan.weights import registry as weights
from stages import extract_masks, fetch_weights

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    n = 3
    images = np.random.default_rng(0).integers(0, 256, (n, 32, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    ones = np.ones(n, dtype=np.int64)
    hashes = tuple(sha256_bytes(image.tobytes()) for image in images)
    rows = Manifest(("a.png", "b.png", "c.png"), ones, ones, ("train",) * n, hashes)
    write_manifest(tmp_path / "manifest.csv", rows)
    return tmp_path / "manifest.csv"


def use_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **smoke: dict[str, Any]) -> None:
    """The project's parameters with profile smoke and these sections of it changed."""
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["profile"] = "smoke"
    for section, values in smoke.items():
        params["profiles"]["smoke"][section].update(values)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.setenv("CRGAN_PARAMS", str(tmp_path / "params.yaml"))


def run_fetch(tmp_path: Path, role: str) -> Path:
    out = tmp_path / "weights" / f"{role}.pt"
    arguments = ["--role", role, "--root", str(tmp_path / "root"), "--out", str(out)]
    run_stage(fetch_weights.parser, fetch_weights.body, arguments)
    return out


def run_extract(manifest: Path, packed: Path, out: Path) -> None:
    arguments = ["--dataset", "market1501", "--manifest", str(manifest)]
    arguments += ["--weights", str(packed), "--out", str(out)]
    run_stage(extract_masks.parser, extract_masks.body, arguments)


def test_masks_with_their_record(
    tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_params(tmp_path, monkeypatch, masks={"backend": "grabcut"})
    out = tmp_path / "out" / "market1501.h5"
    run_extract(manifest, run_fetch(tmp_path, "parsing"), out)
    store = open_masks(out, manifest)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    assert store.backend == "grabcut"
    assert store.settings == params["masks"]["grabcut"]
    assert store.read([0, 1, 2]).shape == (3, 32, 16)
    record = read_json(record_path(out))
    assert str(manifest) in record["inputs"]
    assert record["params"]["masks"]["backend"] == "grabcut"


@pytest.mark.parametrize(
    ("backend", "message"),
    [("jppnet", "needs weights"), ("mediapipe_pose", "needs weights")],
)
def test_a_backend_that_cannot_run_ends_with_a_message_and_no_file(
    tmp_path: Path,
    manifest: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    backend: str,
    message: str,
) -> None:
    use_params(tmp_path, monkeypatch, masks={"backend": backend}, weights={"parsing": "none"})
    packed = run_fetch(tmp_path, "parsing")
    with pytest.raises(SystemExit) as stop:
        run_extract(manifest, packed, tmp_path / "out" / "m.h5")
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_role_takes_the_users_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.tflite"
    mine.write_bytes(b"mine")
    use_params(tmp_path, monkeypatch, weights={"parsing": str(mine)})
    out = run_fetch(tmp_path, "parsing")
    packed = load_torch(out)
    assert bytes(packed["bytes"].tolist()) == b"mine"
    assert packed["origin"] == str(mine)
    assert packed["sha256"] == sha256_bytes(b"mine")
    assert record_path(out).is_file()


def test_random_and_none_are_said_and_never_filled_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_params(tmp_path, monkeypatch, weights={"lpips": "random", "parsing": "none"})
    for role, origin in (("lpips", "random"), ("parsing", "none")):
        packed = load_torch(run_fetch(tmp_path, role))
        assert packed == {"origin": origin, "sha256": "", "state": {}}


def refuse(*_: Any, **__: Any) -> None:
    raise UserError("download failed (ConnectionError)")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("absent/file.pth", "absent/file.pth: no such file"),
        ("resnet51", "no weights named 'resnet51'"),
        ("resnet50_imagenet", "put one of these into"),
    ],
)
def test_a_role_that_cannot_be_had_ends_with_a_message_and_no_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    value: str,
    message: str,
) -> None:
    monkeypatch.setattr(weights, "download_url", refuse)
    use_params(tmp_path, monkeypatch, weights={"backbone": value})
    with pytest.raises(SystemExit) as stop:
        run_fetch(tmp_path, "backbone")
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("backbone.pt"))
