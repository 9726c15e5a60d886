"""Figures: what is drawn where, which images are chosen, the same bytes twice."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.data.store import Split
from crgan.looks.canvas import Canvas, enlarged, shown_size
from crgan.looks.figures import (
    Examples,
    Renderings,
    draw_columns,
    draw_datasets,
    draw_renderings,
)
from crgan.looks.picks import pick_people, pick_queries
from crgan.looks.rank_lists import (
    RIGHT,
    WRONG,
    Found,
    RankList,
    draw_rank_lists,
    list_found,
)
from crgan.report.curves import draw_curves, read_history
from crgan.report.curves import main as curves
from crgan.tables.names import image_label, image_note

SIZE = (64, 32)


def plain(*levels: int) -> NDArray[np.uint8]:
    """One image of a single colour for each level; no letter is drawn in such a colour."""
    images = np.empty((len(levels), *SIZE, 3), dtype=np.uint8)
    for image, level in zip(images, levels, strict=True):
        image[:] = colour(level)
    return images


def colour(level: int) -> tuple[int, int, int]:
    return level, 250, 99


def where(sheet: NDArray[np.uint8], level: int) -> NDArray[np.bool_]:
    """The pixels of a sheet that belong to the plain image of a level."""
    return np.asarray((sheet == colour(level)).all(2))


def split(pids: list[int], camids: list[int]) -> Split:
    images = plain(*range(len(pids)))
    rows = np.arange(len(pids), dtype=np.int64)
    return Split(images, np.array(pids, np.int64), np.array(camids, np.int64), rows)


def shown(sheet: NDArray[np.uint8], level: int) -> int:
    """How many pixels of a sheet belong to the plain image of a level."""
    return int(where(sheet, level).sum())


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    assert shown_size(32, 16) == (128, 64)
    assert shown_size(48, 24) == (144, 72)
    assert shown_size(256, 128) == (256, 128)
    assert enlarged(plain(9)[0], (128, 64)).shape == (128, 64, 3)
    assert shown(enlarged(plain(9)[0], (128, 64)), 9) == 128 * 64


def test_figure_5_shows_two_images_of_each_person() -> None:
    images = plain(*range(40, 60)).reshape(10, 2, *SIZE, 3)
    camids = np.tile(np.array([1, 3]), (10, 1))
    sets = [Examples("One", images[:6], camids[:6]), Examples("Two", images[6:], camids[6:])]
    sheet = draw_datasets(sets, "note").array()
    # two bands of two rows and six columns of 128 x 64, and less than 60 rows of text for each
    assert 4 * 128 < sheet.shape[0] < 4 * 128 + 4 * 60
    assert 6 * 64 < sheet.shape[1] < 6 * 64 + 60
    assert [shown(sheet, level) for level in range(40, 60)] == [128 * 64] * 20


def test_generated_images_are_never_shown_as_the_data_set() -> None:
    assert image_label("market1501", "demo") == "Market-1501 (generated)"
    assert image_label("market1501", "paper") == "Market-1501"
    assert image_label("site", "mine") == "site"
    assert image_note("demo") == (
        "Profile demo: generated demo benchmark, not the data sets themselves."
    )
    assert image_note("paper") == "Profile paper."


def test_figure_6_shows_each_rendering_under_its_target() -> None:
    figure = Renderings(
        sources=plain(30, 31),
        targets=plain(40, 41, 42),
        baseline=plain(50, 51),
        rendered=plain(60, 61, 62, 63, 64, 65).reshape(2, 3, *SIZE, 3),
    )
    sheet = draw_renderings(figure, "note").array()

    def place(level: int) -> tuple[int, int]:
        rows, columns = np.nonzero(where(sheet, level))
        assert len(rows) == 128 * 64
        return int(rows.min()), int(columns.min())

    for row in range(2):
        tops = {place(level)[0] for level in (30 + row, 50 + row, 60 + 3 * row, 62 + 3 * row)}
        assert len(tops) == 1
        for column in range(3):
            assert place(60 + 3 * row + column)[1] == place(40 + column)[1]
    assert place(40)[0] + 128 <= place(60)[0]
    assert place(30)[1] < place(50)[1] < place(60)[1]


def test_columns_stand_side_by_side() -> None:
    sheet = draw_columns([("X_S", plain(40, 41)), ("X_G", plain(42, 43))], "a long note " * 9)
    array = sheet.array()
    assert [shown(array, level) for level in range(40, 44)] == [128 * 64] * 4
    assert array.shape[1] > 500  # the note is not cut off


def test_people_are_seen_by_two_cameras_where_possible() -> None:
    #             0  1  2  3  4  5  6  7  8
    data = split([0, 1, 1, 1, 2, 2, 3, 3, 4], [1, 1, 1, 2, 1, 1, 5, 6, 1])
    pairs = pick_people(data, 3, np.random.default_rng(0))
    assert {int(pid) for pid in data.pid[pairs[:, 0]]} == {1, 2, 3}  # 4 has one image, 0 no name
    assert (data.pid[pairs[:, 0]] == data.pid[pairs[:, 1]]).all()
    differ = data.camid[pairs[:, 0]] != data.camid[pairs[:, 1]]
    assert differ.tolist() == [True, True, False]  # person 2, known to one camera, comes last
    again = pick_people(data, 3, np.random.default_rng(0))
    assert (again == pairs).all()
    assert len(pick_people(data, 9, np.random.default_rng(0))) == 3


def test_images_without_labels_are_taken_as_they_come() -> None:
    data = split([-2] * 7, [1] * 7)
    pairs = pick_people(data, 3, np.random.default_rng(0))
    assert pairs.shape == (3, 2)
    assert len(set(pairs.ravel().tolist())) == 6
    assert pick_people(data, 5, np.random.default_rng(0)).shape == (3, 2)


def test_queries_are_of_different_people_and_have_a_match() -> None:
    query = split([1, 1, 2, 3, 4], [1, 2, 1, 1, 1])
    gallery = split([1, 1, 2, 3, 0, -1], [1, 2, 1, 2, 3, 1])  # 2 in its own camera only, 4 absent
    chosen = pick_queries(query, gallery, 2, np.random.default_rng(1))
    assert {int(pid) for pid in query.pid[chosen]} == {1, 3}
    everyone = pick_queries(query, gallery, 9, np.random.default_rng(1))
    assert sorted(everyone.tolist()) == [0, 1, 3]
    assert {int(pid) for pid in query.pid[everyone[:2]]} == {1, 3}


def test_rank_list_removes_same_camera_and_junk_and_knows_right_from_wrong() -> None:
    query = split([7], [1])
    gallery = split([7, -1, 8, 7, 0], [1, 2, 2, 3, 4])
    angles = np.deg2rad([1.0, 2.0, 3.0, 4.0, 5.0])
    near = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    features = (np.array([[1.0, 0.0]], dtype=np.float32), near)
    [ranks] = list_found(
        query, gallery, features, np.array([0]), count=10, metric="cosine",
        shown=(query, Split(plain(*range(100, 105)), gallery.pid, gallery.camid, gallery.rows)),
    )  # fmt: skip
    assert [found.is_right for found in ranks.found] == [False, True, False]
    assert [found.camid for found in ranks.found] == [2, 3, 4]
    assert [int(found.image[0, 0, 0]) for found in ranks.found] == [102, 103, 104]


def test_right_is_framed_solid_green_and_wrong_dashed_red() -> None:
    def frame_pixels(right: bool, frame: tuple[int, int, int]) -> int:
        found = Found(plain(50)[0], 2, right)
        sheet = draw_rank_lists(
            [RankList(plain(40)[0], 1, (found,))], "title", ["note", "more"]
        ).array()
        rows, columns = np.nonzero(where(sheet, 50))
        top, left = int(rows.min()), int(columns.min())
        ring = sheet[top - 4 : top + 132, left - 4 : left + 68]
        assert len(rows) == 128 * 64  # the frame hides nothing of the image
        return int((ring == frame).all(2).sum())

    whole = 136 * 72 - 128 * 64
    assert frame_pixels(True, RIGHT) == whole
    assert frame_pixels(True, WRONG) == frame_pixels(False, RIGHT) == 0
    assert 0.4 * whole < frame_pixels(False, WRONG) < 0.65 * whole


def test_the_marks_differ_without_colour() -> None:
    def grey(right: bool) -> NDArray[np.uint8]:
        found = Found(plain(50)[0], 2, right)
        sheet = draw_rank_lists(
            [RankList(plain(40)[0], 1, (found,))], "title", ["note", "more"]
        ).array()
        dark = sheet.max(2) < 230
        return dark[-30:]  # the line of the labels

    assert (grey(True) != grey(False)).any()


def test_rows_of_a_small_gallery_may_be_short() -> None:
    found = Found(plain(50)[0], 2, True)
    lists = [RankList(plain(40)[0], 1, (found,) * 3), RankList(plain(41)[0], 1, ())]
    sheet = draw_rank_lists(lists, "title", ["note", "more"]).array()
    assert shown(sheet, 50) == 3 * 128 * 64
    assert shown(sheet, 41) == 128 * 64


def test_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        figure = Renderings(plain(1), plain(2), plain(3), plain(4)[None])
        draw_renderings(figure, "Profile demo: ✓ ✗ →").save(tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    read = cv2.imread(str(tmp_path / "a.png"))
    assert read is not None
    assert shown(read[..., ::-1], 3) == 128 * 64


def test_a_image_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out.png").mkdir()
    with pytest.raises(IsADirectoryError):
        Canvas(10, 10).save(tmp_path / "out.png")
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_curves_show_each_column_of_a_history(tmp_path: Path) -> None:
    path = tmp_path / "seed0.csv"
    path.write_text("iteration,loss_d,loss_id,lr\n10,0.5,,0.1\n20,0.25,,0.05\n")
    history = read_history(path)
    assert history["loss_d"] == [0.5, 0.25]
    assert np.isnan(history["loss_id"]).all()
    figure = draw_curves({"seed 0": history})
    assert [axes.get_title() for axes in figure.axes] == ["loss_d", "loss_id", "lr"]
    assert figure.axes[2].lines[0].get_xydata().tolist() == [[10, 0.1], [20, 0.05]]
    for name in ("a.png", "b.png"):
        curves([str(path), "--out", str(tmp_path / name)])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    path.write_text("name,value\n1,2\n")
    with pytest.raises(UserError, match="no history"):
        read_history(path)
