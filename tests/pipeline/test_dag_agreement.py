"""Snakemake's rules and DVC's stages expand to the same graph, in every profile."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from crgan.common.io import sha256_file
from crgan.pipeline import params as parameters
from crgan.pipeline.code import code_of
from crgan.pipeline.recipes import recipes
from crgan.pipeline.records import record_path
from tests import stub_project
from tests.graphs import Graph, Job, dvc_graph, snakemake_graphs
from tests.stub_project import ROOT

PROFILES = ("demo", "paper", "smoke")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stub_project.make(tmp_path_factory.mktemp("project"), {"matrix.seeds": [0, 1]})


@pytest.fixture(scope="module")
def snakemake(project: Path) -> dict[str, Graph]:
    return snakemake_graphs(project, *PROFILES)


@pytest.fixture(scope="module")
def dvc(project: Path) -> dict[str, Graph]:
    return {profile: dvc_graph(project, profile) for profile in PROFILES}


def is_source(name: str) -> bool:
    """A source file, of which Snakemake knows and DVC is told by the recipe."""
    return name.startswith(("stages/", "crgan/")) or name == "weights.yaml"


def data(job: Job, graph: Graph) -> set[str]:
    """A job's inputs that are no source files, folders replaced by what is made in them."""
    found = set()
    for name in job.inputs:
        inside = {o for outputs in graph for o in outputs if o.startswith(f"{name}/")}
        if not is_source(name):
            found |= {o for o in inside if not o.endswith(".prov.json")} or {name}
    return found


@pytest.mark.parametrize("profile", PROFILES)
def test_same_outputs_commands_and_inputs(
    project: Path, snakemake: dict[str, Graph], dvc: dict[str, Graph], profile: str
) -> None:
    ours, theirs = snakemake[profile], dvc[profile]
    matrix = parameters.load(project / "params.yaml")["matrix"]
    assert ours.keys() == theirs.keys()
    cells = {name: len(cells) for name, cells in matrix.items() if name != "seeds"}
    a_seed = sum(cells[name] for name in ("sources", "targets", "translators")) + 1  # fresh_cnn
    # GAN, fine-tuning and scores; adaptation or description and scores; set, fine-tuning, scores;
    # LPIPS and FID, judges, rank lists
    for group, jobs in (
        ("gan", 3),
        ("adapt", 2),
        ("handcrafted", 2),
        ("rendered", 3),
        ("visual", 3),
        ("selected", 1),
    ):
        a_seed += jobs * cells[group]
    # weights, data sets and their masks, judges; Figures 5, 6 and 7; tables
    once = 4 + 2 * cells["datasets"] + 2 * cells["renderings"] + cells["judges"] + 1 + 7 + 1
    once += 7 + 5 + 1  # intervals beside each table; CMC curves of those with ranks; claims
    assert len(ours) == 2 * a_seed + once
    for outputs, job in ours.items():
        assert job.argv == theirs[outputs].argv
        assert data(job, ours) == data(theirs[outputs], theirs), job.argv


@pytest.mark.parametrize("profile", PROFILES)
def test_same_names(snakemake: dict[str, Graph], dvc: dict[str, Graph], profile: str) -> None:
    for outputs, job in snakemake[profile].items():
        name = dvc[profile][outputs].name
        words = dict(zip(job.argv, job.argv[1:], strict=False))
        derived = {  # stages that dvc.yaml lists one by one
            "make_table": f"_{words.get('--table')}",
            "bound_table": f"_{words.get('--table')}",
            "tabulate_cmc": f"_{words.get('--table')}",
            "draw_methods": f"_{words.get('--source')}_{words.get('--target')}",
        }
        assert name == job.name + derived.get(job.name, "")


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_sources_and_parameters(
    project: Path, snakemake: dict[str, Graph], dvc: dict[str, Graph], profile: str
) -> None:
    """Snakemake depends on each source and compares the slice; DVC's recipe says just these."""
    params = parameters.load(project / "params.yaml", [f"profile={profile}"])
    texts = {path.as_posix(): text for path, text in recipes(params).items()}
    for outputs, job in snakemake[profile].items():
        recipe = json.loads(texts[dvc[profile][outputs].recipe])
        sources = {name: sha256_file(ROOT / name) for name in job.inputs if is_source(name)}
        assert recipe == {"sources": sources, "params": json.loads(job.slice)}, job.argv
        assert f"stages/{job.program}.py" in sources
    read = {job.recipe for job in dvc[profile].values()}
    assert read == texts.keys()


def test_every_job_writes_a_record_beside_each_output(snakemake: dict[str, Graph]) -> None:
    for outputs in snakemake["demo"]:
        files = {name for name in outputs if not name.endswith(".prov.json")}
        assert {str(record_path(name)) for name in files} == outputs - files


def test_what_the_rules_declare_is_what_the_stages_read_and_write(
    snakemake: dict[str, Graph],
) -> None:
    """The real stages' own parsers, given the rules' command lines."""
    for job in snakemake["demo"].values():
        parser = importlib.import_module(f"stages.{job.program}").parser
        args = parser.parse_args(job.argv[3:])
        read: set[str] = set()
        for name, beside in parser.inputs.items():
            value = getattr(args, name)
            for path in value if isinstance(value, list) else [value] if value else []:
                pattern = parser.inside.get(name, "")
                inside = (
                    [path / pattern.format(seed=seed) for seed in (0, 1)] if pattern else [path]
                )
                read |= {str(p) for p in inside} | {str(path.parent / other) for other in beside}
        assert read == {name for name in job.inputs if not is_source(name)}, job.argv
        written = {str(getattr(args, name)) for name in parser.outputs}
        assert written == {name for name in job.outputs if not name.endswith(".prov.json")}
        model = getattr(args, "model", None)
        assert set(code_of(job.program, model)) == {n for n in job.inputs if is_source(n)}


def test_training_takes_the_gpu_only_where_there_may_be_one(snakemake: dict[str, Graph]) -> None:
    for profile, expected, threads in (("demo", 0, 1), ("paper", 1, 8)):
        jobs = [job for job in snakemake[profile].values() if job.name == "train_gan"]
        assert {(job.gpu, job.threads) for job in jobs} == {(expected, threads)}
        tables = [job for job in snakemake[profile].values() if job.name == "make_table"]
        assert {(job.gpu, job.threads) for job in tables} == {(None, 1)}


def test_no_two_jobs_write_one_file(snakemake: dict[str, Graph]) -> None:
    for graph in snakemake.values():
        written = [name for outputs in graph for name in outputs]
        assert len(written) == len(set(written))


def test_dvc_yaml_is_fresh(tmp_path: Path) -> None:
    stub_project.run(ROOT, "python", "-m", "crgan.pipeline", "dvc-yaml", "--check")
