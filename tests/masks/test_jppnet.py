"""JPPNet at tiny width: layers, SAME padding, resizing, the mirror, and the backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from crgan.common.errors import UserError
from crgan.common.io import save_torch, sha256_file
from crgan.masks.backend import Batch, MaskBackend, Resources, make_backend
from crgan.masks.jppnet import Options, network
from crgan.masks.jppnet.convert import tensorflow_name, tensorflow_shape
from crgan.masks.jppnet.inference import (
    LABELS,
    JPPNetMasks,
    load_network,
    parsing_scores,
    preprocess,
    resize,
    unmirrored,
)
from crgan.masks.jppnet.network import Conv, FrozenNorm, JPPNet, Maps, pad_same, same_padding
from crgan.masks.store import open_masks
from tests.masks.test_stage import manifest, run_extract, run_fetch, use_params

CPU = torch.device("cpu")
SMALL = {"side": 32, "scales": [1.0, 0.5], "mirror": True}

__all__ = ["manifest"]  # a fixture


def tiny(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights of width 1 that keep the signal alive through the depth."""
    torch.manual_seed(seed)
    state = JPPNet(1).state_dict()
    for name, value in state.items():
        if value.ndim == 4:
            nn.init.kaiming_normal_(value, nonlinearity="relu")
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("branch2c.weight"):
            value.fill_(0.3)  # 33 blocks of one would add up to 2^33
    return state


def image(height: int = 40, width: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (51, 37)])
def test_maps_are_an_eighth_of_the_input(height: int, width: int) -> None:
    net = JPPNet(1)
    x = torch.rand(2, 3, height, width)
    maps = net(x, third_pose=True)
    size = (-(-height // 8), -(-width // 8))
    assert [m.shape for m in maps.parsing] == [(2, 20, *size)] * 3
    assert [m.shape for m in maps.pose] == [(2, 16, *size)] * 3
    short = net(x)
    assert len(short.pose) == 2
    for one, other in zip(short.parsing, maps.parsing, strict=True):
        assert torch.equal(one, other)


def test_every_layer_reaches_the_maps() -> None:
    """Gradients of the three parsing and pose maps reach all weights; the statistics have none."""
    torch.manual_seed(0)  # with some weights a narrow layer's ReLUs are all shut
    net = JPPNet(4)
    maps = net(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)), True)
    sum(m.square().mean() for m in (*maps.parsing, *maps.pose)).backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert silent == []
    assert all(".bn" not in f".{n}" for n, _ in net.named_parameters())


def test_names_and_shapes_are_the_released_graphs() -> None:
    """Read from the authors' files by hand: one of each kind, and the number of all."""
    with torch.device("meta"):
        state = JPPNet().state_dict()
    theirs = {tensorflow_name(k): tensorflow_shape(v.shape) for k, v in state.items()}
    # 104 convolutions without bias, each with a norm of four; six heads with bias on the backbone,
    # eight convolutions in fc1_pose, eight in each pose refinement, eleven in each of the parsing
    assert len(theirs) == len(state) == 104 * 5 + 2 * (6 + 8 + 2 * 8 + 2 * 11) == 624
    expected = {
        "conv1/weights": (7, 7, 3, 64),
        "bn_conv1/gamma": (64,),
        "res2a_branch1/weights": (1, 1, 64, 256),
        "res3a_branch2a/weights": (1, 1, 256, 128),
        "res3b3_branch2b/weights": (3, 3, 128, 128),
        "res4b22_branch2c/weights": (1, 1, 256, 1024),
        "res5a_branch1/weights": (1, 1, 1024, 2048),
        "bn5c_branch2b/moving_variance": (512,),
        "fc1_human_c0/weights": (3, 3, 2048, 20),
        "fc1_human_c3/biases": (20,),
        "res5d_branch2a_parsing/weights": (3, 3, 2048, 512),
        "res5d_branch2b_parsing/biases": (256,),
        "fc1_pose/pose_conv1/w": (3, 3, 1024, 512),
        "fc1_pose/pose_conv7/w": (1, 1, 256, 512),
        "fc1_pose/pose_conv8/b": (16,),
        "fc2_pose/pose_remap/w": (1, 1, 16, 128),
        "fc2_pose/conv1/w": (3, 3, 512, 512),
        "fc3_pose/conv6/w": (1, 1, 256, 16),
        "fc2_parsing/parsing_remap/w": (1, 1, 20, 128),
        "fc2_parsing/parsing_conv3/w": (7, 7, 256, 256),
        "fc3_parsing/parsing_conv4/w": (9, 9, 256, 256),
        "fc3_parsing/parsing_human4/b": (20,),
    }
    assert {name: theirs[name] for name in expected} == expected


