"""HHL: the triplet loss by hand, its batches, what learns, both trainings resumed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crgan.adaptation import hhl
from crgan.adaptation.hhl import Options, PeopleSampler, TripletBatches, batch_hard
from crgan.adaptation.joint import People
from crgan.adaptation.start import begin
from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.data.batches import Augmentation, from_gan
from crgan.gan import stargan
from crgan.reid.model_file import build_reid
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN as COMPUTE
from crgan.train.loop import Several
from tests.adapt_fakes import SIZE, SOLVER, Killed, KilledAfter, equal, fresh, people, target
from tests.gan.test_stargan import OPTIONS as STARGAN

OWN: dict[str, Any] = {
    **SOLVER, "batch": 6, "people": 2, "images": 3, "target_batch": 2, "beta": 0.5,
    "margin": 0.3, "hidden": 12, "embedding": 5, "dropout": 0.5,
}  # fmt: skip
OPTIONS = {**OWN, **{f"stargan_{key}": value for key, value in STARGAN.items()}}
PLAIN = Augmentation(flip=0)


def options(**changes: Any) -> Options:
    return settings_from(Options, {**OPTIONS, **changes}, "hhl")


def styled() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Renderings of the target: its images a little lighter, once for each of three cameras."""
    images = target().images // 2
    return np.stack([images + 20 * k for k in (1, 2, 3)], axis=1)


def setting(**changes: Any) -> tuple[hhl.Training, Several]:
    torch.manual_seed(0)
    o, who = options(**changes), People(people())
    net = begin(fresh(), SIZE, "HHL", pooling="mean")
    return hhl.Training(o, net, who), hhl.batches_of(o, who, target(), styled(), 0)


def adapted(checkpoint: Checkpoint | None = None, **changes: Any) -> dict[str, Any]:
    return hhl.adapt(
        fresh(), people(attributes=False), target(), {**OPTIONS, **changes}, seed=3,
        checkpoint=checkpoint,
    )  # fmt: skip


def test_batch_hard_by_hand() -> None:
    x = torch.tensor([[0.0, 0], [3, 4], [0, 1], [0, 7]], requires_grad=True)
    labels = torch.tensor([5, 5, -1, -2])
    # farthest positive - nearest negative, and the margin: 5 - 1, 5 - sqrt(18), 0 - 1, 0 - sqrt(18)
    wanted = (0.3 + 4) + (0.3 + 5 - math.sqrt(18)) + 0 + 0
    loss = batch_hard(x, labels, 0.3)
    assert loss.item() == pytest.approx(wanted / 4)
    loss.backward()
    assert x.grad is not None
    # the first image: pulled along (3, 4) / 5 as anchor and as positive of the second, pushed
    # off the third along (0, 1)
    assert (x.grad[0] * 4).tolist() == pytest.approx([-2 * 3 / 5, -2 * 4 / 5 + 1])


def test_batch_hard_where_images_are_the_same() -> None:
    x = torch.zeros(4, 3, requires_grad=True)
    loss = batch_hard(x, torch.tensor([0, 0, 1, 1]), 0.3)
    assert loss.item() == pytest.approx(0.3)
    loss.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_people_come_equally_often_and_with_all_their_images() -> None:
    labels = np.array([0] * 5 + [1] * 2 + [2] * 3)
    sampler = PeopleSampler(labels, 2, 3, np.random.SeedSequence(0))
    drawn = [next(sampler) for _ in range(30)]
    for rows in drawn:
        first, second = labels[rows].reshape(2, 3)
        assert len(set(first.tolist())) == len(set(second.tolist())) == 1
    assert np.bincount(labels[np.concatenate(drawn)]).tolist() == [60, 60, 60]
    enough = [r for rows in drawn for r in rows.reshape(2, 3) if labels[r[0]] != 1]
    assert all(len(set(r.tolist())) == 3 for r in enough)
    assert set(np.concatenate(drawn).tolist()) == set(range(10))


