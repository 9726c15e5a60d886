"""Judges of renderings: shares by hand, a known renderer judged rightly, nothing but real images
learned from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.data.store import Split
from crgan.gan.base import Renderer, Task
from crgan.metrics.lpips_distance import LpipsNet, load_lpips
from crgan.reid.judging import Judges, Settings, judge, shares, train_judges
from crgan.reid.pretrain import Start
from crgan.train.classifier import Recipe

HEIGHT, WIDTH = 32, 32  # LPIPS needs 31 pixels each way
PEOPLE = {3: (250, 20, 20), 7: (20, 250, 20), 12: (20, 20, 250)}  # pid -> colour of a person
LIGHT = {("a", 1): 0, ("a", 2): 60, ("b", 1): 120, ("b", 4): 190}  # of a camera's background


def crop(pid: int, end: str, camid: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A coloured person on a camera's grey, with noise."""
    image = np.full((HEIGHT, WIDTH, 3), LIGHT[end, camid])
    image[8:24, 8:24] = PEOPLE[pid]
    return np.clip(image + rng.integers(-8, 9, image.shape), 0, 255).astype(np.uint8)


def domain(end: str, camids: tuple[int, ...], copies: int = 4) -> Split:
    rng = np.random.default_rng(len(end) + camids[-1])
    cells = [(p, c) for _ in range(copies) for p in PEOPLE for c in camids]
    images = np.stack([crop(p, end, c, rng) for p, c in cells])
    pid, camid = np.array(cells).T
    return Split(images, pid, camid, np.arange(len(cells)))


def masks(n: int) -> NDArray[np.bool_]:
    return np.zeros((n, HEIGHT, WIDTH), dtype=np.bool_)


@pytest.fixture(scope="module")
def task() -> Task:
    """Cameras 1 and 2 of the source, 1 and 4 of the target."""
    source, target = domain("a", (1, 2)), domain("b", (1, 4))
    return Task(source, target, masks(len(source)), masks(len(target)), HEIGHT, WIDTH)


def trained(task: Task, seed: int = 0) -> dict[str, Any]:
    recipe = Recipe(60, 12, 0.01)
    start = Start("small", 4)
    return train_judges(task.source, task.target, start, recipe, 4, recipe, seed=seed)


@pytest.fixture(scope="module")
def judges(task: Task) -> Judges:
    return Judges(trained(task), "judges.pt", "cpu")


@pytest.fixture(scope="module")
def lpips() -> LpipsNet:
    return load_lpips("random")


class Painter(Renderer):
    """Paints people for the target's cameras, in turn or as they are; wrongly where told so.

    Args:
        to: camids of the target to render for; none: images are returned as they are.
        shown: camid of the target that is painted whatever camera is meant.
        pid: whom it paints instead of the source's person.
    """

    def __init__(
        self, task: Task, to: tuple[int, ...] = (), shown: int | None = None, pid: int | None = None
    ) -> None:
        self.task, self.to, self.shown, self.pid = task, np.array(to, dtype=np.int64), shown, pid
        self.varies = len(to) > 1

    def render_to(
        self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.int64] | None]:
        if not len(self.to):
            return x_s, None
        camids = rng.choice(self.to, len(x_s))
        pids = self.task.source.pid[s_rows]
        made = [
            crop(self.pid or int(p), "b", self.shown or int(c), rng)
            for p, c in zip(pids, camids, strict=True)
        ]
        return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2) / 127.5 - 1, camids


def settings(**changes: int) -> Settings:
    return settings_from(Settings, {"seed": 3, "images": 18, "renderings": 3, **changes}, "judges")


def test_shares_by_hand() -> None:
    pids, pid = np.array([3, 7, 12, 3]), np.array([3, 7, 7, 7])
    cameras = np.array([1, -1, -4, -1])  # the target's negative
    meant = np.array([1, 1, 4, 4])
    assert shares(pids, pid, cameras, meant) == {"identity": 50, "domain": 75, "camera": 50}
    assert shares(pids, pid, cameras, None)["camera"] is None


def test_judges_know_real_images(task: Task, judges: Judges) -> None:
    assert np.array_equal(judges.pids(task.source.images), task.source.pid)
    assert np.array_equal(judges.cameras(task.source.images), task.source.camid)
    assert np.array_equal(judges.cameras(task.target.images), -task.target.camid)


