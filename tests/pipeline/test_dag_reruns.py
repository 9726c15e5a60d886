"""Which jobs a changed parameter reaches, in each engine: the right ones, and the same ones."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crgan.pipeline import params as parameters
from crgan.pipeline.recipes import recipes
from tests import stub_project
from tests.graphs import Graph, Job, dvc_graph, snakemake_graphs

# Keys that decide which jobs there are, not what one of them does.
STRUCTURE = ("profile", "matrix", "methods")
BEFORE = {"prepare_data", "extract_masks", "pretrain_id", "pretrain_cam"}
EVALUATED = ("evaluate", "evaluate_adapted", "evaluate_rendered", "evaluate_features")
TRAINED = {"train_gan", "finetune", "evaluate", "render_set", "finetune_set", "evaluate_rendered",
           "adapt", "evaluate_adapted", "measure_images", "judge_images", "draw_renderings",
           "draw_methods", "draw_rank_lists", "make_table", "tabulate_renderings",
           "bound_table", "tabulate_cmc", "weigh_claims", "select"}  # fmt: skip
# Methods that begin with no GAN's work.
UNRENDERED = {"direct_transfer", "pul", "buc", "cluster_contrast"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stub_project.make(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def snakemake(project: Path) -> Graph:
    return snakemake_graphs(project, "demo")["demo"]


@pytest.fixture(scope="module")
def dvc(project: Path) -> Graph:
    return dvc_graph(project, "demo")


@pytest.fixture(scope="module")
def params(project: Path) -> dict[str, Any]:
    return parameters.load(project / "params.yaml")


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def changed(params: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """A copy in which one leaf has another value of its type."""
    params = copy.deepcopy(params)
    home = params
    for key in path[:-1]:
        home = home[key]
    home[path[-1]] = _another(home[path[-1]])
    return params


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    return [*value, 1] if isinstance(value, list) else {"new": 1}


def slice_of(job: Job, params: dict[str, Any]) -> Any:
    words = zip(job.argv, job.argv[1:], strict=False)
    cell = {flag.removeprefix("--"): value for flag, value in words if flag.startswith("--")}
    return parameters.canonical(parameters.slice_of(job.program, params, **cell))


def hit_in_snakemake(graph: Graph, params: dict[str, Any]) -> set[frozenset[str]]:
    return {o for o, job in graph.items() if slice_of(job, params) != json.loads(job.slice)}


def hit_in_dvc(graph: Graph, old: dict[Path, str], params: dict[str, Any]) -> set[frozenset[str]]:
    new = recipes(params)
    return {o for o, job in graph.items() if old[Path(job.recipe)] != new[Path(job.recipe)]}


def and_what_follows(graph: Graph, hit: set[frozenset[str]]) -> set[frozenset[str]]:
    """The jobs hit and all that read, directly or not, what they write."""
    reached = set(hit)
    while True:
        made = {name for outputs in reached for name in outputs}
        more = {o for o, job in graph.items() if job.inputs & made} - reached
        if not more:
            return reached
        reached |= more


def test_every_parameter_reaches_the_same_jobs_in_both_engines(
    snakemake: Graph, dvc: Graph, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crgan.pipeline.recipes.code_of", lambda *_: [])  # sources: another test's
    before = recipes(params)
    elsewhere = [p for p in leaves(params) if p[0] == "profiles" and p[1] != "demo"]
    for path in (set(leaves(params)) - set(elsewhere)) | set(elsewhere[::50]):
        if path[0] in STRUCTURE:
            continue
        other = changed(params, path)
        ours, theirs = hit_in_snakemake(snakemake, other), hit_in_dvc(dvc, before, other)
        assert ours == theirs, ".".join(path)


def _shadowed(params: dict[str, Any], path: tuple[str, ...], profile: str) -> bool:
    """Whether the profile sets the same key itself."""
    value: Any = params["profiles"][profile]
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return not isinstance(value, dict)


def _method(job: Job) -> str:
    return job.argv[job.argv.index("--method") + 1] if "--method" in job.argv else "crgan"


def test_every_parameter_is_read_by_some_job(snakemake: Graph, params: dict[str, Any]) -> None:
    """A key that no stage reads would be a promise the project does not keep."""
    for path in leaves(params):
        other = path[0] == "profiles" and path[1] != "demo"
        if path[0] in STRUCTURE or other:
            continue
        if _shadowed(params, path, "demo"):
            assert not all(_shadowed(params, path, name) for name in params["profiles"]), path
            continue
        assert hit_in_snakemake(snakemake, changed(params, path)), ".".join(path)


@pytest.mark.parametrize(
    ("key", "first", "untouched"),
    [
        ("loss.lambda_con", {"train_gan"}, BEFORE),
        ("gan.noise_std", {"train_gan"}, BEFORE),
        ("masks.grabcut.iterations", {"extract_masks"}, {"prepare_data", "pretrain_id"}),
        ("finetune.real_share", {"finetune", "finetune_set"},
         {"train_gan", "measure_images", "draw_renderings"}),
        ("evaluate.average_precision", {*EVALUATED, "draw_rank_lists", "select"},
         {"train_gan", "finetune", "measure_images"}),
        ("visual.fid_dims", {"measure_images"}, {"train_gan", "finetune", "evaluate"}),
        ("cyclegan.lambda_cycle", {"train_translation"}, {*BEFORE, "train_gan"}),
        ("translators.spgan.margin", {"train_translation"}, {*BEFORE, "train_gan"}),
        ("render_set.copies", {"render_set"}, {"train_gan", "train_translation", "finetune"}),
        ("judges.seed", {"train_judges", "judge_images"}, {"train_gan", "make_table", "evaluate"}),
        ("figures.people", {"draw_datasets", "draw_renderings", "draw_methods", "draw_rank_lists"},
         {"train_gan", "make_table", "measure_images"}),
        ("selection.neighbours", {"select"}, {"make_table", "evaluate", "weigh_claims"}),
        ("intervals.confidence", {"bound_table", "weigh_claims"}, {"make_table", "evaluate"}),
        ("pretrain_cam.weight_decay", {"pretrain_cam", "train_judges"},
         {"pretrain_id", "extract_masks"}),
    ],
)  # fmt: skip
def test_a_section_reruns_its_stage_and_what_follows(
    snakemake: Graph, params: dict[str, Any], key: str, first: set[str], untouched: set[str]
) -> None:
    hit = hit_in_snakemake(snakemake, changed(params, tuple(key.split("."))))
    assert {snakemake[outputs].name for outputs in hit} == first
    reached = [snakemake[outputs] for outputs in and_what_follows(snakemake, hit)]
    names = {job.name for job in reached}
    assert not names & untouched
    if first == {"train_gan"}:
        assert names == TRAINED
        assert not {_method(job) for job in reached} & UNRENDERED


def test_one_methods_options_rerun_its_cells_only(
    snakemake: Graph, dvc: Graph, params: dict[str, Any]
) -> None:
    changed_params = copy.deepcopy(params)
    changed_params["methods"]["wo_camera_loss"]["options"]["lambda_id"] = 0.5
    ours = hit_in_snakemake(snakemake, changed_params)
    assert ours == hit_in_dvc(dvc, recipes(params), changed_params)
    show_all = {
        "make_table",
        "draw_methods",
        "tabulate_renderings",
        "bound_table",
        "tabulate_cmc",
        "weigh_claims",
    }
    trained = {_method(snakemake[o]) for o in ours if snakemake[o].name not in show_all}
    assert trained == {"wo_camera_loss"}
    assert {snakemake[o].name for o in ours} == {"train_gan", *show_all}


def test_a_table_waits_for_the_cells_it_shows_and_no_others(snakemake: Graph) -> None:
    def methods(table: int) -> set[str]:
        job = next(j for o, j in snakemake.items() if f"results/table{table}.csv" in o)
        return {name.split("/")[3] for name in job.inputs if name.startswith("results/")}

    assert methods(1) == {"crgan", "wo_dual_cond"}
    assert methods(2) == {"crgan", "wo_dual_cond", "direct_transfer"}
    ablations = {"wo_identity_loss", "wo_camera_loss", "wo_context_loss"}
    assert methods(3) == {"crgan", *ablations}
    assert methods(4) == {"crgan", "spgan"}
    rivals = {"ptgan", "spgan"}
    assert methods(5) == {"crgan", "direct_transfer", "crgan_set", "m2mgan", *rivals}
    assert methods(6) >= {"crgan", "direct_transfer", "m2mgan", *rivals}
    assert methods(7) >= {"crgan", "direct_transfer", *rivals}