def test_a_target_image_and_its_renderings_are_one_person() -> None:
    who, images, made = People(people()), target().images, styled()
    batches = TripletBatches(who, images, made, options(), PLAIN, np.random.SeedSequence(1))
    x_s, x_t, labels = next(batches)
    assert (len(x_s), len(x_t), len(labels)) == (6, 8, 14)
    source = from_gan(x_s)
    for image, label in zip(source, labels[:6].tolist(), strict=True):
        of_label = who.images[who.labels == label]
        assert any(np.array_equal(image, other) for other in of_label)
    groups = from_gan(x_t).reshape(2, 4, *SIZE, 3)
    for group, label in zip(groups, labels[6:].view(2, 4), strict=True):
        row = next(i for i, x in enumerate(images) if np.array_equal(x, group[0]))
        assert np.array_equal(group[1:], made[row])
        assert label.tolist() == [-1 - row] * 4


def test_everything_learns_also_what_the_release_freezes() -> None:
    training, batches = setting(dropout=0.0)
    parts = {"net": training.net, "heads": training.heads}
    before = {n: [p.detach().clone() for p in part.parameters()] for n, part in parts.items()}
    assert list(training.step(0, next(batches))) == ["ce", "triplet"]
    for name, part in parts.items():
        for old, p in zip(before[name], part.parameters(), strict=True):
            assert not torch.equal(old, p), name


def test_the_backbone_learns_at_its_own_rate_and_both_fall_to_a_tenth() -> None:
    training, batches = setting(lr=0.2, backbone_lr_scale=0.1, iterations=4, step_at=0.5)
    rates = []
    for t in (1, 2):
        training.step(t, next(batches))
        rates.append([group["lr"] for group in training.sgd.param_groups])
    assert rates[0] == pytest.approx([0.02, 0.2])
    assert rates[1] == pytest.approx([0.002, 0.02])


def test_it_learns_people_and_camera_invariance() -> None:
    training, batches = setting(batch=12, iterations=60, step_at=1.0, dropout=0.0, people=4)
    seen = [training.step(t, next(batches)) for t in range(60)]
    assert seen[-1]["ce"] < 0.5 * seen[0]["ce"]
    assert seen[-1]["triplet"] < 0.5 * seen[0]["triplet"]


def test_renderings_of_each_camera(tmp_path: Path) -> None:
    images = target().images
    o = settings_from(stargan.Options, {**STARGAN, "iterations": 1}, "hhl.stargan")
    file = hhl._learned_styles(target(), o, 0, None, COMPUTE)
    made = hhl.render(images, stargan.Styles(file))
    assert made.shape == (9, 3, *SIZE, 3)
    again = np.zeros_like(made)
    stargan.Styles(file).of(images, again)
    assert np.array_equal(made, again)


def test_the_file() -> None:
    file = adapted()
    assert (file["pids"], file["pooling"], file["embedding"]) == ([], "mean", 0)
    assert file["notes"] == ["a note"]
    build_reid(file, "file")


# StarGAN of 4 iterations saves 3 times, then its styles are saved, then the CNN's 3 times
@pytest.mark.parametrize("saves", [2, 4, 6])
def test_resumed_equals_uninterrupted(tmp_path: Path, saves: int) -> None:
    whole = adapted()
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(Killed):
        adapted(KilledAfter(path, saves))
    assert (tmp_path / "checkpoint.styles.pt").exists() == (saves >= 4)
    assert path.exists() == (saves > 4)
    torch.manual_seed(99)
    checkpoint = Checkpoint(path, every=0)
    assert equal(whole, adapted(checkpoint))
    checkpoint.remove()
    assert not list(tmp_path.iterdir())


def test_what_it_cannot_do_is_told() -> None:
    with pytest.raises(UserError, match=r"hhl.epochs"):
        adapted(epochs=3)
    with pytest.raises(UserError, match=r"hhl.stargan_epochs"):
        adapted(stargan_epochs=3)
    with pytest.raises(UserError, match=r"hhl.images is 1"):
        adapted(images=1)
    with pytest.raises(UserError, match=r"hhl\.dropout is 1"):
        adapted(dropout=1.0)
