"""The capacity plan's counting and its scheduler, on cases worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import torch
from torch import nn

from benchmarks import capacity_million
from benchmarks.capacity import Job, before, critical, schedule
from benchmarks.capacity_work import Counts, Work, counted
from crgan.pipeline import params as parameters


def job(name: str, inputs: Iterable[str] = (), gpu: bool = True) -> Job:
    return Job(name, name, frozenset(inputs), frozenset({name}), Work(), gpu)


@pytest.mark.parametrize(("gpus", "expected"), [(1, 60.0), (2, 40.0), (32, 40.0)])
def test_gpus_are_shared_and_the_longest_way_goes_first(gpus: int, expected: float) -> None:
    # c waits for b; with two GPUs a and d fit beside that way, if b is not kept waiting
    jobs = [job("a"), job("b"), job("c", ["b"]), job("d")]
    assert schedule(jobs, [10.0, 20.0, 20.0, 10.0], before(jobs), gpus) == expected


def test_work_without_a_gpu_keeps_none_waiting() -> None:
    jobs = [job("cpu", gpu=False), job("a"), job("b")]
    assert schedule(jobs, [30.0, 10.0, 10.0], before(jobs), 1) == 30.0


def test_the_longest_way() -> None:
    jobs = [job("a"), job("b", ["a"]), job("c", ["a"]), job("d", ["b", "c"])]
    assert critical(jobs, [1.0, 5.0, 2.0, 1.0], before(jobs)) == [0, 1, 3]


def test_operations_and_memory_of_a_step() -> None:
    with torch.device("meta"):
        net = nn.Sequential(nn.Linear(10, 20, bias=False), nn.ReLU(), nn.Linear(20, 5, bias=False))
        x = torch.randn(8, 10)
    count = counted(lambda: net(x).sum().backward(), net)
    # each product once forward and once a gradient; the input's own gradient is not wanted
    assert count.flops == 2 * 8 * (2 * 10 * 20 + 3 * 20 * 5)
    assert count.weights == 4 * (10 * 20 + 20 * 5)
    assert count.activations == 4 * 8 * (10 + 20)  # the input and ReLU's output, which counts once


def test_the_smoke_profiles_gan_is_counted_by_its_own_step() -> None:
    params = parameters.effective({"profile": "smoke"})
    counts = Counts(params)
    early, late = counts.gan(late=False), counts.gan(late=True)
    assert 1.5 < late.flops / early.flops < 2.0  # G twice, D_d once
    cell = {"method": "crgan", "source": "market1501", "target": "dukemtmc"}
    iterations = params["profiles"]["smoke"]["gan"]["iterations"]
    expected = iterations / 2 * (early.flops + late.flops)
    assert counts.work("train_gan", cell).flops == expected


def test_a_million_pictures_end_what_needs_all_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    capacity_million.main(["--pictures", "16522", "1e6"])
    rows = {
        line.split("|")[1].split(":")[0].strip(): line
        for line in capsys.readouterr().out.splitlines()
    }
    assert "stops" in rows["BUC"].split("|")[3]
    assert "stops" not in rows["BUC"].split("|")[2]
    assert "stops" not in rows["PUL"]
