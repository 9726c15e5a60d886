"""Sheets: the right image at the right place."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from crgan.data.batches import from_gan
from crgan.gan.base import Preview
from crgan.gan.pairs import sample_pairs
from crgan.looks.generators import parts_of
from crgan.looks.samples import Sheet, draw, write_png
from crgan.nets.generator import Generator
from crgan.train.history import History
from tests.gan_fakes import HEIGHT, WIDTH, task


def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(width=4, levels=2)


class Learning:
    """What a generator makes of the same pairs."""

    def __init__(self, g: Generator, count: int) -> None:
        self.g, self.pairs = g, sample_pairs(task(), "cpu", count)

    def preview(self) -> Preview:
        x_s, x_t, _, m_t = self.pairs
        with torch.no_grad():
            made = self.g.parts(x_s, x_t, m_t)
        return Preview(
            {"X_S": x_s, "X_T": x_t, "M": m_t * 2 - 1},
            {"X_R": made.x_r, "X_C": made.x_c * 2 - 1, "X_G": made.x_g},
        )


HISTORY = History(("loss_g",), 1)


def test_draw_enlarges_and_places() -> None:
    rng = np.random.default_rng(0)
    rows = [(name, rng.integers(0, 255, (3, 64, 32, 3), dtype=np.uint8)) for name in ("X_S", "X_G")]
    sheet = draw(rows)
    assert sheet.shape == (2 * (128 + 2) + 2, 72 + 3 * (64 + 2) + 2, 3)
    second = sheet[2 + 130 : 2 + 130 + 128, 72 + 66 : 72 + 66 + 64]  # second row, second pair
    assert np.array_equal(second[::2, ::2], rows[1][1][1])
    assert sheet[:130, :72].min() < 128  # the row's name


def test_parts_are_shown_as_they_are() -> None:
    x = torch.linspace(-1, 1, 3 * 16 * 8).view(1, 3, 16, 8)
    mask = torch.zeros(1, 1, 16, 8)
    mask[..., :4] = 1
    named = dict(parts_of(generator(), x, -x, mask))
    assert named["X_S"][0, 0, 0].tolist() == [0, 85, 170]
    assert named["X_T"][0, -1, -1, 2] == 0
    assert named["M_T"][0, 0, :, 0].tolist() == [255] * 4 + [0] * 4
    with torch.no_grad():
        made = generator().parts(x, -x, mask)
    assert np.array_equal(named["X_R"], from_gan(made.x_r))
    assert np.array_equal(named["X_G"], from_gan(made.x_g))
    grey = named["X_C"][0]
    assert np.array_equal(grey[..., 0], grey[..., 2])
    assert abs(grey[3, 3, 0] / 255 - made.x_c[0, 0, 3, 3].item()) < 1 / 255


def test_a_sheet_shows_the_same_pairs_at_every_interval(tmp_path: Path) -> None:
    g = generator()
    learning, watch = Learning(g, count=3), Sheet(tmp_path)
    watch(10, HISTORY, learning)
    first = cv2.cvtColor(cv2.imread(str(tmp_path / "samples-000010.png")), cv2.COLOR_BGR2RGB)
    with torch.no_grad():
        g.head.bias[3] = -60.0  # X_G becomes X_S
    watch(20, HISTORY, learning)
    sheet = watch.drawn()
    row = HEIGHT * 8 + 2
    assert (tmp_path / "history.csv").read_text() == "iteration,lr,loss_g\n"
    assert sheet.shape[0] == 9 * row + 2
    assert np.array_equal(sheet[: 3 * row], first[: 3 * row])  # X_S, X_T, M stand once
    # 64 pixels wide each, after the margin with the rows' names
    pixels = np.s_[:, 72 : 72 + 3 * (WIDTH * 8 + 2)]
    x_s, x_g = sheet[2:row][pixels], sheet[2 + 8 * row : 9 * row][pixels]
    assert np.array_equal(x_s, x_g)


def test_a_sheet_goes_on_from_its_state() -> None:
    learning, whole, broken = Learning(generator(), count=2), Sheet(), Sheet()
    whole(1, HISTORY, learning)
    broken.load_state_dict(whole.state_dict())
    for sheet in (whole, broken):
        sheet(2, HISTORY, learning)
    assert np.array_equal(whole.drawn(), broken.drawn())


def test_trainings_that_follow_one_another_have_blocks_of_their_own() -> None:
    learning, alone, both = Learning(generator(), count=2), Sheet(), Sheet()
    for iteration in (1, 2):
        alone(iteration, HISTORY, learning)
    for _ in range(2):
        for iteration in (1, 2):
            both(iteration, HISTORY, learning)
    assert np.array_equal(both.drawn(), np.concatenate([alone.drawn()] * 2))


def test_a_sheet_that_cannot_be_drawn_is_blank_and_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"a\.png: no sample sheet"):
        Sheet().write(tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png")).shape == (1, 1, 3)


def test_png_has_the_colours(tmp_path: Path) -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 0] = 200  # red
    write_png(tmp_path / "a" / "p.png", image)
    assert cv2.imread(str(tmp_path / "a" / "p.png"))[0, 0].tolist() == [0, 0, 200]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["p.png"]
