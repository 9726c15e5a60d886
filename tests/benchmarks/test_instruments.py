"""The commands that check and compare instruments: LPIPS's example, FID's layers, mask backends."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import fid_layers, lpips_examples, mask_agreement
from crgan.common.errors import UserError
from crgan.metrics.fid import LAYERS, extract, load_inception
from crgan.weights.registry import ROOT, missing

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "resources" / "lpips_examples"


def crops(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 16, 3), dtype=np.uint8)


def test_all_layers_at_once_are_the_single_layers() -> None:
    images = crops(4)
    together = fid_layers.features_of(fid_layers.load_all_layers("random"), images, "four")
    assert list(together) == list(LAYERS)
    for dims, features in together.items():
        alone = extract(load_inception("random", dims=dims), images)  # type: ignore[arg-type]
        assert np.abs(features - alone).max() <= 1e-5 * np.abs(alone).max()


def test_distances_by_hand() -> None:
    # +-1 and +-3 along one axis twice: (sqrt(4/3) - sqrt(12))^2; the halves are alike
    features = []
    for size in (1, 3):
        row = np.zeros((4, 64), np.float32)
        row[:, 7] = [-size, -size, size, size]
        features.append(dict.fromkeys(LAYERS, row))
    apart, halves = fid_layers.distances(*features)[2048]
    assert apart == pytest.approx((np.sqrt(4 / 3) - np.sqrt(12)) ** 2)
    assert halves == pytest.approx(0, abs=1e-9)


def test_images_are_spread_over_the_set() -> None:
    images = crops(10)
    np.testing.assert_array_equal(fid_layers.spread(images, 4), images[[0, 3, 6, 9]])
    np.testing.assert_array_equal(fid_layers.spread(images, 99), images)


def test_example_images_are_the_authors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ex_ref\.png: no such file; take imgs/ex_ref\.png"):
        lpips_examples.read_examples(tmp_path)
    (tmp_path / "ex_ref.png").write_bytes(b"another image")
    with pytest.raises(UserError, match="not the authors' image"):
        lpips_examples.read_examples(tmp_path)


_ABSENT = [] if EXAMPLES.is_dir() else [f"{EXAMPLES.name} was not brought"]
_ABSENT += missing(["lpips_alexnet"], PROJECT / ROOT)


@pytest.mark.skipif(bool(_ABSENT), reason="; ".join(_ABSENT))
def test_published_values(capsys: pytest.CaptureFixture[str]) -> None:
    lpips_examples.main([str(EXAMPLES), "--root", str(PROJECT / ROOT)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    for _, published, ours, package in lines:
        assert float(ours) == pytest.approx(float(published), abs=5e-4)
        assert float(ours) == pytest.approx(float(package), abs=1e-5)


def test_agreement_by_hand() -> None:
    left, right, none = (np.zeros((2, 4, 4), dtype=bool) for _ in range(3))
    left[:, :, :2] = True
    right[:, :, 1:3] = True
    pairs = mask_agreement.agreement({"a": left, "b": right, "c": none})
    assert list(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    np.testing.assert_allclose(pairs["a", "b"], [1 / 3, 1 / 3])  # 4 pixels of 12
    np.testing.assert_allclose(pairs["b", "c"], [0, 0])


def test_the_sheet_shows_each_image_above_its_masks() -> None:
    images = np.full((3, 8, 4, 3), 100, dtype=np.uint8)
    mask = np.zeros((3, 8, 4), dtype=bool)
    mask[1] = True
    sheet = mask_agreement.comparison_sheet(images, {"one": mask}, columns=2)
    assert sheet.shape == (2 * (2 * 8 + 6), 88 + 2 * 4, 3)
    assert (sheet[:8, 88:] == 100).all()
    assert (sheet[8:16, 88:92] == 100).all()  # image 0: no mask
    assert (sheet[8:16, 92:, 0] > 100).all()  # image 1: red all over
    assert (sheet[22:30, 92:] == 255).all()  # nothing right of image 2


def test_mask_agreement_from_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        mask_agreement.main(["--images", str(tmp_path)])
    assert "0 images" in capsys.readouterr().err
    for i, image in enumerate(crops(3)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), image)
    arguments = ["--images", str(tmp_path), "--size", "64", "32", "--rounds", "1"]
    arguments += ["--root", str(tmp_path / "absent"), "--sheet", str(tmp_path / "s.png")]
    mask_agreement.main(arguments)
    told = capsys.readouterr()
    assert "3 crops of 64x32" in told.out
    assert "grabcut" in told.out
    assert "without pose, heavy" in told.err
    assert cv2.imread(str(tmp_path / "s.png")).shape == (2 * 64 + 6, 88 + 16 * 32, 3)
