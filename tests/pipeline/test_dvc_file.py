"""dvc.yaml against the parameters and the rules it stands above."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from crgan.workflow.generations import FOLDERS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stages() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return loaded


@pytest.fixture(scope="module")
def params() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    return loaded


def outs(stage: dict[str, Any]) -> list[str]:
    return [next(iter(out)) for out in (*stage.get("outs", []), *stage.get("metrics", []))]


def test_every_parameter_is_some_stages_and_every_key_there_is(
    stages: dict[str, Any], params: dict[str, Any]
) -> None:
    named = [key for stage in stages.values() for key in stage["params"]]
    assert {key.split(".")[0] for key in named} == set(params)
    for profile in params["profiles"]:
        for key in named:
            home = params
            for part in key.replace("${profile}", profile).split("."):
                home = home[part]


def test_every_folder_of_the_rules_is_one_stages_own(stages: dict[str, Any]) -> None:
    owned = [name for stage in stages.values() for name in outs(stage)]
    assert len(owned) == len(set(owned))
    folders = {folder.format("${profile}") for folder in FOLDERS}
    assert {name for name in owned if "." not in Path(name.replace("$", "")).name} == folders


def test_what_stands_is_never_deleted_by_dvc(stages: dict[str, Any]) -> None:
    for stage in stages.values():
        for out in (*stage.get("outs", []), *stage.get("metrics", [])):
            assert next(iter(out.values()))["persist"]


def test_what_a_stage_reads_is_there_or_made_before(stages: dict[str, Any]) -> None:
    made: set[str] = set()
    for stage in stages.values():
        for name in stage.get("deps", []):
            assert name in made or (ROOT / name).exists(), name
        made |= set(outs(stage))