def test_same_padding_by_hand() -> None:
    assert same_padding(384, 7, 2) == (2, 3)  # 192 outputs reach over 389 pixels
    assert same_padding(192, 3, 2) == (0, 1)
    assert same_padding(125, 7, 2) == (3, 3)
    assert same_padding(63, 3, 2) == (1, 1)
    assert same_padding(48, 1, 2) == (0, 0)
    assert same_padding(48, 3, 1, 24) == (24, 24)


def test_strided_layers_by_hand() -> None:
    """Of 1 2 3 4, kernel 3 and stride 2 see 1+2+3 and 3+4+0; padding before would give 0+1+2."""
    conv = Conv(1, 1, 3, stride=2, bias=False)
    nn.init.zeros_(conv.weight)
    nn.init.ones_(conv.weight[:, :, 1])  # the middle row: one dimension is enough
    row = torch.tensor([1.0, 2, 3, 4])
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0] = row
    assert conv(x)[0, 0, 0].tolist() == [6, 7]
    pooled = nn.functional.max_pool2d(pad_same(-x, 3, 2, -torch.inf), 3, 2)
    assert pooled[0, 0, 0].tolist() == [-1, -3]  # and never the padding


def test_the_norms_epsilon_is_slims() -> None:
    norm = FrozenNorm(1)
    norm.running_var.fill_(0.003)
    norm.running_mean.fill_(1.0)
    norm.weight.fill_(2.0)
    norm.bias.fill_(0.5)
    found = norm.train()(torch.full((1, 1, 1, 1), 1.5))  # no mode changes its statistics
    assert found.item() == pytest.approx(2 * 0.5 / 0.004**0.5 + 0.5)
    assert norm.running_mean.item() == 1


def test_a_dilated_sum_by_hand() -> None:
    """A lone pixel comes out of the four dilated kernels at their own distances, and 4 times."""
    head = nn.ModuleList([Conv(1, 1, 3, rate=rate, bias=False) for rate in network.RATES])
    for conv in head:
        nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, 1, 60)
    x[..., 30] = 1
    found = sum(conv(x) for conv in head)[0, 0, 0]
    at = {30: 4.0} | {30 + s * rate: 1.0 for rate in (6, 12, 18, 24) for s in (-1, 1)}
    assert {i: found[i].item() for i in found.nonzero()[:, 0].tolist()} == at


def test_resizing_by_hand() -> None:
    """Positions i h / height: 0, 1/2, 1, 3/2 of 0 10, whose last pixel stands for what follows."""
    x = torch.tensor([0.0, 10]).view(1, 1, 1, 2)
    assert resize(x, 1, 4).flatten().tolist() == [0, 5, 10, 10]
    assert resize(x.transpose(2, 3), 4, 1).flatten().tolist() == [0, 5, 10, 10]
    y = torch.arange(4.0).view(1, 1, 1, 4)
    assert resize(y, 1, 2).flatten().tolist() == [0, 2]  # no antialiasing
    assert torch.equal(resize(y, 1, 4), y)


def test_images_become_bgr_less_the_mean() -> None:
    red = np.zeros((2, 1, 3), dtype=np.uint8)
    red[..., 0] = 200
    found = preprocess(red)
    assert found.shape == (1, 3, 2, 1)
    blue_green_red = found[0, :, 0, 0].tolist()
    assert blue_green_red == pytest.approx([-104.00698793, -116.66876762, 200 - 122.67891434])


def test_the_mirror_exchanges_left_and_right() -> None:
    scores = torch.zeros(20, 1, 3)
    for label in range(20):
        scores[label, 0, 0] = label  # all at the left edge
    back = unmirrored(scores)[:, 0]
    assert back[:, 0].tolist() == [0] * 20
    pairs = {"left arm": "right arm", "left leg": "right leg", "left shoe": "right shoe"}
    swapped = pairs | {right: left for left, right in pairs.items()}
    for label, name in enumerate(LABELS):
        assert back[label, 2] == LABELS.index(swapped.get(name, name))
    assert torch.equal(unmirrored(unmirrored(scores)), scores)


class Painted(nn.Module):
    """A network whose maps are the view's own columns: easy to average by hand."""

    def forward(self, x: torch.Tensor) -> Maps:
        brightness = x.mean(1, keepdim=True)
        weights = torch.arange(20.0).view(1, 20, 1, 1)
        stages = tuple(stage * weights * brightness for stage in (1, 2, 3))
        return Maps(stages, ())


