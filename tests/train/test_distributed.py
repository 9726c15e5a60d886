"""Two processes on the CPU (gloo) against one: the same trainings give the same networks.

Tolerance: a tensor may differ by this share of its largest value, after 6 iterations. In float64
what is left is the order of sums; in float32 Adam enlarges it where a gradient is next to nothing.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from crgan.common import shares
from crgan.common.errors import UserError
from crgan.common.io import load_torch, read_json
from crgan.data.batches import Augmentation, TrainBatches
from crgan.gan.pairs import PairBatches
from crgan.pipeline import params as parameters
from crgan.pipeline import stage
from crgan.train import loop
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN
from tests import distributed_worker as worker
from tests.gan import test_stages as test_gan_stages
from tests.gan.test_stages import OUTPUTS, do_train, domains
from tests.gan_fakes import task

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = {"float32": 1e-4, "float64": 2e-11}
project = test_gan_stages.project  # two small domains, D_id and D_cam in a folder: a fixture
TRAININGS = ("gan", "classifier", "finetune")
VARIANTS = ("cyclegan", "finetune, half real")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one process has stopped and two have trained, gone on and stopped."""
    path = tmp_path_factory.mktemp("two")
    for name, train in worker.RESUMED.items():
        with pytest.raises(worker.Stopped):
            train(PLAIN, worker.Stopping(path / f"{name}-by-one.pt", 0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "tests.distributed_worker", str(path)]
    started = [
        subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **shared, "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]  # fmt: skip
    ends = [process.communicate(timeout=900)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(ends)
    return path


@pytest.fixture(scope="module")
def by_two(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "found.pt", weights_only=True)
    return found


@pytest.fixture(scope="module")
def by_one() -> dict[str, Any]:
    found = {"float32": worker.trainings(PLAIN)}
    with worker.doubles():
        found["float64"] = worker.trainings(PLAIN) | worker.variants(PLAIN)
    return found


def apart(a: dict[str, Any], b: dict[str, Any]) -> float:
    """The largest difference of two results' tensors, relative to each tensor's largest value."""
    assert a["state"].keys() == b["state"].keys()
    return max(_apart(tensor.double(), b["state"][k].double()) for k, tensor in a["state"].items())


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-12))


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for number in TOLERANCE for name in TRAININGS]
    + [(name, "float64") for name in VARIANTS],
)
def test_two_processes_do_what_one_does(
    name: str, number: str, by_one: dict[str, Any], by_two: dict[str, Any]
) -> None:
    one, two = by_one[number][name], by_two[number][name]
    assert apart(one, two) < TOLERANCE[number]
    assert len(one["losses"]) == len(two["losses"]) > 0
    for row, other in zip(one["losses"], two["losses"], strict=True):
        assert row == pytest.approx(other, rel=TOLERANCE[number])


def test_local_batch_norm_is_another_training(by_two: dict[str, Any]) -> None:
    assert apart(worker.d_id(PLAIN), by_two["local"]) > 1e-2


@pytest.mark.parametrize("name", list(worker.RESUMED))
def test_one_goes_on_where_two_stopped_and_the_other_way_round(
    name: str, folder: Path, by_one: dict[str, Any], by_two: dict[str, Any]
) -> None:
    whole = by_one["float32"][name]
    assert apart(whole, by_two["resumed"][name]) < TOLERANCE["float32"]
    path = folder / f"{name}-by-two.pt"
    assert path.is_file()
    resumed = worker.RESUMED[name](PLAIN, Checkpoint(path, 1e9))
    assert apart(whole, resumed) < TOLERANCE["float32"]
    for row, other in zip(whole["losses"], resumed["losses"], strict=True):
        assert row == pytest.approx(other, rel=1e-5)


