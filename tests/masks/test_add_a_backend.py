"""Adding a mask backend: one file, in a copy of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.masks.store import open_masks
from crgan.pipeline import declared
from crgan.pipeline import params as parameters
from tests.masks.test_stage import manifest  # noqa: F401

PROJECT = Path(__file__).parents[2]
ELLIPSE = '''"""An ellipse in the middle of the crop."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from crgan.common.settings import Positive
from crgan.masks.backend import options_from


@dataclass(frozen=True)
class Options:
    weights = "mediapipe_pose_heavy"
    radius: Positive = 0.6


class Ellipse:
    name = "ellipse"
    weights_sha256 = None

    def __init__(self, options):
        self.settings = asdict(options)

    def masks(self, batch):
        n, height, width, _ = batch.images.shape
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        return np.repeat(((x / self.settings["radius"]) ** 2 + y**2 < 1)[None], n, axis=0)


def make(settings, resources):
    return Ellipse(options_from(Options, "ellipse", settings))
'''
ASKED = "profiles.demo.masks.backend=ellipse"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy with one file more."""
    folder = tmp_path / "project"
    for name in ("crgan", "stages"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, folder / name, ignore=ignored)
    for name in ("params.yaml", "weights.yaml"):
        shutil.copy(PROJECT / name, folder)
    (folder / "crgan/masks/ellipse.py").write_text(ELLIPSE)
    monkeypatch.setattr(declared, "ROOT", folder)
    monkeypatch.chdir(folder)
    return folder


def test_its_options_are_keys_and_its_weights_are_fetched(project: Path) -> None:
    found = parameters.load("params.yaml", [ASKED, "masks.ellipse={radius: 0.4}"])
    assert found["profiles"]["demo"]["weights"]["parsing"] == "mediapipe_pose_heavy"
    with pytest.raises(UserError, match=r"masks\.ellipse\.radius is 0; it must be above 0"):
        parameters.load("params.yaml", [ASKED, "masks.ellipse={radius: 0}"])
    with pytest.raises(UserError, match=r"masks\.ellipse\.radios: no such key"):
        parameters.load("params.yaml", [ASKED, "masks.ellipse={radios: 1}"])


def test_it_makes_masks(project: Path, manifest: Path) -> None:  # noqa: F811
    environment = {**os.environ, "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "crgan.masks.extract", "--backend", "ellipse", "--splits", "train",
         "--manifest", str(manifest), "--out", "masks.h5"],
        cwd=project, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    store = open_masks(project / "masks.h5", manifest)
    assert (store.backend, store.settings) == ("ellipse", {"radius": 0.6})
