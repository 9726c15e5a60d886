"""D_id and D_cam: shapes, gradients, weights from a file, and folding for use without training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet50

from crgan.common.errors import UserError
from crgan.common.io import load_torch
from crgan.nets import fusing
from crgan.nets.camera import CameraNet
from crgan.nets.folding import frozen
from crgan.nets.fusing import fused
from crgan.nets.reid import IMAGENET_MEAN, IMAGENET_STD, ReidNet
from crgan.reid.model_file import build_reid, reid_file

MOBILENET = Path(__file__).parents[2] / "resources" / "weights" / "mobilenetv2_features.pth"


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def with_random_statistics(net: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms as after training: none of scale, shift, mean and variance at its start value."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight, 0.5, 1.0),
                (module.bias, -0.3, 0.3),
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.7, 1.5),
            ):
                tensor.data.uniform_(low, high, generator=generator)
    return net


@pytest.mark.parametrize(("height", "width", "rows"), [(128, 64, 8), (64, 32, 4), (32, 16, 2)])
def test_small_shapes(height: int, width: int, rows: int) -> None:
    net = ReidNet("small", 16, 7)
    x = images(2, 3, height, width)
    assert net.feature_map(x).shape == (2, 128, rows, width // 16)
    assert net.features(x).shape == (2, net.feature_dim) == (2, 128)
    assert net(x).shape == (2, 7)
    assert torch.equal(net.eval().features(x), net.feature_map(x).mean(dim=(2, 3)))


def test_small_is_small() -> None:
    count = sum(p.numel() for p in ReidNet("small", 16, 60).parameters())
    assert 250_000 < count < 350_000


def test_resnet50_is_torchvisions() -> None:
    torch.manual_seed(0)
    reference = with_random_statistics(resnet50(weights=None)).eval()
    net = ReidNet("resnet50", 64, 5).eval()
    net.load_backbone(reference.state_dict(), "a test")
    x = images(2, 3, 64, 32)
    unit = (x + 1) / 2
    normal = (unit - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(
        3, 1, 1
    )
    reference.fc = nn.Identity()
    with torch.no_grad():
        assert net.feature_map(x).shape == (2, 2048, 2, 1)
        torch.testing.assert_close(net.features(x), reference(normal), rtol=1e-4, atol=1e-5)


def test_resnet50_last_stride() -> None:
    net = ReidNet("resnet50", 64, 5, last_stride=1).eval()
    with torch.no_grad():
        assert net.feature_map(images(1, 3, 64, 32)).shape == (1, 2048, 4, 2)


def test_mobilenetv2_is_torchvisions() -> None:
    torch.manual_seed(0)
    reference = with_random_statistics(mobilenet_v2(weights=None)).eval()
    net = ReidNet("mobilenetv2", 32, 5).eval()
    net.load_backbone(reference.features.state_dict(), "a test")
    x = images(2, 3, 128, 64)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    reference.classifier = nn.Identity()
    with torch.no_grad():
        assert net.feature_map(x).shape == (2, 1280, 4, 2)
        assert net.features(x).shape == (2, net.feature_dim)
        expected = reference(((x + 1) / 2 - mean) / std)
    assert float(expected.std()) > 0.01
    torch.testing.assert_close(net.features(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("last_stride", "rows"), [(2, 2), (1, 4)])
def test_mobilenetv2_learns_and_keeps_its_file(last_stride: int, rows: int) -> None:
    torch.manual_seed(0)
    net = ReidNet("mobilenetv2", 32, 3, last_stride)
    x = images(4, 3, 64, 32)
    assert net.feature_map(x).shape[2:] == (rows, rows // 2)
    nn.functional.cross_entropy(net(x), torch.tensor([0, 1, 2, 0])).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    net.eval()
    file = reid_file(net, [1, 5, 9], (64, 32), "mobilenetv2_imagenet")
    assert file["backbone"] == "mobilenetv2"
    assert torch.equal(build_reid(file, "a file").features(x), net.features(x))


@pytest.mark.skipif(not MOBILENET.exists(), reason=f"{MOBILENET.name} was not fetched")
def test_fetched_mobilenetv2_fits_and_tells_images_apart() -> None:
    net = ReidNet("mobilenetv2", 32, 0)
    net.load_backbone(load_torch(MOBILENET), MOBILENET.name)
    x = images(4, 3, 8, 4, seed=1)
    smooth = nn.functional.interpolate(x, (128, 64), mode="bicubic").clamp(-1, 1)
    with torch.no_grad():
        features = net.eval().features(smooth)
    assert 0 < float(features.mean()) < 6  # behind a ReLU6
    assert float((features.std(dim=0) / (features.mean(dim=0) + 1e-3)).mean()) > 0.2


def test_wrong_weights_are_refused() -> None:
    net = ReidNet("small", 4, 3)
    good = ReidNet("small", 4, 9).backbone.state_dict()
    net.load_backbone({**good, "fc.weight": torch.zeros(1)}, "good.pt")
    with pytest.raises(UserError, match=r"bad\.pt.*0\.weight is missing"):
        net.load_backbone({k: v for k, v in good.items() if k != "0.weight"}, "bad.pt")
    with pytest.raises(UserError, match="surplus is unknown"):
        net.load_backbone({**good, "surplus": torch.zeros(1)}, "bad.pt")
    with pytest.raises(UserError, match=r"0\.weight is \(8, 3, 3, 3\), expected \(4, 3, 3, 3\)"):
        net.load_backbone(ReidNet("small", 8, 3).backbone.state_dict(), "bad.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg", 16, 3), "cnn.backbone 'vgg'"),
        (("resnet50", 32, 3), "cnn.width 32"),
        (("mobilenetv2", 64, 3), "cnn.width 64: mobilenetv2 has 32"),
        (("small", 0, 3), "cnn.width 0"),
        (("small", 16, -1), "-1 identities"),
        (("small", 16, 3, 2, "median"), "pooling 'median'"),
        (("small", 16, 3, 1), "last_stride 1"),
    ],
)
def test_impossible_networks_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ReidNet(*arguments)


@pytest.mark.parametrize("height", [64, 32])
def test_camera_net(height: int) -> None:
    net = CameraNet(8, 6)
    x = images(3, 3, height, height // 2).requires_grad_()
    net(x).sum().backward()
    assert net(x).shape == (3, 6)
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().amax(1) > 0).all()
    weighted = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 5
    with pytest.raises(UserError, match="0 cameras"):
        CameraNet(8, 0)


@pytest.mark.parametrize("build", ["small", "resnet50", "mobilenetv2", "camera"])
def test_frozen_equals_eval(build: str) -> None:
    torch.manual_seed(1)
    net: nn.Module = (
        CameraNet(8, 4)
        if build == "camera"
        else ReidNet(build, {"small": 16, "resnet50": 64, "mobilenetv2": 32}[build], 4)  # type: ignore[arg-type]
    )
    with_random_statistics(net).eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fast = frozen(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fast.modules())
    assert not any(p.requires_grad for p in fast.parameters())
    x = images(3, 3, 64, 32)
    y = x.clone(memory_format=torch.channels_last).requires_grad_()
    x.requires_grad_()
    calls = ["forward"] if build == "camera" else ["forward", "feature_map"]
    for call in calls:
        slow_out, fast_out = getattr(net, call)(x), getattr(fast, call)(y)
        scale = float(slow_out.detach().abs().max())
        torch.testing.assert_close(fast_out / scale, slow_out / scale, rtol=0, atol=1e-5)
    net(x).square().sum().backward()
    fast(y).square().sum().backward()
    assert x.grad is not None and y.grad is not None  # noqa: PT018
    scale = float(x.grad.abs().max())
    torch.testing.assert_close(y.grad / scale, x.grad / scale, rtol=0, atol=1e-4)
    # the network it was made from is untouched
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_max_pooling_and_an_embedding_change_the_features() -> None:
    x = images(4, 3, 64, 32)
    net = ReidNet("small", 4, 0, pooling="max").eval()
    assert torch.equal(net.features(x), net.feature_map(x).amax(dim=(2, 3)))
    assert torch.equal(net(x), net.features(x))  # no classifier
    net = ReidNet("small", 4, 3, embedding=5)
    assert net.features(x).shape == (4, 5)
    assert (net.features(x) >= 0).all()
    assert net(x).shape == (4, 3)
    net(x).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_model_file_keeps_pooling_and_embedding() -> None:
    x = images(2, 3, 64, 32)
    for arguments in ({"pooling": "max"}, {"embedding": 32}):
        net = ReidNet("small", 4, 0, **arguments).eval()
        again = build_reid(reid_file(net, [], (64, 32), "none"), "a file")
        assert torch.equal(net.features(x), again.features(x))


@pytest.mark.parametrize(("height", "last_stride"), [(64, 2), (96, 1)])
def test_fused_equals_frozen(height: int, last_stride: int) -> None:
    torch.manual_seed(2)
    net = with_random_statistics(ReidNet("resnet50", 64, 4, last_stride)).eval()
    x = images(3, 3, height, height // 2).contiguous(memory_format=torch.channels_last)
    plain, fast = frozen(net), fused(frozen(net))
    assert type(fast.backbone) is nn.Sequential  # torch has the operations
    with torch.inference_mode():
        slow_out, fast_out = plain.feature_map(x), fast.feature_map(x)
        fewer = fast.feature_map(x[:2])  # the last batch, say
    assert slow_out.shape == fast_out.shape
    scale = float(slow_out.abs().max())
    torch.testing.assert_close(fast_out / scale, slow_out / scale, rtol=0, atol=1e-5)
    torch.testing.assert_close(fewer / scale, slow_out[:2] / scale, rtol=0, atol=1e-5)


def test_what_cannot_be_fused_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for net in (ReidNet("small", 4, 2), ReidNet("mobilenetv2", 32, 2)):
        backbone = net.backbone
        assert fused(net).backbone is backbone
    monkeypatch.setattr(fusing, "_has_them", lambda: False)
    net = ReidNet("resnet50", 64, 2)
    backbone = net.backbone
    assert fused(net).backbone is backbone