# Shares, without processes ------------------------------------------------------------------------


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Take the place of process `rank` of `world`."""

    def take(rank: int, world: int) -> None:
        monkeypatch.setattr(shares, "rank", lambda: rank)
        monkeypatch.setattr(shares, "world", lambda: world)

    return take


def test_shares_are_the_whole_batch_once(place: Any) -> None:
    found = []
    for rank in range(4):
        place(rank, 4)
        found.append(shares.share(8, 4).tolist())
    assert found == [[0, 1, 8], [2, 3, 9], [4, 5, 10], [6, 7, 11]]


def test_a_batch_that_cannot_be_shared_is_refused(place: Any) -> None:
    place(0, 2)
    with pytest.raises(UserError, match="5 images of a batch cannot be shared equally by 2"):
        PairBatches(task(), np.zeros(9, int), np.zeros(10, int), 5, 0, "cpu", flip=True)


def test_processes_see_one_process_images(place: Any) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 16, 8, 3), dtype=np.uint8)
    how = Augmentation(flip=0.5, pad=2, erase=0.5)

    def batches() -> list[tuple[Tensor, Tensor]]:
        made = TrainBatches(images, np.arange(10), 6, how, seed=4)
        return [next(made) for _ in range(4)]

    whole, parts = batches(), []
    for rank in range(3):
        place(rank, 3)
        parts.append(batches())
    for i, (crops, labels) in enumerate(whole):
        assert torch.equal(torch.cat([part[i][0] for part in parts]), crops)
        assert torch.equal(torch.cat([part[i][1] for part in parts]), labels)


def test_noise_is_that_of_the_whole_batch(place: Any) -> None:
    x = torch.zeros(6, 3, 8, 4)
    torch.manual_seed(0)
    whole, parts = shares.normal_like(x.to(memory_format=torch.channels_last)), []
    for rank in range(2):
        place(rank, 2)
        torch.manual_seed(0)
        parts.append(shares.normal_like(x[3 * rank : 3 * rank + 3]))
    assert torch.equal(torch.cat(parts), whole)


def test_numbers_for_another_number_of_images_are_a_defect(place: Any) -> None:
    place(1, 2)
    rng = shares.draws(np.random.default_rng(0), 8, shares.share(8))
    assert rng.random(4).tolist() == np.random.default_rng(0).random(8)[4:].tolist()
    with pytest.raises(ValueError, match="numbers for 8 images, this process has 4"):
        rng.random(8)


# The stage that starts its own processes ----------------------------------------------------------


def several(processes: int, path: Path) -> None:
    params = yaml.safe_load(path.read_text())
    params["run"]["processes"] = processes
    path.write_text(yaml.safe_dump(params))


def set_iterations(number: int, path: Path) -> None:
    params = yaml.safe_load(path.read_text())
    params["profiles"]["smoke"]["gan"]["iterations"] = number
    path.write_text(yaml.safe_dump(params))


def test_a_stage_trains_in_the_processes_it_starts(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """train_gan with `run.processes` 2, as an engine runs it, beside the same in one process.

    Of two iterations: rounding may put a leaky ReLU of a net this small on the other side of its
    kink, as it does in the fourth (3e-4 apart; 2e-7 with width 8).
    """
    set_iterations(2, project / "params.yaml")
    do_train("one")
    several(2, project / "params.yaml")
    argv = ["--method=crgan", "--model=crgan", "--source=market1501", "--target=dukemtmc"]
    argv += ["--seed=0", "--d-id=d_id.pt", "--d-cam=d_cam.pt", *domains()]
    argv += [f"{flag}=two/{name}" for flag, name in OUTPUTS.items()]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run(
        [sys.executable, "-m", "stages.train_gan", *argv],
        cwd=project, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (project / "two").iterdir()) == sorted(
        path.name for path in (project / "one").iterdir()
    )
    one, two = (load_torch(f"{name}/gan.pt")["state"] for name in ("one", "two"))
    step = parameters.load()["gan"]["lr"]  # of Adam: the furthest a weight moves in an update
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < step / 100
    record = read_json("two/gan.prov.json")
    assert record["params"]["run"]["processes"] == record["run"]["processes"] == 2
    assert record["params"]["run"]["batch_norm"] == "sync"
    assert record["run"]["argv"] == ["python", "-m", "stages.train_gan", *argv]
    assert done.stderr.count("CR-GAN:   0%") == 1  # one bar
    assert not list(Path(".scratch").rglob("*.pt"))


def test_a_checkpoint_is_of_any_number_of_processes(project: Path) -> None:
    names = []
    for processes in (1, 2):
        several(processes, project / "params.yaml")
        params = parameters.load()
        seen: list[stage.Run] = []

        def body(args: Any, run: stage.Run, seen: list[stage.Run] = seen) -> None:
            seen.append(run)
            Path("out").write_text("out")

        made = stage.StageParser("train_gan", None)
        for flag in ("--method", "--seed"):
            made.cell(flag)
        made.output("--out")
        stage.run_stage(made, body, ["--method=crgan", "--seed=0", "--out=out"])
        assert params["run"]["processes"] == processes
        names.append((seen[0].checkpoint_path, seen[0].key))
    assert names[0][0] == names[1][0]
    assert names[0][1] != names[1][1]


@pytest.mark.parametrize("wanted", [1, 4])
def test_a_number_that_the_record_would_not_name_is_refused(
    wanted: int, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    several(wanted, project / "params.yaml")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit):
        do_train("one")
    assert f"2 processes were started from outside, but run.processes is {wanted}" in (
        capsys.readouterr().err
    )
    assert not Path("one").exists()


def test_checkpoints_of_different_iterations_are_refused(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(0, 2)
    monkeypatch.setattr(shares, "gathered", lambda here: torch.cat((here, here + 30)))
    with pytest.raises(UserError, match=r"resume at iterations 20, 50: all must see one \.scratch"):
        loop._check_same_iteration(20, PLAIN)
