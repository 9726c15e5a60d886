"""Kept FID statistics: equal to computed ones, and never those of anything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.metrics import fid_cache
from crgan.metrics.fid import FidNet, fid_between, load_inception, statistics
from crgan.metrics.fid_cache import kept_statistics, key_of_images


@pytest.fixture(scope="module")
def net() -> FidNet:
    return load_inception("random", dims=64)


def crops(count: int = 4, seed: int = 0, height: int = 32) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, height, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("count", [4, 70])
def test_kept_equals_computed_and_is_computed_once(
    count: int, net: FidNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, other = crops(count), statistics(net, crops(seed=9))
    computed = statistics(net, images)
    first = kept_statistics(tmp_path / "kept", net, images, "manifest")
    monkeypatch.setattr(fid_cache, "statistics", None)  # calling it again would fail
    again = kept_statistics(tmp_path / "kept", net, images, "manifest")
    expected = fid_between(computed, other)
    assert fid_between(first, other) == expected
    assert fid_between(again, other) == expected  # to the last bit


def test_every_part_of_the_key_makes_another_file(net: FidNet, tmp_path: Path) -> None:
    images = crops()
    one_pixel = images.copy()
    one_pixel[3, 31, 15, 2] ^= 1
    others = [
        (net, images, "another manifest"),
        (net, one_pixel, "manifest"),
        (net, images[:3], "manifest"),
        (net, images[::-1], "manifest"),
        (net, images.reshape(4, 16, 32, 3), "manifest"),
        (load_inception("random", dims=64, seed=1), images, "manifest"),
        (load_inception("random", dims=192), images, "manifest"),
    ]
    kept_statistics(tmp_path, net, images, "manifest")
    for count, (network, given, manifest) in enumerate(others, start=2):
        kept_statistics(tmp_path, network, given, manifest)
        assert len(list(tmp_path.glob("*.npz"))) == count


def test_a_damaged_or_foreign_file_is_made_anew(net: FidNet, tmp_path: Path) -> None:
    images = crops()
    kept_statistics(tmp_path, net, images, "manifest")
    (file,) = tmp_path.glob("*.npz")
    whole = file.read_bytes()
    kept_statistics(tmp_path / "other", net, crops(seed=1), "manifest")
    foreign = next((tmp_path / "other").glob("*.npz")).read_bytes()
    for wrong in (whole[:100], foreign):
        file.write_bytes(wrong)
        kept_statistics(tmp_path, net, images, "manifest")
        assert file.read_bytes() == whole


def test_a_memory_map_is_the_same_images(net: FidNet, tmp_path: Path) -> None:
    images = crops(5)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert key_of_images(net, mapped, "m") == key_of_images(net, images, "m")


def test_one_image_has_no_statistics(net: FidNet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 2"):
        kept_statistics(tmp_path, net, crops(1), "manifest")
    assert not list(tmp_path.iterdir())
