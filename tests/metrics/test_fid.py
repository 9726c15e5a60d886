"""FID against the unmodified pytorch-fid, from image files to the value."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pytorch_fid import fid_score, inception

from crgan.common.errors import UserError
from crgan.common.io import save_torch, sha256_file
from crgan.metrics.fid import (
    FidNet,
    FidStatistics,
    extract,
    fid,
    fid_between,
    load_inception,
    load_statistics,
    save_statistics,
    statistics,
)
from crgan.metrics.frechet import Moments

WEIGHTS = Path(__file__).parents[2] / "resources" / "weights" / "fid_inception.pth"


# pytorch-fid 0.3.0 calls scipy's sqrtm in a way that scipy 1.18 will drop; ours does not.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:pytorch_fid")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file with convolutions and BatchNorm statistics as lively as trained ones."""
    draw = torch.Generator().manual_seed(0)
    network = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=draw)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.8, 1.2, generator=draw)
            module.running_var.uniform_(0.8, 1.2, generator=draw)
            module.bias.data.uniform_(-0.2, 0.2, generator=draw)
            module.running_mean.uniform_(-0.2, 0.2, generator=draw)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    save_torch(path, network.state_dict())
    return path


@pytest.fixture(scope="module")
def hub(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torch hub folder in which the package finds these weights already downloaded."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / Path(inception.FID_WEIGHTS_URL).name).write_bytes(
        weights.read_bytes()
    )
    return folder


def crops(count: int, seed: int, height: int = 48, width: int = 24) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, 6, 3, 3), dtype=np.uint8)
    return np.stack([cv2.resize(image, (width, height)) for image in small])


def write_images(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir()
    for i, image in enumerate(images):
        cv2.imwrite(str(folder / f"{i:03d}.png"), image[:, :, ::-1])
    return folder


@pytest.mark.filterwarnings("ignore:Matrix is singular")
def test_value_equals_the_package_run_on_files(
    weights: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(hub))
    first, second = crops(10, 0), crops(4, 1)
    folders = [
        str(write_images(tmp_path / name, images))
        for name, images in (("first", first), ("second", second))
    ]
    expected = fid_score.calculate_fid_given_paths(folders, 4, "cpu", 64, num_workers=0)
    result = fid(load_inception(weights, dims=64), first, second, batch=3)
    assert result.value == pytest.approx(expected, rel=1e-6)
    record = result.to_dict()
    assert (record["n"], record["n_reference"]) == (10, 4)
    assert (record["height"], record["width"]) == (48, 24)
    assert record["layer"] == "first max pooling (64)"
    assert record["weights"] == sha256_file(weights)
    assert "bilinear to 299 x 299" in str(record["resize"])


@pytest.mark.parametrize("dims", [192, 768, 2048])
def test_features_equal_the_package(
    dims: int, weights: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(hub))
    images = crops(3, 2)
    package = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[dims]]).eval()
    with torch.no_grad():
        layer = package(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)[0]
    expected = layer.mean(dim=(2, 3)).numpy()
    net = load_inception(weights, dims=dims)
    found = extract(net, images, batch=2)
    assert found.shape == (3, dims)
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()
    assert expected.std(axis=0).max() > 0.01 * expected.max()  # the images do differ there
    assert len(net.model.blocks) == 1 + [64, 192, 768, 2048].index(dims)


def test_nothing_is_ever_downloaded(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the package tried to download")

    monkeypatch.setattr(inception, "load_state_dict_from_url", refuse)
    load_inception(weights, dims=64)
    load_inception("random", dims=64)
    assert inception.load_state_dict_from_url is refuse  # and the package is left as it was


def test_random_weights_follow_the_seed_and_say_so() -> None:
    images = crops(2, 3)
    nets = [load_inception("random", dims=64, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (extract(net, images) for net in nets)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert nets[2].weights == "random:2"


@pytest.fixture(scope="module")
def small_net() -> FidNet:
    return load_inception("random", dims=64)


def test_statistics_are_kept_and_reused(tmp_path: Path) -> None:
    key = {"manifest": "abc", "split": "train", "dims": 64}
    features = np.random.default_rng(0).normal(size=(66, 64)).astype(np.float32)
    few, many = (FidStatistics(Moments.of(f), 48, 24, "hash") for f in (features[:5], features))
    assert few.moments.features is not None
    assert many.moments.cov is not None
    for name, value in (("few", few), ("many", many)):
        path = tmp_path / f"{name}.npz"
        save_statistics(path, value, key)
        content = path.read_bytes()
        save_statistics(path, value, dict(reversed(key.items())))
        assert path.read_bytes() == content
    again = [load_statistics(tmp_path / f"{name}.npz", key) for name in ("few", "many")]
    assert fid_between(*again) == fid_between(few, many)
    with pytest.raises(UserError, match=r"train.*query"):
        load_statistics(tmp_path / "few.npz", key | {"split": "query"})


def test_damaged_statistics_are_refused(small_net: FidNet, tmp_path: Path) -> None:
    path = tmp_path / "statistics.npz"
    with pytest.raises(UserError, match="no such file"):
        load_statistics(path, {})
    save_statistics(path, statistics(small_net, crops(4, 0)), {})
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="delete it and run again"):
        load_statistics(path, {})
    np.savez(path, key=np.array("{}"))
    with pytest.raises(UserError, match="delete it and run again"):
        load_statistics(path, {})


def test_sets_measured_differently_are_not_compared(small_net: FidNet) -> None:
    first = statistics(small_net, crops(4, 0))
    larger = statistics(small_net, crops(4, 0, height=64, width=32))
    with pytest.raises(UserError, match=r"resolution \(48, 24\) and \(64, 32\)"):
        fid_between(first, larger)
    other = statistics(load_inception("random", dims=64, seed=5), crops(4, 0))
    with pytest.raises(UserError, match="random:0 and random:5"):
        fid_between(first, other)


def test_wrong_weights_and_layers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_inception(tmp_path / "absent.pth")
    save_torch(tmp_path / "other.pth", {"conv.weight": torch.zeros(1)})
    with pytest.raises(UserError, match="not the FID Inception's weights"):
        load_inception(tmp_path / "other.pth")
    with pytest.raises(UserError, match="64, 192, 768, 2048"):
        load_inception("random", dims=100)  # type: ignore[arg-type]


def test_one_image_has_no_covariance(small_net: FidNet) -> None:
    with pytest.raises(UserError, match="at least 2"):
        statistics(small_net, crops(1, 0))


@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"{WEIGHTS.name} was not fetched")
def test_known_value_of_the_exact_weights() -> None:
    # Pinned from the unmodified package with the same weights.
    net = load_inception(WEIGHTS, dims=64)
    result = fid(net, crops(10, 0), crops(4, 1))
    assert result.value == pytest.approx(1.0889126076, rel=1e-5)
