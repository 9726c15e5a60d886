"""GrabCut and MediaPipe Pose on generated crops, and the table of backends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.masks.backend import Batch, Resources, make_backend, names
from crgan.masks.grabcut import GrabCut, Options
from crgan.masks.iou import intersection_over_union
from crgan.pipeline.code import _closure
from crgan.weights.registry import ROOT, missing, weights_path

PROJECT = Path(__file__).parents[2]
_ABSENT = missing(["mediapipe_pose_full"], PROJECT / ROOT)


def person_crop(height: int = 128, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy crop with a person of ellipses and limbs; its mask. uint8 (H, W, 3), bool (H, W)."""
    width, rng = height // 2, np.random.default_rng(seed)
    person = np.zeros((height, width), dtype=np.uint8)

    def point(x: float, y: float) -> tuple[int, int]:
        return round(x * width), round(y * height)

    shift = float(rng.uniform(-0.05, 0.05))
    cv2.ellipse(person, point(0.5 + shift, 0.14), point(0.11, 0.075), 0, 0, 360, 1, -1)
    cv2.ellipse(person, point(0.5 + shift, 0.36), point(0.22, 0.19), 0, 0, 360, 2, -1)
    stride = float(rng.uniform(0.02, 0.18))
    for foot in (0.5 - stride, 0.5 + stride):
        cv2.line(person, point(0.5 + shift, 0.5), point(foot, 0.92), 3, round(0.13 * width))
    colours = rng.uniform(0, 255, (4, 3))
    colours[0] = (colours[1:].mean(0) + 128) % 255  # a background unlike the clothes
    slope = np.linspace(-20, 20, height)[:, None, None]
    image = colours[person] + slope + rng.normal(0, 8, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8), person > 0


def crops(n: int, height: int = 128) -> tuple[Batch, np.ndarray]:
    images, masks = zip(*(person_crop(height, seed) for seed in range(n)), strict=True)
    return Batch(np.stack(images), tuple(f"{i}.png" for i in range(n))), np.stack(masks)


@pytest.mark.parametrize("height", [64, 128, 256])
def test_grabcut_finds_the_person(height: int) -> None:
    batch, truth = crops(8, height)
    found = GrabCut().masks(batch)
    assert found.shape == truth.shape
    assert found.dtype == np.bool_
    assert intersection_over_union(found, truth).mean() > 0.6


def test_grabcut_beats_its_own_start() -> None:
    """The colours must add something to the place: an all but empty band leaves only the start."""
    batch, truth = crops(8)
    start_only = GrabCut(Options(inside=0.999, outside=1.001)).masks(batch)
    found = intersection_over_union(GrabCut().masks(batch), truth).mean()
    assert found > intersection_over_union(start_only, truth).mean() + 0.05


def test_grabcut_is_deterministic_whatever_came_before_and_however_many_threads() -> None:
    batch, _ = crops(6)
    whole = GrabCut().masks(batch)
    cv2.setRNGSeed(99)
    alone = GrabCut().masks(Batch(batch.images[3:4], batch.paths[3:4]))
    np.testing.assert_array_equal(alone[0], whole[3])
    np.testing.assert_array_equal(GrabCut(threads=2).masks(batch), whole)


