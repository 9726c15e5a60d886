"""LPIPS against the unmodified package, and against the images its authors publish values for."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import cv2
import lpips
import numpy as np
import pytest
import torch

from crgan.common.errors import UserError
from crgan.common.io import save_torch, sha256_file
from crgan.metrics.lpips_distance import (
    LpipsNet,
    diversity,
    load_lpips,
    paired,
    source_target_lpips,
    translation_lpips,
)

RESOURCES = Path(__file__).parents[2] / "resources"
TRUNK = RESOURCES / "weights" / "lpips_alexnet.pth"
EXAMPLES = RESOURCES / "lpips_examples"


@pytest.fixture(scope="module")
def net() -> LpipsNet:
    return load_lpips("random", seed=3)


@pytest.fixture(scope="module")
def package() -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(3)
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)


def images(*shape: int, seed: int = 0) -> np.ndarray:
    """Smooth random images (noise alone saturates a random network)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (int(np.prod(shape[:-2])), 8, 4, 3), dtype=np.uint8)
    large = [cv2.resize(image, (shape[-1], shape[-2])) for image in small]
    return np.stack(large).reshape(*shape, 3)


def as_the_package_wants(images: np.ndarray) -> torch.Tensor:
    return torch.cat([lpips.im2tensor(image) for image in images])


def by_package(package: torch.nn.Module, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        distance = package(as_the_package_wants(x), as_the_package_wants(y))
    return distance.flatten().numpy()


def test_paired_equals_the_package(net: LpipsNet, package: torch.nn.Module) -> None:
    x, y = images(9, 64, 32), images(9, 64, 32, seed=1)
    values = paired(net, x, y, batch=4)
    np.testing.assert_allclose(values, by_package(package, x, y), atol=1e-6)
    assert values.min() > 1e-3
    np.testing.assert_array_equal(paired(net, x, x), 0)


def test_diversity_equals_all_pairs_by_the_package(net: LpipsNet, package: torch.nn.Module) -> None:
    renderings = [images(k, 64, 32, seed=k) for k in (4, 4, 4, 2, 5)]
    expected = [
        np.mean(
            [
                by_package(package, r[[i]], r[[j]])
                for i, j in itertools.combinations(range(len(r)), 2)
            ]
        )
        for r in renderings
    ]
    np.testing.assert_allclose(diversity(net, renderings, batch=8), expected, atol=1e-6)


def test_diversity_of_equal_renderings_is_zero(net: LpipsNet) -> None:
    collapsed = np.repeat(images(1, 64, 32), 4, axis=0)
    np.testing.assert_allclose(diversity(net, collapsed[None]), [0], atol=1e-6)


def test_translation_is_the_distance_to_the_own_source(net: LpipsNet) -> None:
    source, generated = images(5, 64, 32), images(5, 64, 32, seed=1)
    result = translation_lpips(net, source, generated)
    assert result.value == pytest.approx(paired(net, source, generated).mean())
    assert result.value != pytest.approx(translation_lpips(net, source, generated[::-1]).value)
    record = result.to_dict()
    assert (record["n"], record["height"], record["width"]) == (5, 64, 32)
    assert (record["weights"], record["resize"]) == ("random:3", "none")


def test_source_target_pairs_are_drawn_from_the_seed(net: LpipsNet) -> None:
    source, target = images(5, 64, 32), images(3, 64, 32, seed=1)
    first = source_target_lpips(net, source, target, pairs=40, seed=0)
    assert first == source_target_lpips(net, source, target, pairs=40, seed=0)
    assert first.n == 40
    assert first.value != source_target_lpips(net, source, target, pairs=40, seed=1).value
    everything = [paired(net, source[[i]], target[[j]])[0] for i in range(5) for j in range(3)]
    assert min(everything) < first.value < max(everything)
    assert first.value == pytest.approx(np.mean(everything), rel=0.2)


def test_trunk_file_is_loaded_and_recorded(tmp_path: Path, net: LpipsNet) -> None:
    other = load_lpips("random", seed=4)
    path = tmp_path / "trunk.pth"
    save_torch(path, {k.split(".", 1)[1]: v for k, v in other.model.net.state_dict().items()})
    loaded = load_lpips(path)
    x, y = images(2, 64, 32), images(2, 64, 32, seed=1)
    np.testing.assert_array_equal(paired(loaded, x, y), paired(other, x, y))
    assert not np.allclose(paired(loaded, x, y), paired(net, x, y))
    assert loaded.weights == sha256_file(path)


def test_loading_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    load_lpips("random")
    assert torch.equal(torch.rand(3), expected)


def test_wrong_trunks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_lpips(tmp_path / "absent.pth")
    save_torch(tmp_path / "other.pth", {"0.weight": torch.zeros(1), "surplus": torch.zeros(1)})
    with pytest.raises(UserError, match=r"(?s)missing.*10\.bias.*unexpected.*surplus"):
        load_lpips(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (images(2, 64, 32), images(3, 64, 32), "equal shapes"),
        (images(2, 64, 32).astype(np.float32), images(2, 64, 32), "uint8"),
        (images(2, 24, 12), images(2, 24, 12), "at least 31"),
        (images(2, 64, 32)[0], images(2, 64, 32), "uint8 images"),
        (images(2, 64, 32)[:0], images(2, 64, 32), "0 images"),
    ],
)
def test_bad_images_are_refused(net: LpipsNet, x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        paired(net, x, y)


def test_one_rendering_has_no_diversity(net: LpipsNet) -> None:
    with pytest.raises(UserError, match="at least 2"):
        diversity(net, [images(1, 64, 32)])


@pytest.mark.skipif(not TRUNK.exists(), reason=f"{TRUNK.name} was not fetched")
def test_known_values_of_the_exact_weights() -> None:
    # Pinned from the unmodified package with the same weights.
    exact = load_lpips(TRUNK)
    values = paired(exact, images(2, 128, 64), images(2, 128, 64, seed=1))
    np.testing.assert_allclose(values, [0.419043, 0.366931], atol=2e-6)


@pytest.mark.skipif(
    not (TRUNK.exists() and EXAMPLES.exists()),
    reason=f"needs {TRUNK.name} and LPIPS's own example images ex_ref, ex_p0 and ex_p1 in "
    "resources/lpips_examples",
)
def test_published_example_values() -> None:
    read = {
        name: cv2.imread(str(EXAMPLES / f"{name}.png")) for name in ("ex_ref", "ex_p0", "ex_p1")
    }
    rgb = {name: image[None, :, :, ::-1] for name, image in read.items()}
    exact = load_lpips(TRUNK)
    assert paired(exact, rgb["ex_ref"], rgb["ex_p0"])[0] == pytest.approx(0.722, abs=5e-4)
    assert paired(exact, rgb["ex_ref"], rgb["ex_p1"])[0] == pytest.approx(0.138, abs=5e-4)
