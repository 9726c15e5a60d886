"""The commands around the engines, and how Snakemake is told of wrong use."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from crgan.common.errors import UserError
from crgan.pipeline.preflight import require
from crgan.pipeline.workflow import LOOK_ONLY, runs_jobs
from tests.stub_project import ROOT, SMALL, make, run, set_params, starts

WEIGHTS = "artifacts/demo/weights/lpips.pt"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("commands") / "project", SMALL, tables=(2, 6))


def snakemake(folder: Path, *words: str, check: bool = True) -> str:
    return run(folder, "snakemake", "--cores", "2", *words, check=check)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--cores all results/table6.csv", True),
        ("--cores all results/table6.csv --config profile=paper", True),
        ("-c2 -F", True),
        ("-c2 --report report.html --report-after-run", True),
        ("-n", False),
        ("-np -c1", False),
        ("--dry-run", False),
        ("--lint", False),
        ("--report", False),
        ("--report report.zip", False),
        ("--dag", False),
        ("--unlock", False),
        ("--touch -c1", False),
        ("--summary", False),
        ("--delete-all-output -c1", False),
        ("--list-rules", False),
        ("--cleanup-metadata results/table6.csv", False),
    ],
)
def test_command_lines_that_run_jobs(
    words: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert runs_jobs(["/somewhere/bin/snakemake", *words.split()]) is expected
    assert runs_jobs(["/site-packages/snakemake/__main__.py", *words.split()]) is expected


def test_a_locked_folder_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["/bin/snakemake", "--cores", "1"]
    assert runs_jobs(command)
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    assert runs_jobs(command)
    (tmp_path / ".snakemake/locks/0.input.lock").touch()
    assert not runs_jobs(command)
    assert runs_jobs([*command, "--nolock"])


def test_another_program_runs_no_jobs() -> None:
    assert not runs_jobs(["/bin/pytest", "--cores", "all"])


def test_every_option_that_only_looks_is_known_to_snakemake() -> None:
    from snakemake.cli import get_argument_parser

    args = get_argument_parser().parse_args([])
    for option in LOOK_ONLY:
        assert getattr(args, option) in (None, False), option


def test_wrong_config_is_refused_by_name(project: Path) -> None:
    for config, message in (
        ("profile=big", "known profiles: demo, paper, smoke"),
        ("lambda_con=5", "lambda_con=...: unknown"),
        ("set=[loss.lambda_kon=5]", "no key 'loss.lambda_kon'"),
        ("set=[loss.lambda_con=high]", "'high' is not of type 'number'"),
    ):
        told = snakemake(project, "-n", "results/table6.csv", "--config", config, check=False)
        assert message in told
    unknown = WEIGHTS.replace("weights/lpips", "gan/ptgan/market1501-dukemtmc/seed0")
    assert "MissingRuleException" in snakemake(project, "-n", unknown, check=False)


def test_all_that_is_missing_is_listed_before_anything_runs(project: Path) -> None:
    told = snakemake(project, "results/table6.csv", "--config", "profile=paper", check=False)
    for needed in ("resources/market1501 is not there", "resources/dukemtmc is not there",
                   "resnet50-0676ba61.pth", "pose_landmark_full.tflite"):  # fmt: skip
        assert needed in told
    assert "cuhk03" not in told  # this table needs none
    assert starts(project) == []
    assert not (project / "artifacts/paper").exists()
    snakemake(project, WEIGHTS)  # no lock was left
    assert starts(project) == [f"fetch_weights {WEIGHTS}"]


def test_preflight(project: Path) -> None:
    assert "nothing is missing" in run(project, "python", "-m", "crgan.pipeline", "preflight")
    before = (project / "params.yaml").read_text()
    set_params(project, {"profile": "paper"})
    starts(project)
    told = run(project, "python", "-m", "crgan.pipeline", "preflight", check=False)
    dvc = run(project, "dvc", "repro", check=False)
    (project / "params.yaml").write_text(before)
    for message in (told, dvc):
        assert "dukemtmc: resources/dukemtmc is not there" in message
        assert "market1501: resources/market1501 is not there" in message
        assert "resnet50" in message
    assert starts(project) == []  # before anything ran


@pytest.mark.parametrize(("folder", "queued"), [(".dvc/tmp/exps/tmpx", True), ("home", False)])
def test_an_experiment_of_a_queue_is_told_where_its_data_are(
    folder: str, queued: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC gives it a folder of its own, without what Git ignores."""
    (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / folder)
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"profile": "paper"}
    with pytest.raises(UserError, match="resources/market1501 is not there") as told:
        require(params, ["market1501"], [])
    assert ("run `dvc repro prepare_data fetch_weights`" in str(told.value)) == queued


def test_a_part_that_is_built_is_recorded(project: Path) -> None:
    snakemake(project, WEIGHTS)
    told = run(project, "python", "-m", "crgan.pipeline", "commit")
    assert re.search(r"3 stages recorded in dvc\.lock, \d+ not built", told)
    starts(project)
    run(project, "dvc", "repro", "-q", "fetch_weights@lpips")
    assert starts(project) == []
    (project / "dvc.lock").unlink()


def test_a_matrix_that_dvc_yaml_does_not_know_is_refused(project: Path) -> None:
    before = (project / "params.yaml").read_text()
    set_params(project, {"matrix.adapt": []})
    told = run(project, "dvc", "repro", "write_recipes", check=False)
    check = run(project, "python", "-m", "crgan.pipeline", "dvc-yaml", "--check", check=False)
    (project / "params.yaml").write_text(before)
    assert "python -m crgan.pipeline dvc-yaml" in told
    assert "is not fresh" in check


def test_the_report_needs_no_network(project: Path, tmp_path: Path) -> None:
    snakemake(project, "results/table6.csv", "results/figure5.png")
    report = tmp_path / "report.html"
    snakemake(project, "results/table6.csv", "results/figure5.png", "--report", str(report))
    text = report.read_text()
    assert "table6.csv" in text
    assert "figure5.png" in text
    assert not re.search(r"""(?:src|href)=["']?https?://[^"' ]+\.(?:js|css)""", text)


def test_both_snakefiles_build_the_same(project: Path) -> None:
    plans = []
    for words in ((), ("--snakefile", "workflow/Snakefile")):
        plan = snakemake(project, "-n", "-F", *words)
        plans.append(re.findall(r"^(\w+) +(\d+)$", plan, re.MULTILINE))
    assert plans[0] == plans[1]
    assert ("all", "1") in plans[0]


def test_jobs_use_the_python_that_runs_snakemake(project: Path) -> None:
    """Whether or not its environment is activated."""
    from tests.stub_project import clean_environment

    environment = clean_environment(project)
    folder, _, rest = environment["PATH"].partition(":")
    done = subprocess.run(
        [f"{folder}/snakemake", "--cores", "1", "--force", WEIGHTS],
        cwd=project, env={**environment, "PATH": rest}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
