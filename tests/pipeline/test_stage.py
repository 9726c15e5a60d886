"""The frame every stage runs in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from crgan.common.errors import UserError
from crgan.common.io import read_json
from crgan.pipeline import params as parameters
from crgan.pipeline.records import record_path
from crgan.pipeline.stage import Run, StageParser, run_stage

ROOT = Path(__file__).resolve().parents[2]
OUT = "results/demo/cells/crgan/market1501-dukemtmc/seed0.json"
ARGV = ["--method", "crgan", "--seed", "3", "--reid", "model.pt", "--out"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(parameters.ENVIRONMENT, raising=False)
    shutil.copyfile(ROOT / "params.yaml", "params.yaml")
    Path("model.pt").write_text("model")
    return tmp_path


def parser() -> StageParser:
    made = StageParser("evaluate", "Evaluate.")
    made.cell("--method")
    made.cell("--seed", type=int)
    made.cell("--source", required=False)
    made.input("--reid")
    made.output("--out")
    return made


def write(args: Any, run: Run) -> None:
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("{}")


def test_the_body_gets_its_cell_slice_seed_and_threads() -> None:
    seen: list[Run] = []

    def body(args: Any, run: Run) -> None:
        seen.append(run)
        assert os.environ["OMP_NUM_THREADS"] == "1"
        write(args, run)

    run_stage(parser(), body, [*ARGV, OUT])
    run = seen[0]
    assert (run.seed, run.threads, run.device, run.profile) == (3, 1, "cpu", "demo")
    assert run.cell == {"profile": "demo", "method": "crgan", "seed": 3}  # no source: not given
    assert set(run.params) == {"image", "run", "evaluate"}
    assert run.checkpoint_path.name == f"{run.key[:24]}.pt"
    assert read_json(record_path(OUT))["key"] == run.key


def test_the_key_follows_parameters_and_inputs() -> None:
    keys = set()
    for text, seed in (("model", "3"), ("model2", "3"), ("model", "4"), ("model", "3")):
        Path("model.pt").write_text(text)
        argv = [*ARGV, OUT]
        argv[3] = seed
        run_stage(parser(), write, argv)
        keys.add(read_json(record_path(OUT))["key"])
    assert len(keys) == 3


def test_a_missing_input_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("model.pt").unlink()
    with pytest.raises(SystemExit) as caught:
        run_stage(parser(), write, [*ARGV, OUT])
    assert caught.value.code == 2
    assert "stage evaluate needs model.pt: not there" in capsys.readouterr().err
    assert not Path(OUT).exists()


def test_an_error_of_the_user_leaves_no_record(capsys: pytest.CaptureFixture[str]) -> None:
    def body(args: Any, run: Run) -> None:
        raise UserError("model.pt: 3 classes; train it again")

    with pytest.raises(SystemExit):
        run_stage(parser(), body, [*ARGV, OUT])
    assert "python -m stages.evaluate: model.pt: 3 classes" in capsys.readouterr().err
    assert not record_path(OUT).exists()


def test_a_defect_of_ours_keeps_its_trace() -> None:
    with pytest.raises(ZeroDivisionError):
        run_stage(parser(), lambda args, run: 1 // 0, [*ARGV, OUT])  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        run_stage(parser(), lambda args, run: None, [*ARGV, OUT])


def test_an_input_replaced_while_it_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    def replaced(args: Any, run: Run) -> None:
        write(args, run)
        Path("model.pt").write_text("other")

    with pytest.raises(SystemExit):
        run_stage(parser(), replaced, [*ARGV, OUT])
    assert "model.pt: changed while this stage was reading it" in capsys.readouterr().err
    assert not record_path(OUT).exists()

    def touched(args: Any, run: Run) -> None:
        write(args, run)
        os.utime("model.pt", (9, 9))

    run_stage(parser(), touched, [*ARGV, OUT])
    assert record_path(OUT).is_file()


def test_one_profiles_numbers_do_not_go_into_anothers_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run_stage(parser(), write, [*ARGV, OUT.replace("demo", "paper")])
    assert "is of profile 'paper', but the parameters say 'demo'" in capsys.readouterr().err
    run_stage(parser(), write, [*ARGV, "elsewhere/paper/seed0.json"])


def test_a_folder_stands_for_one_file_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    params = parameters.load(settings=["seeds=[0, 2]"])
    monkeypatch.setenv(parameters.ENVIRONMENT, str(parameters.snapshot(params)))
    made = StageParser("make_table", None)
    made.input("--cells", nargs="*", inside="seed{seed}.json")
    made.output("--out")
    for name in ("a/seed0.json", "a/seed1.json", "a/seed2.json", "b.json"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("{}")
    seen: list[Any] = []

    def body(args: Any, run: Run) -> None:
        seen.extend(args.cells)
        write(args, run)

    run_stage(made, body, ["--cells", "a", "b.json", "--out", "results/t.csv"])
    assert seen == [Path("a/seed0.json"), Path("a/seed2.json"), Path("b.json")]
    recorded = read_json("results/t.prov.json")["inputs"]
    assert sorted(recorded) == ["a/seed0.json", "a/seed2.json", "b.json"]


def test_device() -> None:
    with pytest.raises(UserError, match=r"run\.device is 'tpu'; use one of cpu, cuda, auto"):
        parameters.load(settings=["profiles.demo.run.device=tpu"])
