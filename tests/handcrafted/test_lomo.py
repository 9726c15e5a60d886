"""LOMO: its length, SILTP and the maximal occurrence by hand, and what Retinex should do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.data.store import Split
from crgan.handcrafted import lomo
from crgan.handcrafted.base import system
from crgan.pipeline import params as parameters


def options(**changes: Any) -> dict[str, Any]:
    section = dict(parameters.load()["handcrafted"]["lomo"])
    section.pop("image")
    return {**section, **changes}


def settings(**changes: Any) -> lomo.Options:
    return settings_from(lomo.Options, options(**changes), "lomo")


def crops(n: int, height: int = 128, width: int = 48) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (n, height // 8, width // 8, 3))
    fine = coarse.repeat(8, axis=1).repeat(8, axis=2) + rng.integers(-20, 20, (n, height, width, 3))
    return np.clip(fine, 0, 255).astype(np.uint8)


def split(images: np.ndarray) -> Split:
    nothing = np.full(len(images), -2)
    return Split(images, nothing, nothing, nothing)


@pytest.mark.parametrize(
    ("height", "width", "dims"), [(128, 48, 26_960), (160, 60, 35_722), (256, 128, 57_290)]
)
def test_dimension_is_the_official_one(height: int, width: int, dims: int) -> None:
    assert lomo.dimension(settings(), height, width) == dims


def test_fit_describes_images_one_by_one() -> None:
    images = crops(11)
    describe = system("lomo")(split(images), split(images), options(), seed=0, threads=2)
    features = describe(images)
    assert features.shape == (11, 26_960)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(describe(images[4:5])[0], features[4])
    one = lomo.describer(settings(), 128, 48, threads=1)(images)
    np.testing.assert_array_equal(one, features)


def test_each_of_the_three_parts_has_length_1() -> None:
    feature = lomo.describer(settings(), 128, 48, threads=1)(crops(1))[0]
    ends = np.cumsum([40 * 512, 40 * 81, 40 * 81])
    for part in np.split(feature, ends[:-1]):
        assert np.linalg.norm(part) == pytest.approx(1, abs=1e-5)
    assert ends[-1] == len(feature)


def test_siltp_by_hand() -> None:
    # the middle is 0.5, so darker is below 0.35 and brighter above 0.65
    grey = np.array([[[0.9, 0.3, 0.1], [0.6, 0.5, 0.7], [0.2, 0.66, 0.4]]], dtype=np.float32)
    codes = lomo.siltp(grey, radius=1, tau=0.3)
    # right 0.7: 2; up 0.3: 1; left 0.6: 0; down 0.66: 2
    assert codes[0, 1, 1] == 2 * 1 + 1 * 3 + 0 * 9 + 2 * 27
    # top left, 0.9: right 0.3 darker; up and left are itself, repeated; down 0.6 below 0.63
    assert codes[0, 0, 0] == 1 * 1 + 0 * 3 + 0 * 9 + 1 * 27


def test_siltp_does_not_see_the_light() -> None:
    grey = np.random.default_rng(1).random((2, 20, 16), dtype=np.float32)
    np.testing.assert_array_equal(
        lomo.siltp(grey, 3, 0.3), lomo.siltp(grey / np.float32(4), 3, 0.3)
    )


def test_maximal_occurrence_by_hand() -> None:
    # blocks of 2x2, 1 apart: two heights of three blocks each
    patterns = np.array([[[0, 0, 1, 2], [0, 0, 1, 1], [2, 1, 1, 1]]])
    counts = lomo.maximal_occurrence(patterns, bins=3, block=2, step=1)
    # above: {0: 4}, {0: 2, 1: 2}, {1: 3, 2: 1}; below: {0: 2, 1: 1, 2: 1}, {0: 1, 1: 3}, {1: 4}
    assert counts.tolist() == [[4, 3, 1, 2, 4, 1]]


def test_maximal_occurrence_leaves_the_rest_beyond_the_last_block() -> None:
    patterns = np.zeros((1, 12, 13), dtype=np.intp)
    patterns[:, 10:] = 1  # blocks of 10, 5 apart: only one fits 12x13
    patterns[:, :, 10:] = 1
    assert lomo.maximal_occurrence(patterns, 2, 10, 5).tolist() == [[100, 0]]


def test_it_does_not_matter_where_across_a_pattern_stands() -> None:
    patterns = np.zeros((1, 20, 40), dtype=np.intp)
    patterns[:, 3:9, 5:10] = 7
    moved = np.roll(patterns, 20, axis=2)
    np.testing.assert_array_equal(
        lomo.maximal_occurrence(patterns, 8, 10, 5), lomo.maximal_occurrence(moved, 8, 10, 5)
    )


def test_halving_leaves_out_the_odd_last() -> None:
    values = np.arange(15, dtype=np.float32).reshape(1, 3, 5)
    assert lomo.halved(values).tolist() == [[[3.0, 5.0]]]


def test_hsv_bins() -> None:
    colours = np.array([[[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]]]], np.float32)
    assert lomo.quantised_hsv(colours, (8, 8, 8))[0, 0].tolist() == [
        [0, 7, 7], [2, 7, 7], [5, 7, 7], [0, 0, 7], [0, 0, 0],
    ]  # fmt: skip


@pytest.mark.parametrize("mode", ["channels", "colour_preserving"])
def test_retinex_takes_away_the_exposure(mode: lomo.RetinexMode) -> None:
    images = crops(1) // 2 + 80
    darker = images // 2
    blur = lomo.surrounds(128, 48, (5.0, 20.0))
    bright, dark = (lomo.retinex(i, blur, mode, (0.01, 0.99)) for i in (images, darker))
    assert bright.min() >= 0
    assert bright.max() <= 1
    assert np.abs(bright - dark).mean() < 0.03
    assert np.abs(bright - images / 255).mean() > 0.1


def test_retinex_of_channels_takes_away_the_light_colour() -> None:
    images = crops(1) // 2 + 80
    tinted = (images * np.array([1.0, 0.7, 0.5])).astype(np.uint8)
    blur = lomo.surrounds(128, 48, (5.0, 20.0))
    apart = [
        np.abs(np.subtract(*(lomo.retinex(i, blur, mode, (0.01, 0.99)) for i in (images, tinted))))
        for mode in ("channels", "colour_preserving")
    ]
    assert apart[0].mean() < 0.03 < 0.1 < apart[1].mean()


def test_colour_preserving_retinex_keeps_hue() -> None:
    image = np.full((1, 32, 32, 3), (200, 100, 50), dtype=np.uint8)
    image[:, 8:20, 8:20] = (40, 80, 120)
    blur = lomo.surrounds(32, 32, (5.0, 20.0))
    clear = lomo.retinex(image, blur, "colour_preserving", (0.01, 0.99))
    ratios = clear / clear.max(axis=-1, keepdims=True)
    expected = image / image.max(axis=-1, keepdims=True)
    np.testing.assert_allclose(ratios, expected, atol=1e-4)


def test_a_image_of_one_colour_is_described() -> None:
    images = np.stack([np.full((128, 48, 3), value, np.uint8) for value in (0, 90, 255)])
    features = lomo.describer(settings(), 128, 48, threads=1)(images)
    assert np.isfinite(features).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": 12}, "multiple of step"),
        ({"block": 20, "step": 10}, r"lomo\.block is 20; it must be 15 at most"),
        ({"retinex_clip": [0.9, 0.1]}, "rising"),
        ({"scales": 0}, "it must be 1 at least"),
        ({"retinex_mode": "none"}, "use one of channels|use one of colour_preserving"),
        ({"colour": 1}, "no such key"),
    ],
)
def test_bad_options_are_refused(changes: dict[str, Any], message: str) -> None:
    images = crops(1)
    with pytest.raises(UserError, match=message):
        lomo.fit(split(images), split(images), options(**changes), seed=0, threads=1)


def test_images_too_small_are_refused() -> None:
    with pytest.raises(UserError, match="scale 2 of 3"):
        lomo.dimension(settings(), 40, 16)
