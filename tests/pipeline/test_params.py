"""Parameters: reading, checking, slices and settings of the command line."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from ruamel.yaml import YAML

from crgan.common.errors import UserError
from crgan.common.yaml import parse
from crgan.nets.reid import Backbone
from crgan.pipeline import params as parameters
from crgan.pipeline.identity import GROUPS
from crgan.pipeline.places import AS_IT_IS
from crgan.pipeline.sections import Network

ROOT = Path(__file__).resolve().parents[2]
CELL = {"method": "crgan", "source": "market1501", "target": "dukemtmc", "seed": 0}


@pytest.fixture
def params() -> dict[str, Any]:
    return parameters.load(ROOT / "params.yaml")


@pytest.fixture
def raw() -> dict[str, Any]:
    found: dict[str, Any] = parse((ROOT / "params.yaml").read_text())
    return found


def changed(raw: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The file's values with one replaced; missing sections on the way come to be."""
    found = copy.deepcopy(raw)
    home = found
    *parts, last = key.split(".")
    for part in parts:
        home = home.setdefault(part, {})
    home[last] = value
    return found


@pytest.mark.parametrize("profile", ["demo", "paper", "smoke"])
def test_every_profile_of_params_yaml_is_taken_by_the_methods(profile: str) -> None:
    assert parameters.load(ROOT / "params.yaml", [f"profile={profile}"])["profile"] == profile


