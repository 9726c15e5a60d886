"""Parameters: reading, slices, overrides, and the schema."""

from __future__ import annotations

import copy
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from crgan.pipeline.recipes import GROUPS
from ruamel.yaml import YAML

from crgan.common.errors import UserError
from crgan.pipeline import params as parameters

ROOT = Path(__file__).resolve().parents[2]
CELL = {"method": "crgan", "source": "market1501", "target": "dukemtmc", "seed": 0}


@pytest.fixture
def params() -> dict[str, Any]:
    return parameters.load(ROOT / "params.yaml")


def test_params_yaml_fits_its_schema(params: dict[str, Any]) -> None:
    schema = yaml.safe_load((ROOT / "workflow/schemas/params.schema.yaml").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in validator.iter_errors(params)] == []
    for key, value in (("loss", {}), ("profile", 3), ("extra", {})):
        assert list(validator.iter_errors({**params, key: value})), key
    params["loss"]["lambda_kon"] = 1.0
    assert list(validator.iter_errors(params))


def test_every_profile_has_every_section_a_slice_asks_for(params: dict[str, Any]) -> None:
    for profile in params["profiles"]:
        params["profile"] = profile
        for stage in parameters.SLICES:
            group = GROUPS.get(stage)
            for own in params["matrix"][group] if group else [{}]:
                cell = {**CELL, **own, "dataset": "market1501", "role": "backbone"}
                assert parameters.slice_of(stage, params, **cell), (profile, stage)


@pytest.mark.parametrize(
    "text", ["1e-4", "1.5e3", "-2E5", "5", "5.0", "on", "yes", "true", "~", ".5"]
)
def test_yaml_means_here_what_it_means_to_dvc(text: str) -> None:
    ours = parameters.parse(f"key: {text}")["key"]
    dvc = YAML(typ="safe").load(StringIO(f"key: {text}"))["key"]
    assert (ours, type(ours)) == (dvc, type(dvc))


def test_a_stage_sees_its_slice_and_nothing_else(params: dict[str, Any]) -> None:
    seen = parameters.slice_of("train_gan", params, **CELL)
    assert set(seen) == {"image", "run", "loss", "gan", "options"}
    assert "store" not in seen["image"]
    shown = {"profile", "matrix", "methods", "chosen"}
    assert parameters.slice_of("make_table", params).keys() == shown
    masks = parameters.slice_of("extract_masks", params, dataset="market1501")
    assert "loss" not in masks
    assert "gan" not in masks


def test_the_profile_is_laid_over_the_shared_section(params: dict[str, Any]) -> None:
    seen = parameters.slice_of("train_gan", params, **CELL)["gan"]
    assert seen["iterations"] == params["profiles"]["demo"]["gan"]["iterations"]
    assert seen["noise_std"] == params["gan"]["noise_std"]


def test_an_ablation_replaces_keys_of_loss_or_gan(params: dict[str, Any]) -> None:
    def seen(method: str) -> dict[str, Any]:
        return parameters.slice_of("train_gan", params, **{**CELL, "method": method})

    assert seen("wo_identity_loss")["loss"]["lambda_id"] == 0
    assert seen("crgan")["loss"]["lambda_id"] == params["loss"]["lambda_id"]
    assert seen("wo_dual_cond")["gan"]["dual_condition"] is False
    params["methods"]["crgan"]["options"] = {"lambda_x": 1}
    with pytest.raises(UserError, match=r"methods\.crgan\.options\.lambda_x"):
        seen("crgan")


def test_slices_are_copies(params: dict[str, Any]) -> None:
    before = copy.deepcopy(params)
    parameters.slice_of("train_gan", params, **CELL)["loss"]["lambda_con"] = 99
    assert params == before


def test_identity_ignores_how_a_number_was_typed_and_nothing_else() -> None:
    same = {"a": 5.0, "b": [1.0, {"c": 2.0}]}, {"b": [1, {"c": 2}], "a": 5}
    assert parameters.digest(same[0]) == parameters.digest(same[1])
    assert parameters.digest({"a": 1, "b": 2}) != parameters.digest({"a": 2, "b": 1})
    assert parameters.digest({"a": 5}) != parameters.digest({"a": "5"})
    assert parameters.digest({"a": 1}) != parameters.digest({"a": True})