def test_what_a_method_leaves_as_it_was(task: Task, judges: Judges, lpips: LpipsNet) -> None:
    found = judge(task, Painter(task), judges, lpips, settings(), "cpu")
    assert (found["identity"], found["domain"], found["camera"]) == (100, 0, None)
    assert found["diversity"] == pytest.approx(0, abs=1e-6)
    assert found["reference"] == {"identity": 100, "domain": 0, "camera": None}
    size = {"height": HEIGHT, "width": WIDTH}
    assert found["settings"] == {"images": 18, "renderings": 3, "seed": 3, **size}


def test_a_perfect_renderer(task: Task, judges: Judges, lpips: LpipsNet) -> None:
    found = judge(task, Painter(task, to=(1, 4)), judges, lpips, settings(), "cpu")
    assert (found["identity"], found["domain"], found["camera"]) == (100, 100, 100)
    assert found["diversity"] > 1e-3


def test_renderers_that_fail_in_one_thing(task: Task, judges: Judges, lpips: LpipsNet) -> None:
    one_camera = judge(task, Painter(task, (1, 4), shown=4), judges, lpips, settings(), "cpu")
    assert (one_camera["identity"], one_camera["domain"]) == (100, 100)
    assert 20 < one_camera["camera"] < 80  # right where camera 4 was meant
    another = judge(task, Painter(task, (1, 4), pid=7), judges, lpips, settings(), "cpu")
    assert (another["domain"], another["camera"]) == (100, 100)
    assert 10 < another["identity"] < 60  # right for person 7


def test_all_images_where_there_are_fewer(task: Task, judges: Judges, lpips: LpipsNet) -> None:
    found = judge(task, Painter(task), judges, lpips, settings(images=1000), "cpu")
    assert found["settings"]["images"] == len(task.source)


def test_unlabelled_images_are_not_asked_for(task: Task, judges: Judges, lpips: LpipsNet) -> None:
    pid = task.source.pid.copy()
    pid[::2] = -1
    source = Split(task.source.images, pid, task.source.camid, task.source.rows)
    some = Task(source, task.target, task.source_masks, task.target_masks, HEIGHT, WIDTH)
    found = judge(some, Painter(some), judges, lpips, settings(images=1000), "cpu")
    assert found["settings"]["images"] == 12
    assert found["identity"] == 100


def test_judging_repeats(task: Task, judges: Judges, lpips: LpipsNet) -> None:
    one, two, other = (
        judge(task, Painter(task, (1, 4)), judges, lpips, settings(seed=seed), "cpu")
        for seed in (3, 3, 4)
    )
    assert one == two
    assert one["diversity"] != other["diversity"]


def briefly_trained(task: Task) -> dict[str, Any]:
    recipe = Recipe(2, 4, 0.01)
    start = Start("small", 4)
    return train_judges(task.source, task.target, start, recipe, 4, recipe, seed=0)


def test_judges_never_see_an_identity_of_the_target(task: Task) -> None:
    target = Split(
        task.target.images, np.full_like(task.target.pid, -2), task.target.camid, task.target.rows
    )
    hidden = Task(task.source, target, task.source_masks, task.target_masks, HEIGHT, WIDTH)
    one, two = briefly_trained(task), briefly_trained(hidden)
    for judge_of in ("identity", "camera"):
        for name, value in one[judge_of]["state"].items():
            assert torch.equal(value, two[judge_of]["state"][name])
    assert one["identity"]["pids"] == [3, 7, 12]


def test_both_sets_cameras_are_told_apart(task: Task) -> None:
    """Camera 1 of the source is not camera 1 of the target."""
    assert briefly_trained(task)["camera"]["camids"] == [1, 2, 1001, 1004]


def test_another_file() -> None:
    with pytest.raises(UserError, match=r"d\.pt: kind is 'reid', a 'judges' file"):
        Judges({"kind": "reid"}, "d.pt", "cpu")


@pytest.mark.parametrize("bad", [{"images": 0}, {"renderings": 1}])
def test_bad_settings(bad: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"it must be [12] at least"):
        settings(**bad)
