"""The training loop, both pre-trainings, and what a kill in the middle must not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crgan.common.errors import UserError
from crgan.common.io import load_torch, save_torch
from crgan.common.settings import settings_from
from crgan.data.batches import to_gan
from crgan.data.store import Split
from crgan.reid.model_file import build_camera, build_reid
from crgan.reid.pretrain import Start, id_recipe, pretrain_cam, pretrain_id, start_from
from crgan.train import loop
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe
from crgan.train.history import History

RECIPE = Recipe(
    iterations=12, batch=8, lr=2e-3, warmup=0.1, weight_decay=5e-4, label_smoothing=0.1,
    flip=0.5, crop_padding=0.08, erasing=0.3,
)  # fmt: skip
START = Start("small", 4)


def coloured(pids: list[int], camids: list[int], seed: int = 0) -> Split:
    """Noise images 32x16 whose colour tells the pid and whose brightness the camera."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 40, (len(pids), 32, 16, 3))
    for image, pid, camid in zip(images, pids, camids, strict=True):
        image += np.random.default_rng(abs(pid)).integers(0, 150, 3) + 20 * camid
    rows = np.arange(len(pids), dtype=np.int64)
    return Split(images.astype(np.uint8), np.array(pids), np.array(camids), rows)


def people() -> Split:
    """Two junk and two distractor images, then four people before two cameras."""
    pids = [-1, -1, 0, 0] + [pid for pid in (9, 4, 31, 7) for _ in range(4)]
    return coloured(pids, [1, 2] * 10)


class Killed(Exception):
    pass


class KilledAfter(Checkpoint):
    """Saves at every iteration and dies after the n-th save."""

    def __init__(self, path: Path, saves: int) -> None:
        super().__init__(path, every=0)
        self.left = saves

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.left -= 1
        if self.left == 0:
            raise Killed


def equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    same = all(torch.equal(a["state"][k], b["state"][k]) for k in a["state"])
    return same and {**a, "state": 0} == {**b, "state": 0}


def test_d_id_learns_its_people_and_no_junk() -> None:
    source = people()
    recipe = Recipe(iterations=60, batch=16, lr=3e-3, label_smoothing=0.1)
    file, history = pretrain_id(source, START, recipe, seed=0)
    assert file["pids"] == [4, 7, 9, 31]
    assert (file["height"], file["width_px"], file["origin"]) == (32, 16, "none")
    assert history.rows[-1]["iteration"] == 60
    assert history.rows[-1]["accuracy"] == 100
    net = build_reid(file, "file")
    known = source.pid > 0
    guessed = np.array(file["pids"])[net(to_gan(source.images[known])).argmax(1).numpy()]
    assert (guessed == source.pid[known]).all()


def test_d_cam_learns_cameras_of_unlabelled_images() -> None:
    target = coloured([-2] * 12, [3, 5, 5, 9] * 3)
    recipe = Recipe(iterations=60, batch=12, lr=1e-2)
    file, history = pretrain_cam(target, 4, recipe, seed=0)
    assert file["camids"] == [3, 5, 9]
    assert history.rows[-1]["accuracy"] == 100
    net = build_camera(file, "file")
    guessed = np.array(file["camids"])[net(to_gan(target.images)).argmax(1).numpy()]
    assert (guessed == target.camid).all()


def test_one_camera_is_enough() -> None:
    target = coloured([-2] * 8, [1] * 8)
    file, history = pretrain_cam(target, 4, Recipe(iterations=2, batch=4, lr=1e-3), seed=0)
    assert file["camids"] == [1]
    assert history.rows[-1]["loss"] == 0


@pytest.mark.parametrize("saves", [1, 7, 11])
def test_resumed_equals_uninterrupted(tmp_path: Path, saves: int) -> None:
    whole, history = pretrain_id(people(), START, RECIPE, seed=3)
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        pretrain_id(people(), START, RECIPE, seed=3, checkpoint=KilledAfter(path, saves))
    torch.manual_seed(99)  # another process has another state
    resumed, again = pretrain_id(
        people(), START, RECIPE, seed=3, checkpoint=Checkpoint(path, every=0)
    )
    assert equal(whole, resumed)
    assert history.rows == again.rows