def test_override_sets_values_of_their_type_and_refuses_unknown_keys(
    params: dict[str, Any],
) -> None:
    settings = ["loss.lambda_con=7", "gan.lr=1e-4", "matrix.seeds=[0, 1]"]
    changed = parameters.override(params, settings)
    assert changed["loss"]["lambda_con"] == 7
    assert changed["gan"]["lr"] == 0.0001
    assert changed["matrix"]["seeds"] == [0, 1]
    assert params["loss"]["lambda_con"] != 7
    for setting, message in (
        ("loss.lambda_kon=1", "lambda_kon"),
        ("loss.lambda_con", "key=value"),
        ("profile=none", "known profiles: demo, paper, smoke"),
    ):
        with pytest.raises(UserError, match=message):
            parameters.override(params, [setting])


def test_config_of_snakemake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert parameters.effective({}) == parameters.load("params.yaml")
    paper = parameters.effective({"profile": "paper", "set": ["loss.lambda_con=7"]})
    assert (paper["profile"], paper["loss"]["lambda_con"]) == ("paper", 7)
    assert parameters.effective({"set": "loss.lambda_con=7"})["loss"]["lambda_con"] == 7
    with pytest.raises(UserError, match=r"lambda_con=.*: unknown"):
        parameters.effective({"lambda_con": "7"})


def test_a_snapshot_is_what_was_asked_for(
    params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changed = parameters.override(params, ["gan.lr=1e-5"])
    path = parameters.snapshot(changed)
    monkeypatch.setenv(parameters.ENVIRONMENT, str(path))
    assert parameters.load() == changed
    assert parameters.snapshot_path(params) != path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matrix.gan.0.method": "none"}, "method 'none', which methods lacks"),
        ({"matrix.gan.0.source": "viper"}, r"source 'viper', which matrix\.sources lacks"),
        ({"matrix.adapt.0.target": "cuhk03"}, r"target 'cuhk03', which matrix\.targets lacks"),
        ({"matrix.targets": ["dukemtmc", "market1501", "viper"]}, "'viper', which data lacks"),
        ({"matrix.datasets": ["dukemtmc", "market1501"]}, r"which matrix\.datasets lacks"),
        ({"matrix.gan.0.target": "market1501"}, "source and target"),
        ({"matrix.adapt.0.method": "crgan"}, r"stands in matrix\.gan and matrix\.adapt"),
        ({"matrix.visual.0.source": "cuhk03"}, r"which matrix\.gan and matrix\.translators lack"),
        ({"matrix.rendered.0.gan": "none/a-b"}, r"gan 'none/a-b' of model 'ptgan', which"),
        ({"matrix.adapt.0.start": "d_id/viper"}, "start 'd_id/viper'; use fresh"),
        ({"matrix.adapt.0.start": "reid/direct_transfer/market1501-dukemtmc"}, "use fresh"),
        ({"masks.size": 3}, "DVC overlooks that name"),
        ({"profile": "big"}, "known profiles"),
    ],
)  # fmt: skip
def test_parameters_that_contradict_themselves_are_refused(
    params: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    for key, value in change.items():
        home: Any = params
        *parts, last = key.split(".")
        for part in parts:
            home = home[int(part) if part.isdigit() else part]
        home[last] = value
    with pytest.raises(UserError, match=message):
        parameters.check(params)


def test_files_that_are_no_parameters(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such parameter file"):
        parameters.load(tmp_path / "params.yaml")
    for text, message in (("a: [1", "not valid YAML"), ("a: 1", "no section 'profiles'")):
        (tmp_path / "params.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            parameters.load(tmp_path / "params.yaml")


def test_a_group_that_the_matrix_lacks_is_named() -> None:
    params = parameters.load()
    del params["matrix"]["selected"]
    with pytest.raises(UserError, match=r"no matrix\.selected; write `selected: \[\]`"):
        parameters.check(params)