def test_parameters_are_checked_without_torch_in_a_second() -> None:
    code = (
        "import sys, time; from crgan.pipeline import params; start = time.process_time(); "
        "params.load(); print(time.process_time() - start, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, torch = done.stdout.split()
    assert torch == "False"
    assert float(seconds) < 2  # a loaded machine's; 0.5 s alone


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("loss.lambda_con", -5, r"loss\.lambda_con is -5; it must be 0 at least"),
        ("loss.lambda_con", float("nan"), r"loss\.lambda_con is nan; it must be a number"),
        ("loss.lambda_kon", 1, r"loss\.lambda_kon: no such key; the keys here: lambda_adv"),
        ("gan", None, "gan is None; it must be keys and values"),
        ("gan.flip", 1, r"gan\.flip is 1; it must be true or false"),
        ("gan.context_norm", "l1", r"gan\.context_norm is 'l1'; use one of rms, mse"),
        ("gan.pathway_kernel", 4, None),  # the profile's own lies over it
        ("profiles.demo.gan.pathway_kernel", 4, r"profiles\.demo\.gan\.pathway_kernel .* odd"),
        ("profiles.demo.gan.levells", 3, r"profiles\.demo\.gan\.levells: no such key"),
        ("profiles.demo.loss", {"lambda_id": 2.0}, "a profile changes scale only"),
        ("profiles.demo.run.threads", 0, r"profiles\.demo\.run\.threads is 0"),
        ("profiles.demo.image.train", [64], r"profiles\.demo\.image\.train .* a list of 2"),
        ("profiles.demo.data.viper", {"source": "x"}, r"section data has no viper"),
        ("profiles.demo.data.cuhk03.sorce", "x", r"data\.cuhk03\.sorce: no such key"),
        ("profiles.site.v2", {}, "profiles.site has no section data"),
        ("cyclegan.pool", -1, r"cyclegan\.pool is -1"),
        ("translators.spgan.margin", 0, r"translators\.spgan\.margin is 0; it must be above 0"),
        ("adaptation.taudl.pctd", "mean", r"adaptation\.taudl\.pctd is 'mean'"),
        ("adaptation.hhl.stargan_flip", 2, r"adaptation\.hhl\.stargan_flip is 2"),
        ("adaptation.pull", {}, r"adaptation\.pull: there is no crgan/adaptation/pull\.py"),
        ("adaptation.pul.iterations", 3, r"adaptation\.pul\.iterations: no such key"),
        ("adaptation.buc.rounds", 40, "rounds is 40 with merge_share 0.05"),
        ("handcrafted.umdl.gamma", 0.0, r"handcrafted\.umdl\.gamma is 0\.0"),
        ("handcrafted.lomo.image", [128], r"handcrafted\.lomo\.image"),
        ("masks.grabcut.outside", 0.5, r"masks\.grabcut\.outside is 0\.5"),
        ("profiles.demo.masks.backend", "sam", r"masks\.backend is 'sam'; use one of grabcut"),
        ("profiles.demo.data.cuhk03.protocl", "new", r"data\.cuhk03\.protocl: no such key"),
        ("data.cuhk03.protocol", "old", r"data\.cuhk03\.protocol is 'old'; use one of all, new"),
        ("data.cuhk03.layout", "cuhk04", r"layout is 'cuhk04'; use one of cuhk03"),
        ("data.cuhk03.options", {}, r"data\.cuhk03\.options: no such key"),
        ("masks.splits", ["query"], "name each once, and train among them"),
        ("finetune.erasing", 0.5, r"finetune\.erasing: no such key"),
        ("cnn.flip", 2, r"cnn\.flip is 2; it must be 1 at most"),
        ("evaluate.rerank.k1", 0, r"evaluate.*k1"),
        ("extra", {}, "no section 'extra'"),
        ("matrix", "text", "matrix is 'text'; leave it out: methods and pairs make it"),
        ("seeds", [100.0], r"seeds has 100\.0; give whole numbers"),
        ("seeds", [0, 0], "give different numbers"),
        ("seeds", [2**32], "no seed from"),
        ("profiles.demo.gan.levels", 6, r"64x32; with gan\.levels 6 both must be multiples of 64"),
        ("methods.wo_camera_loss.options", {"levels": 6}, "both must be multiples of 64"),
        ("profiles.demo.cyclegan.discriminator_layers", 9, "too small for cyclegan"),
        ("profiles.demo.adaptation.hhl.stargan_discriminator_layers", 7, "multiples of 128"),
        ("handcrafted.bow.image", [127, 64], "no whole number of cells"),
        ("handcrafted.umdl.scales", 9, r"handcrafted\.umdl: lomo: .* use fewer scales"),
        ("profiles.demo.image.store", [100_000, 64], "it must be 4096 at most"),
        ("profiles.demo.run.threads", 10**9, "it must be 4096 at most"),
        ("profiles.demo.cnn.backbone", "vgg", "use one of small, resnet50, mobilenetv2"),
        ("profiles.demo.data.cuhk03.expect", "maybe", "use one of published, none"),
        ("profiles.demo.data.cuhk03.max_pixels", -5, "it must be 1 at least"),
        ("selection.held_out", ["x;touch y"], "selection.held_out has the name 'x;touch y'"),
        ("methods.crgan.label", "a|b", r"methods\.crgan\.label is 'a|b'; a label is one line"),
        ("methods.crgan.label", "a\nb", "a label is one line"),
        ("methods.crgan.label", " ", "a label is one line"),
        ("methods.crgan.label", "=1+1", "which a spreadsheet would calculate"),
        ("methods.pul.model", "base", r"crgan/adaptation/base\.py is no method .* it lacks adapt"),
        ("methods.crgan.model", "losses", r"crgan/gan/losses\.py is no method"),
        ("methods.bow.model", "chunks", r"it lacks fit"),
        ("seeds", 3, "seeds is 3"),
        ("profile", "big", "known profiles: demo, study, paper, smoke"),
        ("profile", [], r"profile is \[\]; known profiles"),
        ("methods", 3, "methods is 3; it must have a line for each method"),
        ("methods.x;touch y", {}, "has the name 'x;touch y'; use small letters"),
        ("methods.crgan", "text", r"methods\.crgan is 'text'"),
        ("methods.crgan.options", {"lambda_x": 1}, r"methods\.crgan\.options\.lambda_x: no such"),
        ("methods.crgan.options", {"lambda_id": -1}, r"methods\.crgan\.options\.lambda_id is -1"),
        ("methods.crgan.labl", "x", r"methods\.crgan\.labl: no such key"),
        ("methods.crgan.label", "SPGAN", "both have the label 'SPGAN'"),
        ("methods.crgan.model", "nogan", r"methods\.crgan: there is no crgan/gan/nogan\.py"),
        ("methods.crgan.model", "../x", "use small letters"),
        ("methods.crgan.pairs", ["mian"], r"methods\.crgan\.pairs has .mian.; pairs has main"),
        ("methods.crgan.kind", "gann", r"methods\.crgan\.kind is 'gann'; use one of gan"),
        ("methods.crgan.uses", ["magic"], r"methods\.crgan\.uses is 'magic'; use one of source"),
        ("methods.crgan.start", "fresh", "a method of kind gan has none"),
        ("methods.pul.start", "nobody", r"methods\.pul\.start is 'nobody'; use d_id, fresh"),
        ("methods.pul.start", "bow", "use fresh, d_id/<source> or reid"),
        ("methods.pul.beyond", ["table9"], "beyond has 'table9'; write table6"),
        ("methods.crgan_set.start", "spgan", "'spgan' is no GAN"),
        ("pairs.main", ["market1501 to viper"], "of the data sets market1501, dukemtmc"),
        ("pairs.main", ["market1501 to market1501"], "one data set is source and target"),
        ("pairs.main", "market1501 to dukemtmc", "it must be a list"),
        ("chosen.x", {"methods": ["none"], "what": "a", "how": "b"}, "method 'none'"),
        ("masks.size", 3, r"masks\.size"),
        ("profiles.paper.data.cuhk03.source", "$NOWHERE/x", "no such folder or variable"),
        ("profiles.paper.weights.backbone", "/disk/$NOWHERE/x", "no such folder or variable"),
    ],
)  # fmt: skip
def test_what_no_method_takes_is_refused_by_name(
    raw: dict[str, Any], tmp_path: Path, key: str, value: Any, message: str | None
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(changed(raw, key, value), sort_keys=False))
    if message is None:
        parameters.load(path)
        return
    with pytest.raises(UserError, match=message) as refused:
        parameters.load(path)
    assert str(path) in str(refused.value)


