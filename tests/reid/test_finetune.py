"""Fine-tuning sees rendered images, the source's labels, and of the target nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.errors import UserError
from crgan.data.batches import Augmentation, to_gan
from crgan.data.store import Split
from crgan.reid.finetune import FineTuning, RenderedBatches, finetune, mirror_and_shift
from crgan.reid.model_file import build_reid
from crgan.reid.pretrain import Start, pretrain_id
from crgan.train.checkpoint import Checkpoint
from crgan.train.classifier import Recipe

PLAIN = Recipe(iterations=6, batch=8, lr=1e-3)


def source(n: int = 12) -> Split:
    """Noise images 32x16 of pids 2, 5, 8, the first one junk."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 32, 16, 3), dtype=np.uint8)
    pid = np.array([2, 5, 8] * (n // 3))
    pid[0] = -1
    return Split(images, pid, np.ones(n, dtype=np.int64), np.arange(n))


class FakeRenderer:
    """Adds noise of its generator and of torch's; remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, NDArray[np.int64], Tensor]] = []

    def render(self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        assert not torch.is_grad_enabled()
        noise = torch.from_numpy(rng.standard_normal(x_s.shape).astype(np.float32))
        x_g = (x_s * 0.1 + noise * 0.2 + torch.rand(1) * 0.2).clamp(-1, 1)
        self.calls.append((x_s.clone(), s_rows.copy(), x_g.clone()))
        return x_g


def start() -> dict[str, Any]:
    return pretrain_id(source(), Start("small", 4), Recipe(1, 4, 1e-3), seed=0)[0]


def labels(split: Split) -> NDArray[np.int64]:
    return np.where(split.pid > 0, np.searchsorted([2, 5, 8], split.pid), -1)


def test_batches_are_the_renderings_with_the_labels_of_their_sources() -> None:
    split, fake = source(), FakeRenderer()
    batches = RenderedBatches(split, labels(split), fake, FineTuning(PLAIN), seed=0, device="cpu")
    seen: list[int] = []
    for _ in range(11):
        images, classes = next(batches)
        x_s, rows, x_g = fake.calls[-1]
        assert torch.equal(x_s, to_gan(split.images[rows]))
        assert torch.equal(images, x_g)  # no augmentation was asked for
        assert np.array([2, 5, 8])[classes.numpy()].tolist() == split.pid[rows].tolist()
        seen += rows.tolist()
    # 88 draws are eight epochs of the eleven labelled images; the junk image is never drawn
    assert np.bincount(seen, minlength=12).tolist() == [0] + [8] * 11


def test_share_of_real_images() -> None:
    split, fake = source(), FakeRenderer()
    plan = FineTuning(PLAIN, real_share=0.25)
    images, classes = next(RenderedBatches(split, labels(split), fake, plan, 0, "cpu"))
    _, rows, x_g = fake.calls[0]
    assert (len(images), len(classes), len(rows)) == (8, 8, 6)
    assert torch.equal(images[:6], x_g)
    real = to_gan(split.images)
    assert all((image == real).flatten(1).all(1).any() for image in images[6:])


def test_mirror_and_shift() -> None:
    x = torch.arange(24.0).reshape(2, 1, 3, 4) / 100
    rng = np.random.default_rng(0)
    assert torch.equal(mirror_and_shift(x, Augmentation(flip=0.0), rng), x)
    assert torch.equal(mirror_and_shift(x, Augmentation(flip=1.0), rng), x.flip(3))
    places = set()
    for _ in range(60):
        moved = mirror_and_shift(x, Augmentation(flip=0.0, pad=1), rng)
        assert moved.shape == x.shape
        for before, after in zip(x[:, 0], moved[:, 0], strict=True):
            found = [
                (down, right)
                for down in (-1, 0, 1)
                for right in (-1, 0, 1)
                if torch.equal(after, shifted(before, down, right))
            ]
            assert len(found) == 1
            places.add(found[0])
    assert len(places) == 9


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    """Worked out pixel by pixel: black where nothing comes from."""
    height, width = image.shape
    out = torch.full_like(image, -1.0)
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                out[y, x] = image[y - down, x - right]
    return out


def test_fine_tuning_learns_from_renderings_alone() -> None:
    """The renderer paints each person in a colour of its own; sources are noise of no meaning."""

    class Painter(FakeRenderer):
        def render(
            self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator
        ) -> Tensor:
            colours = torch.tensor([[0.0, 0, 0], [0.8, -0.8, 0], [-0.8, 0.8, 0], [0, -0.8, 0.8]])
            which = torch.from_numpy(labels(split)[s_rows] + 1)
            return colours[which][:, :, None, None].expand_as(x_s).contiguous()

    split, d_id = source(), start()
    plan = FineTuning(Recipe(iterations=40, batch=8, lr=5e-3, flip=0.5, crop_padding=0.1))
    file, history = finetune(d_id, split, Painter(), plan, seed=0, name="d_id.pt")
    assert history.rows[-1]["accuracy"] == 100
    assert {k: v for k, v in file.items() if k != "state"} == {
        k: v for k, v in d_id.items() if k != "state"
    }
    painted = Painter().render(to_gan(split.images), np.arange(12), np.random.default_rng(0))
    right = build_reid(file, "file")(painted).argmax(1).numpy() == labels(split)
    assert right[1:].all()


@pytest.mark.parametrize("mode", ["train", "frozen"])
def test_batch_norm_modes(mode: Any) -> None:
    d_id = start()
    plan = FineTuning(PLAIN, batch_norm=mode)
    file, _ = finetune(d_id, source(), FakeRenderer(), plan, seed=0, name="d_id.pt")
    changed = {
        name for name in file["state"] if not torch.equal(file["state"][name], d_id["state"][name])
    }
    norms = {name for name in file["state"] if ".bn" in name or name.startswith("backbone.1.")}
    assert "backbone.0.weight" in changed
    assert "classifier.weight" in changed
    assert bool(norms & changed) == (mode == "train")
    assert len(norms) > 20


class Killed(Exception):
    pass


class KilledAtFourth(Checkpoint):
    saves = 0

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.saves += 1
        if self.saves == 4:
            raise Killed


def test_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    d_id, path = start(), tmp_path / "c.pt"
    plan = FineTuning(Recipe(iterations=9, batch=8, lr=1e-3, flip=0.5, crop_padding=0.1))

    def run(checkpoint: Checkpoint | None = None) -> Any:
        return finetune(
            d_id, source(), FakeRenderer(), plan, seed=4, name="d", checkpoint=checkpoint
        )

    whole, history = run()
    with pytest.raises(Killed):
        run(KilledAtFourth(path, every=0))
    torch.manual_seed(99)
    resumed, again = run(Checkpoint(path, every=0))
    assert history.rows == again.rows
    assert all(torch.equal(whole["state"][k], resumed["state"][k]) for k in whole["state"])


def test_a_foreign_d_id_is_refused() -> None:
    d_id, split = start(), source()
    other = Split(split.images, split.pid + 1, split.camid, split.rows)
    with pytest.raises(UserError, match=r"d\.pt: learned 3 identities, not the source's"):
        finetune(d_id, other, FakeRenderer(), FineTuning(PLAIN), seed=0, name="d.pt")
    taller = Split(split.images.repeat(2, axis=1), split.pid, split.camid, split.rows)
    with pytest.raises(UserError, match=r"d\.pt: learned images of 32x16, .* 64x16"):
        finetune(d_id, taller, FakeRenderer(), FineTuning(PLAIN), seed=0, name="d.pt")


def test_the_plan_is_read_strictly() -> None:
    section = {"iterations": 1, "batch": 2, "lr": 0.1, "batch_norm": "frozen", "real_share": 0.5}
    plan = FineTuning.from_params(section)
    assert (plan.batch_norm, plan.real_share, plan.recipe.batch) == ("frozen", 0.5, 2)
    for change, message in (
        ({"batch_norm": "eval"}, "finetune.batch_norm is 'eval'"),
        ({"real_share": 1.0}, "finetune.real_share is 1.0"),
        ({"erasing": 0.5}, "finetune.erasing"),
        ({"width": 3}, "finetune.width: no such key"),
    ):
        with pytest.raises(UserError, match=message):
            FineTuning.from_params({**section, **change})
