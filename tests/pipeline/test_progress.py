"""Bars, the heartbeat behind them, and the logs one may ask for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.pipeline import progress
from crgan.pipeline.progress import Bar, Lossy, bar_range, heartbeat


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(progress.LOG, raising=False)


def test_a_beat_says_where_a_stage_is_and_goes_with_it() -> None:
    with heartbeat("demo", "train_gan-k", {"stage": "train_gan", "cell": {"seed": 3}}) as beating:
        assert json.loads(beating.path.read_text())["stage"] == "train_gan"
        steps = bar_range(4, desc="GAN", images=8)
        for step in steps:
            steps.note(step + 1, {"iteration": step + 1, "loss_G": 0.5 + step})
        found = json.loads(Path(".scratch/live/demo/train_gan-k.json").read_text())
        assert (found["loop"], found["done"], found["total"]) == ("GAN", 4, 4)
        assert found["losses"] == {"loss_G": 3.5}
        assert found["images_per_second"] == pytest.approx(8 * found["rate"])
        assert found["cell"] == {"seed": 3}
        assert found["seconds_left"] == 0
    assert not beating.path.exists()


def test_beats_are_at_least_a_second_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now, written = [100.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "write_json", lambda path, value: written.append(value["done"]))
    beating = progress.Heartbeat(Path("x.json"), {})
    for done, seconds in ((1, 0.0), (2, 0.4), (3, 0.5), (4, 0.2)):
        now[0] += seconds
        beating.beat({"done": done})
    assert written == [1, 4]


def test_without_a_stage_a_bar_writes_nothing() -> None:
    assert list(bar_range(3)) == [0, 1, 2]
    assert not Path(".scratch").exists()


def test_a_stage_that_fails_leaves_no_beat() -> None:
    with pytest.raises(ZeroDivisionError), heartbeat("demo", "x", {}):
        raise ZeroDivisionError
    assert not list(Path(".scratch").rglob("*.json"))


def test_an_unknown_log_and_one_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(progress.LOG, "wandb")
    with (
        pytest.raises(UserError, match="'wandb'; use tensorboard or dvclive"),
        heartbeat("demo", "x", {}),
    ):
        pass
    for kind, package in (("dvclive", "dvclive"), ("tensorboard", "torch.utils.tensorboard")):
        monkeypatch.setenv(progress.LOG, kind)
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
        told = rf"is '{kind}', but .*python -m pip install {kind}==\d+\.\d+\.\d+, or leave"
        with pytest.raises(UserError, match=told), heartbeat("demo", "x", {}):
            pass


def test_the_docs_name_the_versions_of_the_logs() -> None:
    text = (Path(__file__).parents[2] / "docs/report.md").read_text()
    for pinned in progress.PACKAGES.values():
        assert f"pip install {pinned}" in text


@pytest.mark.parametrize("hidden", [False, True])
def test_noted_values_go_to_the_log_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    class Live:
        step = 0
        seen: list[tuple[int, str, float]] = []  # noqa: RUF012

        def __init__(self, *args: object, **options: object) -> None: ...

        def log_metric(self, name: str, value: float) -> None:
            self.seen.append((self.step, name, value))

        def end(self) -> None:
            self.seen.append((-1, "end", 0.0))

    monkeypatch.setenv(progress.LOG, "dvclive")
    monkeypatch.setitem(sys.modules, "dvclive", type("module", (), {"Live": Live}))
    with heartbeat("demo", "x", {}):
        steps = bar_range(2, desc="D_id", disable=hidden)
        for step in steps:
            steps.note(step + 1, {"loss": step / 2})
    assert Live.seen == [(1, "D_id/loss", 0.0), (2, "D_id/loss", 0.5), (-1, "end", 0.0)]


def test_a_log_begins_anew_unless_its_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Live:
        def __init__(self, folder: str, **options: object) -> None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.lines = Path(folder) / "lines"

        def log_metric(self, name: str, value: float) -> None:
            with open(self.lines, "a") as file:
                file.write(f"{value} ")

        def end(self) -> None: ...

    monkeypatch.setenv(progress.LOG, "dvclive")
    monkeypatch.setitem(sys.modules, "dvclive", type("module", (), {"Live": Live}))
    for value, resumed in ((1.0, False), (2.0, False), (3.0, True)):
        with heartbeat("demo", "x", {}, resumed):
            bar_range(1, desc="D_id").note(1, {"loss": value})
    assert (progress.LOGS / "x/lines").read_text() == "2.0 3.0 "


def test_a_full_disk_below_the_log_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError), open("/dev/full", "w") as full:  # noqa: PT011
        print("no room for it", file=full, flush=True)
    full = Lossy(open("/dev/full", "w"))  # noqa: SIM115 - closing it would fail
    monkeypatch.setattr(sys, "stderr", full)
    print("no room for it", file=full, flush=True)
    assert list(Bar(range(3), desc="rows", mininterval=0)) == [0, 1, 2]
