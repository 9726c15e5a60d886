"""PTGAN: L_ID by hand, masks that go along with their images, transfer to single cameras."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crgan.common.errors import UserError
from crgan.gan import cyclegan, ptgan
from crgan.gan.base import Task, Trained, load_translation, towards
from crgan.gan.pairs import PairBatches, Pairs, enlarged_crop
from crgan.gan.ptgan import CameraTranslators, Training, load_renderer, person_loss, train
from crgan.looks.samples import Sheet
from crgan.train.checkpoint import Checkpoint
from tests.gan_fakes import HEIGHT, WIDTH, task
from tests.translation_fakes import OPTIONS, Killing, Stop, check_resumed, files, setting

OWN = {"lambda_identity": 0.0, "lambda_1": 10.0, "per_camera": False}
PER_CAMERA = {"per_camera": True, "iterations": 8, "sample_every": 2}


def started(**changes: Any) -> tuple[Training, Pairs]:
    training, pairs = setting(ptgan, OWN, **changes)
    return training, pairs


def run(seed: int = 0, options: dict[str, Any] | None = None, **more: Any) -> Trained:
    return train(task(), {**OPTIONS, **OWN, **(options or {})}, seed=seed, **more)


def run_per_camera(**more: Any) -> Trained:
    return run(options=PER_CAMERA, **more)


@pytest.fixture(scope="module")
def per_camera() -> Trained:
    """For tests that only read it."""
    return run_per_camera()


def test_person_loss_by_hand() -> None:
    """The mean is over all pixels: half an image of persons counts half."""
    x = torch.zeros(1, 3, 1, 4)
    y = torch.tensor([2.0, 1.0, 9.0, 9.0]).expand(1, 3, 1, 4)
    m = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    assert person_loss(y, x, m).item() == pytest.approx((4 + 1) / 4)
    assert person_loss(y, x, torch.zeros_like(m)).item() == 0
    assert person_loss(y, y, torch.ones_like(m)).item() == 0


def test_person_loss_is_blind_outside_the_mask() -> None:
    y = torch.rand(2, 3, 4, 4, requires_grad=True)
    m = torch.zeros(2, 1, 4, 4)
    m[:, :, :2] = 1
    person_loss(y, torch.zeros(2, 3, 4, 4), m).backward()
    assert y.grad is not None
    assert y.grad[:, :, :2].abs().min() > 0
    assert not y.grad[:, :, 2:].any()


def test_losses_are_those_of_the_paper() -> None:
    """Each domain's images under their own masks; no identity mapping."""
    training, pairs = started(flip=False, enlarge=1.0)
    with torch.no_grad():
        b, a = training.g(pairs.x_s), training.f(pairs.x_t)
        m_a, m_b = pairs.m_f.expand(-1, 3, -1, -1), pairs.m_t.expand(-1, 3, -1, -1)
        expected = (((b - pairs.x_s) * m_a) ** 2).mean() + (((a - pairs.x_t) * m_b) ** 2).mean()
    noted = training.step(0, pairs)
    assert noted["loss_person"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert set(noted) == {"loss_d", "loss_adv", "loss_cycle", "loss_person"}


def test_masks_of_the_two_domains_are_not_confused() -> None:
    training, pairs = started()
    only_a = replace(pairs, m_f=torch.ones_like(pairs.m_f), m_t=torch.zeros_like(pairs.m_t))
    fakes = training.translate(only_a)
    weight, value = training.more_terms(only_a, fakes)["person"]
    assert weight == 10
    assert value.item() == pytest.approx((fakes.b - pairs.x_s).square().mean().item(), rel=1e-5)


def striped(vertical: bool) -> Task:
    """Images that are white exactly where their masks are: half of them, on one side."""
    t = task()
    for domain, masks in ((t.source, t.source_masks), (t.target, t.target_masks)):
        assert isinstance(masks, np.ndarray)
        masks[:] = False
        half = (slice(None), slice(None), slice(3)) if vertical else (slice(None), slice(6))
        masks[half] = True
        domain.images[:] = masks[..., None] * 255
    return t


@pytest.mark.parametrize("vertical", [False, True])
def test_masks_are_mirrored_and_cropped_with_their_images(vertical: bool) -> None:
    """The release crops and mirrors images and leaves their masks."""
    t = striped(vertical)
    numbers = np.arange(10)
    batches = PairBatches(t, numbers[:9], numbers, 4, 0, "cpu", flip=True, enlarge=1.25)
    whites = Counter[int]()
    for _ in range(8):
        p = next(batches)
        for x, m in ((p.x_s, p.m_f), (p.x_t, p.m_t)):
            assert torch.equal((x > 0).float(), m.expand_as(x))
            assert set(m.unique().tolist()) <= {0.0, 1.0}
            whites.update(int(one.sum()) // (HEIGHT if vertical else WIDTH) for one in m)
    assert len(whites) > 1  # crops of several places


def test_crops_are_enlarged_parts_of_the_old_size() -> None:
    x, m = torch.rand(6, 3, 20, 10), (torch.rand(6, 1, 20, 10) > 0.5).float()
    got_x, got_m = enlarged_crop(x, m, 1.3, np.random.default_rng(0))
    assert got_x.shape == x.shape
    assert got_m.shape == m.shape
    large = nn.functional.interpolate(x, (26, 13), mode="bilinear")
    windows = large.unfold(2, 20, 1).unfold(3, 10, 1)  # (6, 3, 7, 4, 20, 10)
    for i in range(6):
        distance = (windows[i] - got_x[i][:, None, None]).abs().amax(dim=(0, 3, 4))
        assert distance.min() < 1e-5
    same_x, same_m = enlarged_crop(x, m, 1.0, np.random.default_rng(0))
    torch.testing.assert_close(same_x, x)
    assert torch.equal(same_m, m)


def test_persons_stay_and_their_surroundings_change() -> None:
    """Two images of each domain by heart, L_ID heavy: what the mask covers is kept."""
    t = task(2, 2)
    own = {**OWN, "flip": False, "enlarge": 1.0, "batch": 2, "width": 8, "lr": 0.003}
    o = {**OPTIONS, **own, "iterations": 80, "lambda_1": 100.0, "lambda_cycle": 1.0}
    trained = train(t, o, seed=0)
    renderer = load_renderer({**trained.file, **trained.file["ab"]}, t, "cpu")
    x = torch.from_numpy(t.source.images.copy()).permute(0, 3, 1, 2) / 127.5 - 1
    moved = (renderer.render(x, np.arange(2), np.random.default_rng(0)) - x).abs().mean(dim=1)
    person = torch.from_numpy(np.array(t.source_masks))
    assert moved[person].mean() < 0.2
    assert moved[~person].mean() > 3 * moved[person].mean()


@pytest.mark.parametrize("after", [4, 7])
def test_resumed_equals_uninterrupted(tmp_path: Path, after: int) -> None:
    path = tmp_path / "checkpoint.pt"
    check_resumed(run, tmp_path, Killing(path, after), Checkpoint(path, every=1e9))


def test_each_camera_of_either_domain_has_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cameras 1 and 2 of a, 1 and 4 of b: four trainings of two iterations each."""
    seen: list[tuple[set[int], set[int], int, int]] = []
    real = ptgan.fit

    def noting(model: str, kind: Any, o: ptgan.Options, t: Task, *, seed: int, **more: Any) -> Any:
        cameras = set(t.source.camid.tolist()), set(t.target.camid.tolist())
        seen.append((*cameras, o.iterations, seed))
        return real(model, kind, o, t, seed=seed, **more)

    monkeypatch.setattr(ptgan, "fit", noting)
    run_per_camera(seed=5)
    ab = [({1, 2}, {1}, 2, 5), ({1, 2}, {4}, 2, 6)]
    ba = [({1}, {1, 4}, 2, 7), ({2}, {1, 4}, 2, 8)]
    assert seen == [*ab, *ba]


def test_a_cameras_task_has_its_images_and_masks() -> None:
    t = task()
    assert isinstance(t.target_masks, np.ndarray)
    t.target_masks[:] = False
    t.target_masks[np.arange(10), np.arange(10), 0] = True
    only = ptgan._towards_camera(t, "ab", 4)
    assert only.target.camid.tolist() == [4] * 5
    rows = only.target.rows.tolist()
    assert np.array_equal(only.target.images, t.target.images[rows])
    assert only.target_masks[np.arange(5)][:, :, 0].argmax(1).tolist() == rows
    assert only.source is t.source
    other = ptgan._towards_camera(t, "ba", 2)
    assert set(other.source.camid.tolist()) == {2}
    assert other.target is t.target


def test_both_directions_of_a_per_camera_training(per_camera: Trained) -> None:
    file = {**per_camera.file, "domains": ["market1501", "dukemtmc"]}
    there = towards(file, "market1501", "dukemtmc")
    back = towards(file, "dukemtmc", "market1501")
    assert (there["to"], back["to"]) == ([1, 4], [1, 2])
    assert (len(there["states"]), len(back["states"])) == (2, 2)
    states = [*there["states"], *back["states"]]
    first = [next(iter(state.values())) for state in states]
    assert all(not torch.equal(x, y) for i, x in enumerate(first) for y in first[:i])
    assert [row["iteration"] for row in per_camera.history.rows] == [2, 4, 6, 8]


def test_renderings_go_to_random_cameras(per_camera: Trained) -> None:
    file = {**per_camera.file, **per_camera.file["ab"]}
    renderer = load_renderer(file, task(), "cpu")
    assert isinstance(renderer, CameraTranslators)
    assert renderer.varies
    x = torch.rand(40, 3, 16, 8) * 2 - 1
    x_g, camids = renderer.render_to(x, np.arange(40) % 9, np.random.default_rng(0))
    assert camids is not None
    assert set(camids.tolist()) == {1, 4}
    for state, camid in zip(file["states"], file["to"], strict=True):
        g = cyclegan.ResnetGenerator(4, 1)
        g.load_state_dict(state)
        mine = camids == camid
        with torch.no_grad():
            torch.testing.assert_close(x_g[mine], g(x[mine]), rtol=1e-4, atol=1e-5)
    again = renderer.render(x, np.arange(40) % 9, np.random.default_rng(0))
    assert torch.equal(again, x_g)


class KillingPart(Checkpoint):
    """Dies in the third training, after its first iteration."""

    def part(self, name: str) -> Checkpoint:
        path = super().part(name).path
        return Killing(path, 1) if name == "2" else Checkpoint(path, 0)


def test_per_camera_training_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = KillingPart(tmp_path / "checkpoint.pt", 0)
    with pytest.raises(Stop):
        run_per_camera(checkpoint=checkpoint, watch=Sheet())
    steps: list[int] = []
    step = Training.step

    def counting(self: Training, t: int, pairs: Pairs) -> dict[str, Tensor]:
        steps.append(t)
        return step(self, t, pairs)

    monkeypatch.setattr(Training, "step", counting)
    again = Checkpoint(tmp_path / "checkpoint.pt", every=1e9)
    resumed = files(run_per_camera, tmp_path / "resumed", again)
    assert steps == [1, 0, 1]  # the rest of the third training, and the fourth
    assert resumed == files(run_per_camera, tmp_path / "whole")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lambda_1": -1.0}, r"ptgan\.lambda_1 is -1"),
        ({"per_camera": 1}, r"ptgan\.per_camera is 1; it must be true or false"),
        ({"margin": 2.0}, r"ptgan\.margin: no such key"),
    ],
)
def test_bad_parameters(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(options=changes)


def test_is_found_by_its_name() -> None:
    assert load_translation("ptgan").train is train
