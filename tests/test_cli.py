"""The command `crgan` and the public names of the package."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import crgan
from crgan import cli

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"cv2", "jinja2", "matplotlib", "numpy", "rich", "scipy", "torch", "yaml"}


def said(argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


def test_help_names_every_command_and_gives_examples(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(["--help"], capsys)
    assert status == 0
    for command in (
        "adapt",
        "adopt",
        "claims",
        "datasets",
        "export",
        "live",
        "rebuild",
        "record",
        "render",
        "report",
        "search",
        "trace",
        "verify",
    ):
        assert f"\n    {command} " in out
    assert 'crgan trace results/table6.csv --cell "CR-GAN+LMP"' in out


def test_the_examples_are_commands_that_there_are() -> None:
    lines = [line.split("   ")[0] for line in cli.EXAMPLES.splitlines() if "  crgan " in line[:8]]
    examples = [line.strip().removeprefix("crgan ") for line in lines]
    known = set(cli.parser()._subparsers._group_actions[0].choices or ())  # type: ignore[union-attr]
    commands = {example.split()[0] for example in examples} - {"", "COMMAND", "--print-completion"}
    assert len(commands) >= 4
    assert commands <= known


def test_help_loads_no_library() -> None:
    code = "import sys; from crgan.cli import parser; parser().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "crgan.cli" in done.stdout.split()
    assert not HEAVY & {module.partition(".")[0] for module in done.stdout.split()}


@pytest.mark.parametrize(("shell", "word"), [("bash", "COMPREPLY"), ("zsh", "#compdef crgan")])
def test_completions_know_commands_and_their_options(
    shell: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = said(["--print-completion", shell], capsys)
    assert status == 0
    assert word in out
    assert "trace" in out
    assert "--same-camera" in out
    if shutil.which(shell):
        (tmp_path / "completion").write_text(out)
        subprocess.run([shell, "-n", str(tmp_path / "completion")], check=True)


def test_bash_completes_a_command_and_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "completion").write_text(said(["--print-completion", "bash"], capsys)[1])
    script = (
        f'source "{tmp_path}/completion"; '
        'complete_line() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_crgan; '
        'echo "${COMPREPLY[*]}"; }; complete_line crgan sea; complete_line crgan search --same'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["search", "--same-camera"]


def test_a_users_mistake_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = said(["trace", "nowhere/table6.csv", "--cell", "CR-GAN"], capsys)
    assert status == 2
    assert err.startswith("crgan trace: nowhere/table6.csv: ")
    assert err.count("\n") == 1


def test_a_place_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for camera in ("a", "b"):
        for i in range(20):
            path = tmp_path / "site" / camera / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 128), (i, i, i)).save(path)
    for place, told in (("/proc/nowhere", "No such file"), ("/dev/null", "a file stands where")):
        with pytest.raises(SystemExit) as ended:
            cli.main(["adapt", "--target", str(tmp_path / "site"), "--out", place])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith(f"crgan adapt: {place}")
        assert told in said
        assert said.count("\n") == 1


def test_claims_says_how_to_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = said(["claims"], capsys)
    assert status == 2
    assert err.startswith("crgan claims: results/claims.md: not there; make it: snakemake ")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/claims.md").write_text("all hold\n")
    assert said(["claims"], capsys)[:2] == (0, "all hold\n")


def test_every_public_name_is_there_and_typed() -> None:
    for name in crgan.__all__:
        assert getattr(crgan, name) is not None
    tree = ast.parse((ROOT / "crgan/__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.asname for node in block.body for alias in node.names}  # type: ignore[attr-defined]
    assert typed == set(crgan._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = crgan.nothing


def test_a_ranking_in_three_lines() -> None:
    features = np.eye(2, dtype=np.float32)
    pids, first, second = np.array([1, 2]), np.array([1, 1]), np.array([2, 2])
    ranking = crgan.evaluate(features, features, pids, first, pids, second, ap="step")
    assert (ranking.mAP, ranking.rank1) == (100, 100)


def test_parameters_are_found_outside_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert crgan.load_params()["loss"]["lambda_con"] == 5
