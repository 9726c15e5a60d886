"""BoW: colour names, votes, strips, burstiness and IDF by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.data.store import Split
from crgan.handcrafted import bow
from crgan.handcrafted.base import system
from crgan.handcrafted.colour_names import TERMS, load_table, own_table, table_index
from crgan.pipeline import params as parameters


def options(**changes: Any) -> dict[str, Any]:
    section = dict(parameters.load()["handcrafted"]["bow"])
    section.pop("image")
    return {**section, "samples": 2000, **changes}


def settings(**changes: Any) -> bow.Options:
    return settings_from(bow.Options, options(**changes), "bow")


def crops(n: int, height: int = 128, width: int = 64, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, height // 8, width // 8, 3))
    fine = coarse.repeat(8, axis=1).repeat(8, axis=2) + rng.integers(-20, 20, (n, height, width, 3))
    return np.clip(fine, 0, 255).astype(np.uint8)


def split(images: np.ndarray) -> Split:
    nothing = np.full(len(images), -2)
    return Split(images, nothing, nothing, nothing)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return own_table(20.0)


def test_the_table_is_a_naming(table: np.ndarray) -> None:
    assert table.shape == (32_768, 11)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)
    assert (table >= 0).all()


@pytest.mark.parametrize(
    ("rgb", "term"),
    [
        ((10, 10, 12), "black"), ((20, 30, 160), "blue"), ((120, 70, 30), "brown"),
        ((128, 128, 128), "grey"), ((30, 130, 40), "green"), ((250, 140, 10), "orange"),
        ((250, 180, 190), "pink"), ((128, 10, 130), "purple"), ((200, 10, 20), "red"),
        ((250, 250, 250), "white"), ((250, 250, 20), "yellow"),
    ],
)  # fmt: skip
def test_plain_colours_have_their_names(
    table: np.ndarray, rgb: tuple[int, int, int], term: str
) -> None:
    row = table[table_index(np.array([rgb], dtype=np.uint8))][0]
    assert TERMS[row.argmax()] == term


def test_table_index_runs_over_red_first() -> None:
    pixels = np.array([[8, 0, 0], [0, 8, 0], [0, 0, 8], [255, 255, 255]], dtype=np.uint8)
    assert table_index(pixels).tolist() == [1, 32, 1024, 32_767]


def test_a_cell_is_the_mean_of_its_pixels() -> None:
    table = np.zeros((32_768, 2), dtype=np.float32)
    table[1] = (1, 0)
    table[0] = (0, 1)
    image = np.zeros((1, 4, 8, 3), dtype=np.uint8)
    image[0, :2, :2, 0] = 8  # a quarter of the left cell
    cells = bow.cell_colours(image, table, 4)
    assert cells.tolist() == [[[[0.25, 0.75], [0.0, 1.0]]]]


def test_histogram_by_hand() -> None:
    """Two cells a row, two rows a strip, one strip; three words, of which each cell takes two."""
    table = np.zeros((32_768, 2), dtype=np.float32)
    table[0], table[31] = (1, 0), (0, 1)  # black and red
    words = np.array([[1, 0], [0, 1], [0.5, 0.5]], dtype=np.float32)
    image = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    image[0, 4:, 4:, 0] = 255  # three black cells, one red below at the right
    made = bow.histograms(image, table, words, settings(words=3, nearest=2, sigma=1.0))
    mask = np.exp(-2)  # all four cells are corners of the grid
    half = np.exp(-np.sqrt(0.5))  # a pure cell's distance to the third word
    expected = [3 * mask / np.sqrt(3), mask / np.sqrt(1), 4 * mask * half / np.sqrt(4)]
    np.testing.assert_allclose(made[0], expected, rtol=1e-5)


def test_strips_stand_one_after_another_from_the_top(table: np.ndarray) -> None:
    words = np.eye(11, dtype=np.float32)
    image = np.full((1, 128, 64, 3), 255, dtype=np.uint8)
    image[:, 24:32] = (255, 0, 0)  # grid rows 6 and 7: the strip 3
    made = bow.histograms(image, table, words, settings(words=11, nearest=1)).reshape(16, 11)
    red, white = TERMS.index("red"), TERMS.index("white")
    assert np.flatnonzero(made[:, red]).tolist() == [3]
    assert 3 not in np.flatnonzero(made[:, white])
    assert made[8, white] > made[0, white]  # the mask


def test_gaussian_mask() -> None:
    mask = bow.gaussian_mask(3, 5, (1.0, 1.0))
    np.testing.assert_allclose(mask[1], np.exp([-1, -0.25, 0, -0.25, -1]), rtol=1e-6)
    assert mask[0, 0] == pytest.approx(np.exp(-2))
    assert bow.gaussian_mask(3, 5, (1.0, 2.0))[0, 2] == pytest.approx(np.exp(-0.25))


def test_statistics_by_hand() -> None:
    raw = np.array([[2, 0, 1], [4, 0, 1], [0, 0, 1], [0, 0, 1]], dtype=np.float32)
    counted = bow.statistics_of(raw)
    assert counted.negative_evidence.tolist() == [1.5, 0, 1]
    np.testing.assert_allclose(counted.idf, np.log([2, 4, 1]), rtol=1e-6)
    features = bow.weighted(raw, counted)
    # the third bin, which all have, says nothing; then length 1
    np.testing.assert_allclose(features, [[1, 0, 0], [1, 0, 0], [-1, 0, 0], [-1, 0, 0]], atol=1e-6)


def test_fit_gives_5600_numbers_of_length_1() -> None:
    images = crops(12)
    described = [
        system("bow")(split(images), split(images), options(), seed=3, threads=threads)(images[:7])
        for threads in (1, 2)
    ]
    assert described[0].shape == (7, 5600)
    np.testing.assert_allclose(np.linalg.norm(described[0], axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(described[0], described[1])


def test_the_codebook_is_the_sources_and_the_statistics_the_targets() -> None:
    a, b = split(crops(6, seed=1)), split(crops(6, seed=2))
    small = {"words": 30, "samples": 1000}
    base = bow.fit(a, b, options(**small), seed=0, threads=1)(a.images)
    own = bow.fit(a, b, options(**small, statistics="source"), seed=0, threads=1)(a.images)
    other = bow.fit(b, b, options(**small), seed=0, threads=1)(a.images)
    assert not np.allclose(base, own)
    assert not np.allclose(base, other)


def test_released_files_are_taken(tmp_path: Path, table: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    codebook = rng.dirichlet(np.ones(11), 20)
    ne, idf = rng.random((320, 1)), rng.random((320, 1)) * 3
    savemat(tmp_path / "w2c.mat", {"w2c": table})
    savemat(tmp_path / "codebook.mat", {"codebook": codebook})
    savemat(tmp_path / "params.mat", {"par": {"ne": ne, "idf": idf, "sigma": 3}})
    images = crops(3)
    files = {"colour_table": str(tmp_path / "w2c.mat"), "codebook": str(tmp_path / "codebook.mat"),
             "statistics_file": str(tmp_path / "params.mat")}  # fmt: skip
    made = bow.fit(split(images), split(images), options(words=20, **files), seed=0, threads=1)(
        images
    )
    raw = bow.histograms(images, table, codebook.astype(np.float32), settings(words=20))
    expected = (raw - ne[:, 0]) * np.sqrt(idf[:, 0])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nearest": 400}, "of only 350 words"),
        ({"samples": 10}, "fewer than the 350 words"),
        ({"statistics": "test"}, "use one of source, target"),
        ({"colour_table": "nowhere.mat"}, "nowhere.mat: no such file"),
        ({"cell": 5}, "no whole number of cells"),
    ],
)
def test_bad_options_are_refused(changes: dict[str, Any], message: str) -> None:
    images = crops(2)
    with pytest.raises(UserError, match=message):
        bow.fit(split(images), split(images), options(**changes), seed=0, threads=1)


def test_too_few_colours_for_the_codebook_are_refused() -> None:
    images = np.zeros((4, 128, 64, 3), dtype=np.uint8)
    with pytest.raises(UserError, match="1 cells of different colour"):
        bow.fit(split(images), split(images), options(), seed=0, threads=1)


def test_other_files_are_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "other.mat", {"w2c": np.zeros((10, 11))})
    with pytest.raises(UserError, match=r"w2c is \(10, 11\)"):
        load_table(tmp_path / "other.mat")
    with pytest.raises(UserError, match="no variable 'codebook'"):
        bow.load_codebook(str(tmp_path / "other.mat"), 350)
    (tmp_path / "text.mat").write_text("this is not a MATLAB file, but long enough to be one" * 9)
    with pytest.raises(UserError, match=r"not a readable \.mat file"):
        load_table(tmp_path / "text.mat")
