"""The files by which DVC knows the sources and parameters behind each stage."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest

from crgan.pipeline import params as parameters
from crgan.pipeline.recipes import FOLDER, axes_of, recipe_path, recipes, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    return parameters.load(ROOT / "params.yaml")


def test_a_recipe_is_named_by_what_its_stage_reads_of_the_cell() -> None:
    assert axes_of("extract_masks") == []  # one recipe for all data sets: they share all parameters
    assert axes_of("prepare_data") == ["dataset"]
    assert axes_of("train_gan") == ["model", "method"]
    assert axes_of("draw_renderings") == []  # CR-GAN always
    cell = {"model": "crgan", "method": "wo_camera_loss", "source": "market1501"}
    assert recipe_path("train_gan", cell) == FOLDER / "train_gan/crgan/wo_camera_loss.json"
    assert recipe_path("finetune", cell) == FOLDER / "finetune/crgan.json"
    assert recipe_path("finetune", {}, with_model=False) == FOLDER / "finetune.json"


def test_a_recipe_holds_the_values_the_stage_sees(params: dict[str, Any]) -> None:
    without = json.loads(recipes(params)[FOLDER / "train_gan/crgan/wo_camera_loss.json"])
    assert without["params"]["loss"]["lambda_cam"] == 0  # the method's option, laid over
    assert without["params"]["gan"]["width"] == params["profiles"]["demo"]["gan"]["width"]
    assert "stages/train_gan.py" in without["sources"]
    assert "image" not in without  # on the host


def test_what_does_not_change_is_not_written_again(params: dict[str, Any]) -> None:
    write(params)
    times = {path: os.stat(path).st_mtime_ns for path in FOLDER.rglob("*.json")}
    assert times.keys() == recipes(params).keys()
    other = copy.deepcopy(params)
    other["loss"]["lambda_con"] = 7
    write(other)
    changed = {path for path in times if os.stat(path).st_mtime_ns != times[path]}
    overruled = FOLDER / "train_gan/crgan/wo_context_loss.json"  # has a lambda_con of its own
    assert changed == {path for path in times if path.parts[2] == "train_gan"} - {overruled}


def test_the_recipe_of_a_cell_that_is_no_more_goes(params: dict[str, Any]) -> None:
    write(params)
    params["matrix"]["adapt"] = [c for c in params["matrix"]["adapt"] if c["method"] != "mmfa"]
    write(params)
    assert not (FOLDER / "adapt/mmfa/mmfa.json").exists()
    assert (FOLDER / "adapt/pul/pul.json").exists()


def test_a_stored_set_is_trained_on_without_any_gan_of_its_own(params: dict[str, Any]) -> None:
    params["matrix"]["gan"] = []
    assert FOLDER / "finetune.json" in recipes(params)  # of the stage finetune_set


def test_dvc_watches_every_parameter_that_a_recipe_can_show(params: dict[str, Any]) -> None:
    stage = parameters.parse((ROOT / "dvc.yaml").read_text())["stages"]["write_recipes"]
    watched = [key.replace("${profile}", params["profile"]) for key in stage["params"]]
    assert {key for key in watched if "." not in key} == params.keys() - {"profiles"}
    assert [key for key in watched if "." in key] == ["profiles.demo"]
    other = copy.deepcopy(params)
    for profile in ("paper", "smoke"):
        other["profiles"][profile] = {}
    assert recipes(other) == recipes(params)
