"""A model scored on labelled images of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.deploy.labelled import score
from crgan.deploy.model import ReidModel
from tests.deploy.models import crops, trained, write_crop


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ReidModel:
    return ReidModel.load(trained(tmp_path_factory.mktemp("model") / "r.pt"))


def test_people_who_look_the_same_in_both_cameras_are_all_found(
    tmp_path: Path, model: ReidModel
) -> None:
    for number, image in enumerate(crops(5)):
        for camera in ("door", "yard"):
            write_crop(tmp_path / f"person{number}" / f"{camera}_1.png", image)
    (found,) = score([model], tmp_path)
    assert (found.queries, found.gallery, found.dropped_queries) == (10, 10, 0)
    assert (found.rank1, found.mAP) == (100, 100)


def test_one_who_swaps_clothes_with_another_is_not_found_first(
    tmp_path: Path, model: ReidModel
) -> None:
    """Two of five people wear each other's clothes in the second camera: 4 of 10 queries fail."""
    images = list(crops(5))
    for number, image in enumerate(images):
        other = {0: 1, 1: 0}.get(number, number)
        write_crop(tmp_path / f"person{number}" / "door_1.png", image)
        write_crop(tmp_path / f"person{number}" / "yard_1.png", images[other])
    (found,) = score([model], tmp_path)
    assert found.rank1 == 60


def test_a_data_sets_own_queries_and_gallery_are_used(tmp_path: Path, model: ReidModel) -> None:
    for number, image in enumerate(crops(4), start=1):
        write_crop(tmp_path / "bounding_box_train" / f"{number + 4:04}_c1s1_000001_01.jpg", image)
        write_crop(tmp_path / "query" / f"{number:04}_c1s1_000001_00.jpg", image)
        write_crop(tmp_path / "bounding_box_test" / f"{number:04}_c2s1_000001_01.jpg", image)
    write_crop(tmp_path / "bounding_box_test" / "-1_c2s1_000009_01.jpg", crops(1, 7)[0])
    first, second = score([model, model], tmp_path)
    assert (first.queries, first.gallery, first.junk) == (4, 5, 1)
    assert first.cmc == second.cmc


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no such folder"),
        (["notes/readme.txt"], "no labelled data set of a known layout"),
        (["anna/door_1.png", "ben/door_1.png"], "no query has a true match"),
    ],
)
def test_what_cannot_be_scored_is_told(
    tmp_path: Path, model: ReidModel, files: list[str], message: str
) -> None:
    for name in files:
        path = tmp_path / "x" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            write_crop(path, crops(1)[0])
        else:
            path.touch()
    with pytest.raises(UserError, match=message):
        score([model], tmp_path / "x")
