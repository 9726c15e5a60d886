"""What `crgan adapt` says of a folder, plans for it, and leaves behind."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from crgan.common.errors import UserError
from crgan.data.layouts import folder
from crgan.data.manifest import read_manifest
from crgan.deploy.adapt import WORK, adapt, project_folder, set_up
from crgan.deploy.model import ReidModel
from crgan.deploy.plan import METHODS, SITE, plan
from crgan.deploy.site import look_at
from crgan.looks.masks import overlay
from crgan.pipeline import params as parameters
from crgan.pipeline.params import load
from tests.deploy.models import crops, site, write_crop

PROJECT = project_folder()
PARAMS = yaml.safe_load((PROJECT / "params.yaml").read_text())


def a_plan(folder: Path, **how: str):  # type: ignore[no-untyped-def]
    settings = {"source": "generated", "method": "crgan", "profile": "smoke", **how}
    return plan(PARAMS, folder, project=PROJECT, **settings)


# --- bad folders ---


def test_a_good_folder_is_counted_by_camera(tmp_path: Path) -> None:
    root = site(tmp_path, {"yard": 30, "door (north)": 20})
    write_crop(root / "yard" / "monday" / "a.png", crops(1)[0])
    assert look_at(root).cameras == {"door (north)": 20, "yard": 31}
    assert look_at(root).images == 51


def test_cameras_are_numbered_as_the_loader_does(tmp_path: Path) -> None:
    root = site(tmp_path / "site", {"cam10": 20, "cam2": 20})
    (root / "linked").symlink_to(site(tmp_path / "elsewhere", {"day": 9}))
    cameras = list(look_at(root).cameras)
    assert cameras == ["cam2", "cam10", "linked"]
    for entry in folder.load(root).entries:
        assert cameras[entry.camid - 1] == entry.path.partition("/")[0]


@pytest.mark.parametrize(
    ("cameras", "message"),
    [
        ({"only": 60}, "one camera.*two and more"),
        ({"a": 60, "b": 3}, r"too few images \(b: 3\).*at least 8 of each camera"),
        ({"a": 10, "b": 10}, r"too few images \(a: 10, b: 10\).*40 in all"),
        ({}, "holds no image"),
    ],
)
def test_a_bad_folder_is_told_with_what_to_do(
    cameras: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        look_at(site(tmp_path, cameras))


def test_videos_frames_specks_and_loose_images_are_told(tmp_path: Path) -> None:
    good = {"a": 25, "b": 25}
    loose = site(tmp_path / "loose", good)
    write_crop(loose / "x.jpg", crops(1)[0])
    videos = site(tmp_path / "videos", good)
    (videos / "a" / "cam.MP4").write_bytes(b"")
    empty = site(tmp_path / "empty", good)
    (empty / "c").mkdir()
    sized = {}
    for name, size in (("frames", (36, 80)), ("specks", (20, 10))):
        for i, image in enumerate(crops(50, size=size)):
            write_crop(tmp_path / name / "ab"[i % 2] / f"{i}.png", image)
        sized[name] = tmp_path / name
    for root, message in (
        (loose, "1 images beside its camera folders"),
        (videos, r"1 videos \(cam.MP4.*person detector"),
        (sized["frames"], "wider than tall.*cut the people out"),
        (sized["specks"], "too small"),
        (tmp_path / "nowhere", "is not there"),
        (empty, "'c' holds no image"),
        (loose / "x.jpg", "unpack it first"),
    ):
        with pytest.raises(UserError, match=message):
            look_at(root)


def test_a_bad_folder_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    """Loading it takes most of the first second."""
    root = site(tmp_path, {"only": 60})
    code = (
        "import sys\nfrom crgan.deploy.adapt import adapt\nfrom crgan.common.errors import "
        f"UserError\ntry:\n    adapt({str(root)!r}, {str(tmp_path / 'out')!r})\n"
        "except UserError as error:\n    print(error)\nprint('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert "one camera" in done.stdout
    assert done.stdout.endswith("False\n")
    assert not (tmp_path / "out").exists()


# --- what is planned ---


@pytest.mark.parametrize("method", METHODS)
def test_the_project_reads_what_is_planned(method: str, tmp_path: Path) -> None:
    what = a_plan(site(tmp_path / "cams", {"a": 30, "b": 30}), method=method)
    set_up(tmp_path / WORK, PROJECT, what)
    params = load(tmp_path / WORK / "params.yaml")
    matrix = params["matrix"]
    assert matrix["targets"] == [SITE]
    shown = {(cell["method"], cell["target"]) for cell in matrix["selected"]}
    assert shown == {(m, SITE) for m in what.methods}
    assert len(matrix["gan"]) == (0 if method == "direct" else 1)
    assert (what.gan is None) == (method == "direct")
    data = params["profiles"]["smoke"]["data"]
    assert data[SITE]["source"] == str(tmp_path / "cams")


def test_the_plan_is_the_projects_but_for_data_and_methods(tmp_path: Path) -> None:
    what = a_plan(site(tmp_path, {"a": 30, "b": 30}))
    for section in ("loss", "gan", "cnn", "evaluate", "selection"):
        assert what.params[section] == PARAMS[section]
    scaled, own = what.params["profiles"]["smoke"], PARAMS["profiles"]["smoke"]
    assert {k: v for k, v in scaled.items() if k != "data"} == {
        k: v for k, v in own.items() if k != "data"
    }


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"method": "magic"}, "--method magic: use one of crgan, "),
        ({"profile": "magic"}, "--profile magic: use one of demo"),
        ({"source": "no/such/folder"}, "no such folder, and no known data set"),
        ({"source": "market1501"}, "is not there.*--source generated"),
    ],
)
def test_what_cannot_be_planned_is_said(how: dict[str, str], message: str, tmp_path: Path) -> None:
    if (PROJECT / "resources" / "market1501").exists() and how.get("source") == "market1501":
        pytest.skip("Market-1501 is here")
    with pytest.raises(UserError, match=message):
        a_plan(site(tmp_path, {"a": 30, "b": 30}), **how)


def test_a_folder_of_labelled_images_is_recognised(tmp_path: Path) -> None:
    root = site(tmp_path / "cams", {"a": 30, "b": 30})
    people = tmp_path / "people"
    for i, image in enumerate(crops(12)):
        write_crop(
            people / "bounding_box_train" / f"{i // 2 + 1:04}_c{i % 2 + 1}s1_{i:06}_01.jpg", image
        )
        for split in ("query", "bounding_box_test"):
            write_crop(people / split / f"{i // 2 + 91:04}_c{i % 2 + 1}s1_{i:06}_01.jpg", image)
    what = a_plan(root, source=str(people))
    assert what.params["data"]["source"] == {"layout": "market1501"}
    with pytest.raises(UserError, match="no labelled data set of a known layout"):
        a_plan(root, source=str(root))


# --- what is left behind ---


def test_the_mask_is_tinted_and_nothing_else() -> None:
    image = crops(1)[0]
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[10:20] = True
    red = overlay(image, mask)
    np.testing.assert_array_equal(red[~mask], image[~mask])
    assert (red[mask][:, 0] >= image[mask][:, 0] // 2 + 127).all()


def test_one_command_from_a_folder_to_a_model(tmp_path: Path) -> None:
    """The whole way at the smallest scale: files, a start after a kill, an image more."""
    root = site(tmp_path / "cams", {"door <b>": 24, "yard": 24})
    out = tmp_path / "mysite"
    made = adapt(root, out, method="direct", profile="smoke", cores=1)
    model, images = ReidModel.load(made.onnx), crops(5, 3)
    np.testing.assert_allclose(model(images), ReidModel.load(made.pt)(images), atol=1e-4)
    assert model.about["provenance"]["method"] == "Direct Transfer"
    text = made.card.read_text()
    assert "48 images of 2 cameras, without labels" in text
    assert "source labels" in text
    assert re.search(r"soft neighbourhood density \| \d\.\d{4} \|", text)
    assert "must not be used" in text
    report = made.report.read_text()
    assert "door &lt;b&gt;" in report
    assert "door <b>" not in text + report
    assert str(tmp_path) not in text + report

    # as after a kill: what was made stands, and Snakemake does not know it
    work = out / WORK
    before = {path: path.read_bytes() for path in vars(made).values()}
    records = {path: path.read_bytes() for path in work.rglob("*.prov.json")}
    shutil.rmtree(work / ".snakemake")
    (work / ".scratch" / "made.json").unlink()
    assert adapt(root, out, method="direct", profile="smoke", cores=1) == made
    assert {path: path.read_bytes() for path in before} == before
    assert {path: path.read_bytes() for path in records} == records  # nothing was made again

    write_crop(root / "yard" / "later" / "new.jpg", crops(1, 77)[0])
    adapt(root, out, method="direct", profile="smoke", cores=1)
    manifest = read_manifest(out / WORK / f"artifacts/smoke/data/{SITE}/manifest.csv")
    assert "yard/later/new.jpg" in manifest.paths
    assert "49 images of 2 cameras" in made.card.read_text()


def test_the_papers_scale_needs_no_weights_that_one_must_bring(tmp_path: Path) -> None:
    root = site(tmp_path, {"a": 30, "b": 30})
    for how, backend in (({}, "mediapipe_pose"), ({"masks": "jppnet"}, "jppnet")):
        what = a_plan(root, profile="paper", source="generated", **how)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(what.params))
        resolved = parameters.load(tmp_path / "params.yaml")["profiles"]["paper"]
        assert resolved["masks"]["backend"] == backend
        assert resolved["weights"]["parsing"].startswith(backend)