def test_the_backbones_are_those_that_are_built() -> None:
    backbones = get_args(get_type_hints(Network)["backbone"])
    assert backbones == get_args(Backbone)


def test_a_home_folder_and_a_variable_are_what_they_mean(
    raw: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("DISK", "/disk")
    monkeypatch.setenv("WHO", "me")
    raw = changed(raw, "profiles.paper.data.market1501.source", "~/market")
    raw = changed(raw, "profiles.paper.weights.backbone", "$DISK/own.pt")
    raw = changed(raw, "profiles.paper.weights.parsing", "/mnt/$WHO/own.pt")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    paper = parameters.load(tmp_path / "params.yaml")["profiles"]["paper"]
    assert paper["data"]["market1501"]["source"] == "/home/somebody/market"
    assert paper["weights"]["backbone"] == "/disk/own.pt"
    assert paper["weights"]["parsing"] == "/mnt/me/own.pt"


def test_sections_take_what_they_do_not_say(raw: dict[str, Any], tmp_path: Path) -> None:
    raw = changed(raw, "cnn.weight_decay", 0.25)
    raw = changed(raw, "adaptation.taudl.flip", 0.75)
    raw = changed(raw, "handcrafted.lomo.step", 2)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    params = parameters.load(tmp_path / "params.yaml")
    assert params["finetune"]["weight_decay"] == 0.25
    assert params["adaptation"]["taudl"]["weight_decay"] == 0.25
    assert params["adaptation"]["taudl"]["flip"] == 0.75
    assert "warmup" not in params["adaptation"]["cluster_contrast"]  # it has no such key
    assert params["handcrafted"]["umdl"]["step"] == 2
    assert params["pretrain_cam"]["weight_decay"] != 0.25  # a recipe of its own


def test_what_is_resolved_can_be_loaded_again(params: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    assert parameters.load(tmp_path / "params.yaml") == params


def test_dvc_exp_run_keeps_every_comment_of_params_yaml(tmp_path: Path) -> None:
    from dvc.utils.hydra import apply_overrides

    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    apply_overrides(str(path), ["loss.lambda_con=10"])
    assert parameters.load(path)["loss"]["lambda_con"] == 10
    comments = [
        re.findall(r"(?:^| )#.*", p.read_text(), re.M) for p in (ROOT / "params.yaml", path)
    ]
    before, after = ([text.strip() for text in found] for found in comments)
    assert sorted(after) == sorted(before)


def test_every_profile_has_every_section_a_slice_asks_for(params: dict[str, Any]) -> None:
    for profile in params["profiles"]:
        params["profile"] = profile
        for stage in parameters.SLICES:
            cells = [c for group in GROUPS.get(stage, ()) for c in params["matrix"][group]]
            for own in [c for c in cells if c.get("model") != AS_IT_IS] or [{}]:
                cell = {**CELL, **own, "dataset": "market1501", "role": "backbone"}
                assert parameters.slice_of(stage, params, **cell), (profile, stage)


@pytest.mark.parametrize(
    "text", ["1e-4", "1.5e3", "-2E5", "5", "5.0", "on", "yes", "true", "~", ".5"]
)
def test_yaml_means_here_what_it_means_to_dvc(text: str) -> None:
    ours = parse(f"key: {text}")["key"]
    dvc = YAML(typ="safe").load(StringIO(f"key: {text}"))["key"]
    assert (ours, type(ours)) == (dvc, type(dvc))


def test_a_stage_sees_its_slice_and_nothing_else(params: dict[str, Any]) -> None:
    seen = parameters.slice_of("train_gan", params, **CELL)
    assert set(seen) == {"image", "run", "loss", "gan", "options"}
    assert "store" not in seen["image"]
    shown = {"profile", "matrix", "methods", "beyond", "chosen"}
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


def test_settings_are_laid_over_the_file_before_it_is_resolved() -> None:
    settings = ["loss.lambda_con=7", "cnn.flip=0.25", "seeds=[0, 1]"]
    found = parameters.load(ROOT / "params.yaml", settings)
    assert found["loss"]["lambda_con"] == 7
    assert found["finetune"]["flip"] == 0.25
    assert found["matrix"]["seeds"] == [0, 1]
    for setting, message in (
        ("loss.lambda_kon=1", "lambda_kon"),
        ("los.lambda_con=1", "no section 'los'"),
        ("loss.lambda_con.x=1", "no section 'lambda_con'"),
        ("loss.lambda_con", "key=value"),
        ("loss.lambda_con=[", "not valid YAML"),
        ("profile=none", "known profiles: demo, study, paper, smoke"),
    ):
        with pytest.raises(UserError, match=message):
            parameters.load(ROOT / "params.yaml", [setting])


def test_config_of_snakemake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert parameters.effective({}) == parameters.load("params.yaml")
    paper = parameters.effective({"profile": "paper", "set": ["loss.lambda_con=7"]})
    assert (paper["profile"], paper["loss"]["lambda_con"]) == ("paper", 7)
    assert parameters.effective({"set": "loss.lambda_con=7"})["loss"]["lambda_con"] == 7
    with pytest.raises(UserError, match=r"lambda_con=.*: unknown"):
        parameters.effective({"lambda_con": "7"})
    for nothing in (None, 5, {"a": 1}, [5]):
        with pytest.raises(UserError, match=r"write --config 'set=\[loss"):
            parameters.effective({"set": nothing})
    with pytest.raises(UserError, match="in quotes"):
        parameters.effective({"set": "[seeds=[0, 1]]"})


def test_a_snapshot_is_what_was_asked_for(
    params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = parameters.load(ROOT / "params.yaml", ["gan.lr=1e-5"])
    path = parameters.snapshot(found)
    monkeypatch.setenv(parameters.ENVIRONMENT, str(path))
    assert parameters.load() == found
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
        ({"matrix.selected": None}, r"no list matrix\.selected; write `selected: \[\]`"),
        ({"matrix.gan.0": "text"}, "a cell has source and target"),
        ({"matrix.gan.0": {"source": "market1501", "target": "dukemtmc"}}, "has the texts method"),
        ({"matrix.adapt.0.start": ["fresh"]}, "has the texts method, model, source, target, start"),
        ({"matrix.selected.0.model": "x;y"}, "has the texts method, source, target"),
        ({"matrix.sources": [["market1501"]]}, "it has names of data sets"),
        ({"beyond": {"../x": ["a"]}}, "leave it out: lines of methods make it"),
        ({"beyond": {"6": "text"}}, "leave it out: lines of methods make it"),
    ],
)  # fmt: skip
def test_a_matrix_that_contradicts_itself_is_refused(
    params: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    for key, value in change.items():
        home: Any = params
        *parts, last = key.split(".")
        for part in parts:
            home = home[int(part) if part.isdigit() else part]
        home[int(last) if last.isdigit() else last] = value
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(UserError, match=message):
        parameters.load(tmp_path / "params.yaml")


def test_files_that_are_no_parameters(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such parameter file"):
        parameters.load(tmp_path / "params.yaml")
    for text, message in (("a: [1", "not valid YAML"), ("a: 1", "no section 'profiles'")):
        (tmp_path / "params.yaml").write_text(text)
        with pytest.raises(UserError, match=message):
            parameters.load(tmp_path / "params.yaml")