def test_averages_by_hand() -> None:
    """Views of constant colour v: stages 1, 2 and 3 average to 2, so class c scores 2 c v."""
    grey = np.full((6, 4, 3), 120, dtype=np.uint8)
    value = (360 - 104.00698793 - 116.66876762 - 122.67891434) / 3
    found = parsing_scores(Painted(), grey, Options(side=24), CPU)  # type: ignore[arg-type]
    assert found.shape == (20, 6, 4)
    classes = np.array([*range(14), 14.5, 14.5, 16.5, 16.5, 18.5, 18.5])  # halves of the pairs
    np.testing.assert_allclose(found.numpy(), np.tile(2 * value * classes[:, None, None], (6, 4)),
                               rtol=1e-5)  # fmt: skip
    alone = Options(side=24, mirror=False)
    found = parsing_scores(Painted(), grey, alone, CPU)  # type: ignore[arg-type]
    np.testing.assert_allclose(found[:, 0, 0].numpy(), 2 * value * np.arange(20), rtol=1e-5)


def test_a_mirrored_image_has_the_mirrored_scores() -> None:
    """Exact where the image has the network's size, since resizing is not symmetric."""
    net = load_network(tiny(), "test")
    options = Options(side=32, scales=(1.0,))
    crop = image(4, 4)  # its maps of 4x4 are not resized either
    at_scale = np.kron(crop, np.ones((8, 8, 1), dtype=np.uint8))

    class Shrunk(nn.Module):
        def forward(self, x: torch.Tensor) -> Maps:
            parsing = tuple(m.repeat_interleave(8, 2).repeat_interleave(8, 3)
                            for m in net(x).parsing)  # fmt: skip
            return Maps(parsing, ())

    def scores(of: np.ndarray) -> torch.Tensor:
        return parsing_scores(Shrunk(), of, options, CPU)  # type: ignore[arg-type]

    straight, turned = scores(at_scale), scores(at_scale[:, ::-1].copy())
    torch.testing.assert_close(unmirrored(turned), straight)
    assert not torch.allclose(turned.flip(2), straight)  # the pairs were exchanged too


def backend(state: dict[str, torch.Tensor], **settings: object) -> MaskBackend:
    return make_backend("jppnet", {**SMALL, **settings}, Resources(state=state, state_sha256="ab"))


def test_a_person_is_every_class_but_the_background() -> None:
    state = tiny()
    batch = Batch(np.stack([image(seed=s) for s in range(3)]), ("a", "b", "c"))
    for label, person in ((0, False), (1, True), (19, True)):
        for i in range(4):
            state[f"fc1_human_c{i}.bias"] = torch.zeros(20).index_fill(0, torch.tensor(label), 1e4)
        found = backend(state, mirror=False).masks(batch)
        assert found.dtype == np.bool_
        assert found.shape == (3, 40, 20)
        assert (found == person).all()


def test_labels_repeat_and_masks_do_not_depend_on_company() -> None:
    made = backend(tiny())
    assert isinstance(made, JPPNetMasks)
    batch = Batch(np.stack([image(seed=s) for s in range(2)]), ("a", "b"))
    labels = np.stack([made.labels(crop) for crop in batch.images])
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(made.labels(batch.images[1]), labels[1])
    np.testing.assert_array_equal(made.masks(batch), labels > 0)
    assert made.weights_sha256 == "ab"
    assert made.settings == SMALL


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 8}, "side is 8"),
        ({"scales": []}, r"scales is \[\]"),
        ({"scales": [0.1]}, "16 pixels"),
        ({"flip": True}, r"masks\.jppnet\.flip: no such key"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        backend(tiny(), **settings)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"leave weights\.parsing out"):
        make_backend("jppnet", {}, Resources())
    with pytest.raises(UserError, match=r"absent\.pth: no such file"):
        make_backend("jppnet", {}, Resources(weights=tmp_path / "absent.pth"))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(UserError, match=r"text\.pth: not a readable model file"):
        make_backend("jppnet", {}, Resources(weights=tmp_path / "text.pth"))
    less = tiny()
    del less["fc3_parsing.parsing_human4.bias"]
    for state in ({"a": torch.zeros(1)}, {"conv1.weight": torch.zeros(())}, less):
        save_torch(tmp_path / "other.pth", state)
        with pytest.raises(UserError, match=r"other\.pth: not JPPNet's weights .*make jppnet"):
            make_backend("jppnet", {}, Resources(weights=tmp_path / "other.pth"))


def test_the_stage_takes_the_users_file_and_records_its_hash(
    tmp_path: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.pth"
    save_torch(mine, tiny())
    use_params(tmp_path, monkeypatch, masks={"backend": "jppnet"}, weights={"parsing": str(mine)})
    out = tmp_path / "out" / "market1501.h5"
    run_extract(manifest, run_fetch(tmp_path, "parsing"), out)
    store = open_masks(out, manifest)
    assert store.backend == "jppnet"
    assert store.weights_sha256 == sha256_file(mine)
    assert store.settings == {"side": 384, "scales": [1.0, 0.75, 1.25], "mirror": True}
