"""The stored set: what is written, what a reader draws from it, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.data.batches import from_gan, to_gan
from crgan.data.store import Split
from crgan.gan.base import Renderer
from crgan.gan.rendered_set import Settings, StoredSet, write_set
from tests.gan_fakes import split

N = 70  # more than two batches of 32


class Shifted(Renderer):
    """Each image lighter by a grey level: a random one, or always 10."""

    def __init__(self, varies: bool) -> None:
        self.varies = varies
        self.asked: list[int] = []

    def render_to(
        self, x_s: Tensor, s_rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.int64] | None]:
        self.asked += s_rows.tolist()
        more = rng.integers(1, 100, len(x_s)) if self.varies else np.full(len(x_s), 10)
        return x_s + torch.from_numpy(more).float()[:, None, None, None] / 127.5, None


@pytest.fixture
def source(tmp_path: Path) -> Split:
    """A split, and its manifest in the test's folder."""
    (tmp_path / "manifest.csv").write_text("made of these rows")
    return split(20, N, (1, 2), (1, 2))


def write(folder: Path, source: Split, varies: bool = True, copies: int = 3, seed: int = 0) -> Path:
    path = folder / f"set-{varies}-{copies}-{seed}.h5"
    settings = settings_from(Settings, {"copies": copies, "seed": seed}, "render_set")
    write_set(path, source, Shifted(varies), settings, folder / "manifest.csv", "cpu")
    return path


def shifts(images: Tensor, source: Split, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """By how many grey levels each image is lighter than its own source image."""
    difference = from_gan(images).astype(int) - source.images[rows]
    assert (difference == difference[:, :1, :1, :1]).all()
    levels: NDArray[np.int64] = difference[:, 0, 0, 0].astype(np.int64)
    return levels


def test_a_method_that_does_not_vary_is_stored_once(tmp_path: Path, source: Split) -> None:
    path = write(tmp_path, source, varies=False)
    with h5py.File(path) as file:
        assert file["images"].shape == (N, 1, *source.images.shape[1:])
        assert np.array_equal(file["images"][:, 0], source.images + 10)
    stored = StoredSet(path, source, tmp_path / "manifest.csv")
    assert (stored.copies, stored.varies) == (1, False)
    rows = np.array([69, 0, 33])
    x_g, camids = stored.render_to(torch.empty(3), rows, np.random.default_rng(0))
    assert camids is None
    assert torch.equal(x_g, to_gan(source.images[rows] + np.uint8(10)))


def test_each_image_is_rendered_as_often_as_asked(tmp_path: Path, source: Split) -> None:
    renderer = Shifted(varies=True)
    settings = Settings(copies=3, seed=0)
    write_set(tmp_path / "set.h5", source, renderer, settings, tmp_path / "manifest.csv", "cpu")
    assert np.array_equal(np.bincount(renderer.asked), np.full(N, 3))
    with h5py.File(tmp_path / "set.h5") as file:
        difference = file["images"][:].astype(int) - source.images[:, None]
    levels = difference[:, :, 0, 0, 0]
    assert (difference == levels[:, :, None, None, None]).all()
    assert np.mean(levels[:, 0] == levels[:, 1]) < 0.1


def test_a_random_copy_of_each_image_asked_for(tmp_path: Path, source: Split) -> None:
    path = write(tmp_path, source)
    stored = StoredSet(path, source, tmp_path / "manifest.csv")
    assert stored.varies
    with h5py.File(path) as file:
        levels = file["images"][:, :, 0, 0, 0].astype(int) - source.images[:, None, 0, 0, 0]
    rng, rows = np.random.default_rng(1), np.full(300, 5)
    found = shifts(stored.render(torch.empty(300), rows, rng), source, rows)
    assert set(found.tolist()) == set(levels[5].tolist())
    counts = [np.mean(found == level) for level in set(levels[5].tolist())]
    assert min(counts) > 0.2
    mixed = np.random.default_rng(2).permutation(N)
    found = shifts(stored.render(torch.empty(N), mixed, rng), source, mixed)
    assert all(level in levels[row] for level, row in zip(found, mixed, strict=True))


def test_same_seed_same_bytes(tmp_path: Path, source: Split) -> None:
    first = write(tmp_path, source).read_bytes()
    assert write(tmp_path, source).read_bytes() == first
    assert write(tmp_path, source, seed=1).read_bytes() != first


def test_same_generator_same_draw(tmp_path: Path, source: Split) -> None:
    stored = StoredSet(write(tmp_path, source), source, tmp_path / "manifest.csv")
    rows = np.arange(20)
    one, two = (stored.render(torch.empty(20), rows, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one, two)


def test_nothing_half_written_is_left(tmp_path: Path, source: Split) -> None:
    class Failing(Shifted):
        def render_to(self, x_s: Tensor, s_rows: Any, rng: Any) -> Any:
            if s_rows[0]:
                raise KeyboardInterrupt
            return super().render_to(x_s, s_rows, rng)

    path = tmp_path / "set.h5"
    with pytest.raises(KeyboardInterrupt):
        write_set(path, source, Failing(True), Settings(2, 0), tmp_path / "manifest.csv", "cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.csv"]


def test_a_set_of_other_images_is_refused(tmp_path: Path, source: Split) -> None:
    path, manifest = write(tmp_path, source), tmp_path / "manifest.csv"
    with pytest.raises(UserError, match="no such rendered set; run render_set first"):
        StoredSet(tmp_path / "none.h5", source, manifest)
    with pytest.raises(UserError, match=r"images \(70, .*the source's training split is \(3, "):
        StoredSet(path, split(20, 3, (1,), (1,)), manifest)
    (tmp_path / "other.csv").write_text("made of other rows")
    with pytest.raises(UserError, match="from another state of"):
        StoredSet(path, source, tmp_path / "other.csv")


def test_damaged_files_are_refused(tmp_path: Path, source: Split) -> None:
    manifest, path = tmp_path / "manifest.csv", tmp_path / "set.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(UserError, match="not a rendered set"):
        StoredSet(path, source, manifest)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "masks"
    with pytest.raises(UserError, match=r"not a rendered set.*format 'masks'"):
        StoredSet(path, source, manifest)
    whole = write(tmp_path, source)
    with h5py.File(whole, "a") as file:
        del file["images"]
    with pytest.raises(UserError, match="not a rendered set"):
        StoredSet(whole, source, manifest)


def test_no_copies() -> None:
    with pytest.raises(UserError, match=r"render_set\.copies is 0"):
        settings_from(Settings, {"copies": 0, "seed": 0}, "render_set")