def test_grabcut_takes_a_crop_of_one_colour() -> None:
    flat = np.full((1, 32, 16, 3), 77, dtype=np.uint8)
    mask = GrabCut().masks(Batch(flat, ("flat.png",)))
    assert mask.shape == (1, 32, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 0}, "iterations is 0"),
        ({"working_height": 8}, "working_height is 8"),
        ({"outside": 0.9}, "outside is 0.9; it must be above 1"),
        ({"rounds": 3}, r"masks\.grabcut\.rounds: no such key; the keys here: iterations"),
    ],
)
def test_grabcut_refuses_settings(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_backend("grabcut", settings, Resources())


def test_settings_reach_the_backend_and_its_record() -> None:
    backend = make_backend("grabcut", {"iterations": 2}, Resources())
    assert backend.settings["iterations"] == 2
    assert set(backend.settings) == {"iterations", "working_height", "inside", "outside"}


def test_an_unknown_backend_is_said() -> None:
    assert names() == ("grabcut", "jppnet", "mediapipe_pose", "truth")
    with pytest.raises(UserError, match=r"'sam'; backends: grabcut, jppnet, mediapipe_pose, truth"):
        make_backend("sam", {}, Resources())


def test_the_renderers_code_is_none_of_a_masks() -> None:
    closure = _closure("crgan/masks/truth.py")
    assert "crgan/masks/backend.py" in closure
    assert not [name for name in closure if name.startswith("crgan/synth")]


def test_mediapipe_without_weights_says_what_to_bring(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set weights\.parsing"):
        make_backend("mediapipe_pose", {}, Resources())
    with pytest.raises(UserError, match=r"absent\.tflite: no such file; .*fetch_weights"):
        make_backend("mediapipe_pose", {}, Resources(weights=tmp_path / "absent.tflite"))
    (tmp_path / "text.tflite").write_text("not a model")
    with pytest.raises(UserError, match=r"text\.tflite: not a TFLite model"):
        make_backend("mediapipe_pose", {}, Resources(weights=tmp_path / "text.tflite"))


def test_truth_needs_the_raw_folder() -> None:
    with pytest.raises(UserError, match="--raw"):
        make_backend("truth", {}, Resources())


@pytest.mark.skipif(bool(_ABSENT), reason="; ".join(_ABSENT))
def test_mediapipe_masks_follow_the_person() -> None:
    """Drawn people are far from its training images: ask for overlap, and that it moves along."""
    pytest.importorskip("ai_edge_litert")
    resources = Resources(weights=weights_path("mediapipe_pose_full", PROJECT / ROOT))
    backend = make_backend("mediapipe_pose", {"threshold": 0.5}, resources)
    batch, truth = crops(4)
    found = backend.masks(batch)
    assert found.shape == truth.shape
    assert intersection_over_union(found, truth).mean() > 0.5
    assert backend.weights_sha256 is not None
    assert backend.weights_sha256.startswith("e9a5c5cb")
    np.testing.assert_array_equal(backend.masks(batch), found)
    three = make_backend("mediapipe_pose", {"threshold": 0.5}, replace(resources, threads=3))
    np.testing.assert_array_equal(three.masks(batch), found)  # each image by whichever thread
    moved = Batch(np.roll(batch.images, 8, axis=2), batch.paths)
    shifted = np.roll(truth, 8, axis=2)
    assert intersection_over_union(backend.masks(moved), shifted).mean() > 0.5


def test_truth_gives_the_demos_masks_at_the_stores_size(tmp_path: Path) -> None:
    """Rendered images of many sizes: their masks come out at the store's, in the same order."""
    from crgan.masks.truth import true_masks
    from crgan.synth import DemoConfig, generate

    root = tmp_path / "dukemtmc"
    few = DemoConfig(
        train_ids=2, test_ids=2, junk_images=0, distractor_images=0, distractor_ids=0,
        max_cameras=2, images_per_camera=2,
    )  # fmt: skip
    generate("dukemtmc", root, few)
    paths = tuple(sorted(str(p.relative_to(root)) for p in root.glob("bounding_box_train/*.jpg")))
    backend = make_backend("truth", {}, Resources(raw_root=root))
    found = backend.masks(Batch(np.zeros((len(paths), 64, 32, 3), dtype=np.uint8), paths))
    own = list(true_masks(root, paths))
    assert found.shape == (len(paths), 64, 32)
    assert len({mask.shape for mask in own}) > 1
    for mask, whole in zip(found, own, strict=True):
        assert abs(mask.mean() - whole.mean()) < 0.02
    with pytest.raises(UserError, match="absent"):
        backend.masks(Batch(np.zeros((1, 64, 32, 3), dtype=np.uint8), ("absent.jpg",)))