def test_resumed_d_cam_equals_uninterrupted(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    whole, history = pretrain_cam(people(), 4, RECIPE, seed=3)
    with pytest.raises(Killed):
        pretrain_cam(people(), 4, RECIPE, seed=3, checkpoint=KilledAfter(path, 5))
    resumed, again = pretrain_cam(people(), 4, RECIPE, seed=3, checkpoint=Checkpoint(path))
    assert equal(whole, resumed)
    assert history.rows == again.rows


def test_a_seed_fixes_the_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        file, history = pretrain_id(people(), START, RECIPE, seed=seed)
        save_torch(tmp_path / f"{name}.pt", file)
        history.write(tmp_path / f"{name}.csv")
    for end in ("pt", "csv"):
        a, b, c = ((tmp_path / f"{name}.{end}").read_bytes() for name in "abc")
        assert a == b
        assert a != c


def test_model_files_are_read_strictly(tmp_path: Path) -> None:
    file, _ = pretrain_id(people(), START, Recipe(iterations=1, batch=4, lr=1e-3), seed=0)
    save_torch(tmp_path / "m.pt", file)
    assert equal(file, load_torch(tmp_path / "m.pt"))
    with pytest.raises(UserError, match=r"m\.pt: kind is 'reid', a 'camera' file is needed"):
        build_camera(file, "m.pt")
    with pytest.raises(UserError, match=r"m\.pt: key 'origin' is missing"):
        build_reid({k: v for k, v in file.items() if k != "origin"}, "m.pt")
    with pytest.raises(UserError, match=r"m\.pt: weights do not fit.*classifier"):
        build_reid({**file, "pids": [1, 2]}, "m.pt")


def test_pretrained_weights_are_used_and_named() -> None:
    recipe = Recipe(iterations=1, batch=4, lr=1e-12)
    weights = START.build(2).backbone.state_dict()
    start = start_from(
        {"backbone": "small", "width": 4, "last_stride": 2, "flip": 0.5},
        {"origin": "mine.pt", "sha256": "", "state": weights},
        "backbone.pt",
    )
    file, _ = pretrain_id(people(), start, recipe, seed=5)
    assert file["origin"] == "mine.pt"
    torch.testing.assert_close(file["state"]["backbone.0.weight"], weights["0.weight"])
    with pytest.raises(UserError, match=r"x\.pt: no weight file"):
        start_from({"backbone": "small"}, {"weight": 0}, "x.pt")


@pytest.mark.parametrize(
    ("backbone", "origin", "notes"),
    [
        ("resnet50", "resnet50_imagenet", []),
        ("resnet50", "random", ["ResNet50 started from random weights, not from ImageNet's"]),
        ("resnet50", "other.pth", ["ResNet50 started from other.pth"]),
        ("small", "none", []),
    ],
)
def test_substituted_weights_are_told(backbone: Any, origin: str, notes: list[str]) -> None:
    assert Start(backbone, 64, origin=origin).notes() == notes


def test_schedules() -> None:
    def rates(schedule: Any, warmup: float = 0.0) -> list[float]:
        recipe = Recipe(iterations=6, batch=1, lr=1.0, schedule=schedule, warmup=warmup)
        return [round(recipe.lr_at(step), 4) for step in range(6)]

    assert rates("constant") == [1, 1, 1, 1, 1, 1]
    assert rates("step") == [1, 1, 1, 1, 0.1, 0.1]
    assert rates("linear_half") == [1, 1, 1, 1, 0.6667, 0.3333]
    assert rates("constant", warmup=0.5) == [0.3333, 0.6667, 1, 1, 1, 1]


def test_history_means_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_ROWS", 4)
    recipe = Recipe(iterations=10, batch=8, lr=1e-3)
    _, coarse = pretrain_cam(people(), 4, recipe, seed=0)
    monkeypatch.setattr(loop, "_ROWS", 10)
    _, fine = pretrain_cam(people(), 4, recipe, seed=0)
    assert [row["iteration"] for row in coarse.rows] == [2, 4, 6, 8, 10]
    pairs = zip(fine.rows[::2], fine.rows[1::2], strict=True)
    for row, pair in zip(coarse.rows, pairs, strict=True):
        for name in ("loss", "accuracy"):
            assert row[name] == pytest.approx(sum(r[name] for r in pair) / 2)
    assert coarse.mean("loss") == pytest.approx(fine.mean("loss"))
    history = History((), 2)
    for loss, accuracy in ((1.0, 50.0), (2.0, 75.0)):
        history.add(0.001, {"loss": torch.tensor(loss), "accuracy": torch.tensor(accuracy)})
    history.write(tmp_path / "h.csv")
    text = (tmp_path / "h.csv").read_text()
    assert text == "iteration,lr,loss,accuracy\n2,0.001,1.5,62.5\n"


def test_divergence_is_told_not_saved() -> None:
    with pytest.raises(UserError, match=r"D_id: iteration \d+: loss is (nan|inf).*Lower its lr"):
        pretrain_id(people(), START, Recipe(iterations=20, batch=8, lr=1e30), seed=0)


def test_nobody_to_learn_from() -> None:
    with pytest.raises(UserError, match="no labelled person"):
        pretrain_id(coloured([-1, 0, -2], [1, 1, 1]), START, RECIPE, seed=0)
    with pytest.raises(UserError, match="no images in its train split"):
        pretrain_cam(coloured([], []), 4, RECIPE, seed=0)


def test_recipes_are_read_strictly() -> None:
    good = {"iterations": 3, "batch": 2, "lr": 0.1, "adam_betas": [0.5, 0.9]}
    assert settings_from(Recipe, good, "s").adam_betas == (0.5, 0.9)
    cnn = {"backbone": "small", "width": 4, "last_stride": 2, "flip": 0.25}
    assert id_recipe(cnn, good).flip == 0.25
    for change, message in (
        ({"momentum": 1}, r"s\.momentum: no such key"),
        ({"lr": 0}, r"s\.lr is 0"),
        ({"lr": "1e-3"}, r"s\.lr is '1e-3'; it must be a number"),
        ({"flip": 1.5}, r"s\.flip is 1\.5; it must be 1 at most"),
        ({"schedule": "cosine"}, r"s\.schedule is 'cosine'; use one of linear_half"),
        ({"batch": 0}, r"s\.batch is 0"),
    ):
        with pytest.raises(UserError, match=message):
            settings_from(Recipe, {**good, **change}, "s")
    with pytest.raises(UserError, match=r"s\.lr is missing"):
        settings_from(Recipe, {"iterations": 3, "batch": 2}, "s")
