"""LPIPS and FID of renderers whose values are known: one that does nothing, one that is perfect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.errors import UserError
from crgan.data.batches import to_gan
from crgan.data.store import Split
from crgan.gan.base import Task
from crgan.gan.visual import Kept, measure, settings_of
from crgan.metrics import fid_cache
from crgan.metrics.measurement import weights_from

N, SIZE = 10, 32
SETTINGS = {"images": 6, "target_images": 99, "pairs_seed": 3, "fid_dims": 64,
            "lpips_net": "alex"}  # fmt: skip


def split(seed: int, low: int, high: int) -> Split:
    rng = np.random.default_rng(seed)
    images = rng.integers(low, high, (N, SIZE, SIZE, 3), dtype=np.uint8)
    images[:, 5:20] = images[:, 5:6]  # some structure, or all noise looks alike
    ones = np.ones(N, dtype=np.int64)
    return Split(images, ones, ones, np.arange(N))


@pytest.fixture(scope="module")
def task() -> Task:
    masks = np.ones((N, SIZE, SIZE), dtype=bool)
    return Task(split(0, 0, 160), split(1, 60, 256), masks, masks, SIZE, SIZE)


class Nothing:
    """Renders nothing, and remembers what it was given."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def render(self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        self.rows += s_rows.tolist()
        return x_s


class Perfect:
    """Gives target images, each once."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def render(self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        return to_gan(self.task.target.images[s_rows])


def measured(task: Task, renderer: Any, **changes: Any) -> dict[str, Any]:
    settings = settings_of({**SETTINGS, **changes})
    return measure(task, renderer, "random", "random", settings, "cpu")


def test_doing_nothing_moves_nothing_and_leaves_the_gap(task: Task) -> None:
    renderer = Nothing()
    found = measured(task, renderer)
    assert found["lpips"] == 0
    assert found["fid"] == found["reference"]["fid"] > 0
    assert found["reference"]["lpips"] > 0
    assert len(set(renderer.rows)) == 6
    settings = found["settings"]
    assert (settings["lpips"]["n"], settings["fid"]["n"], settings["fid"]["n_reference"]) == (
        6, 6, N,
    )  # fmt: skip
    assert (settings["fid"]["height"], settings["fid"]["layer"]) == (SIZE, "first max pooling (64)")
    assert "299" in settings["fid"]["resize"]
    assert found == measured(task, Nothing())


def test_the_target_itself_has_no_distance(task: Task) -> None:
    found = measured(task, Perfect(task), images=N)
    assert found["fid"] == pytest.approx(0, abs=1e-3 * found["reference"]["fid"])
    assert found["lpips"] > 0.5 * found["reference"]["lpips"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 1}, r"visual\.images is 1"),
        ({"fid_dims": 128}, r"visual\.fid_dims is 128"),
        ({"lpips_net": "vgg"}, r"visual\.lpips_net is 'vgg'"),
        ({"size": 3}, r"visual\.size: no such key"),
    ],
)
def test_settings_are_read_strictly(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        settings_of({**SETTINGS, **change})


def test_weights_come_by_name_or_by_file(tmp_path: Path) -> None:
    assert weights_from({"origin": "random", "state": {}}, tmp_path / "w.pt") == "random"
    path = weights_from({"origin": "x", "state": {"a": torch.ones(1)}}, tmp_path / "w.pt")
    assert path == tmp_path / "w.pt"
    assert path.is_file()


def test_kept_statistics_of_the_real_images_change_no_value(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, kept = settings_of(SETTINGS), Kept(tmp_path / "fid", {"source": "a", "target": "b"})
    plain = measure(task, Nothing(), "random", "random", settings, "cpu")
    first = measure(task, Nothing(), "random", "random", settings, "cpu", kept)
    assert len(list(kept.folder.glob("*.npz"))) == 2
    monkeypatch.setattr(fid_cache, "statistics", None)  # computing them again would fail
    assert plain == first == measure(task, Nothing(), "random", "random", settings, "cpu", kept)
