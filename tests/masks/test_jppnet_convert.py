"""JPPNet's weights from a checkpoint's tensors: conversion, refusals, registry. No TensorFlow."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from crgan.common.errors import UserError
from crgan.common.io import load_torch, read_json, save_arrays, sha256_file
from crgan.masks.jppnet.convert import convert, convert_file, main, tensorflow_name
from crgan.masks.jppnet.inference import load_file
from crgan.masks.jppnet.network import JPPNet
from crgan.weights.registry import fetch, missing, record_beside, weights_path


def random_tensors(width: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    """Every variable of JPPNet under TensorFlow's name and in its shape."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for key, value in JPPNet(width).state_dict().items():
        shape = tuple(value.shape)
        shape = (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape
        scale = 1 if len(shape) == 1 else (2 / math.prod(shape[:3])) ** 0.5
        made = (rng.standard_normal(shape) * scale).astype(np.float32)
        tensors[tensorflow_name(key)] = np.abs(made) if key.endswith("running_var") else made
    return tensors


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return random_tensors()


@pytest.fixture
def checkpoint(tmp_path: Path, tensors: dict[str, np.ndarray]) -> Path:
    """What read_checkpoint.py leaves, of JPPNet at width 1 with the momentum of one tensor."""
    momentum = {"conv1/weights/Momentum": np.zeros_like(tensors["conv1/weights"])}
    source = {"sha256/model.ckpt-205632.index": np.array("0" * 64)}
    save_arrays(tmp_path / "tensors.npz", tensors | momentum | source)
    return tmp_path / "tensors.npz"


def test_conversion_takes_every_tensor_and_leaves_none(
    tensors: dict[str, np.ndarray],
) -> None:
    momentum = {"conv1/weights/Momentum": np.zeros_like(tensors["conv1/weights"])}
    converted = convert(tensors | momentum)
    assert len(converted.state) == len(tensors) == 624
    assert converted.momentum == ("conv1/weights/Momentum",)
    kernel = converted.state["fc2_parsing.parsing_conv2.weight"]  # (out, in, height, width)
    theirs = tensors["fc2_parsing/parsing_conv2/w"]  # (height, width, in, out)
    assert theirs.shape == (5, 5, 8, 4)
    assert kernel[3, 6, 4, 0] == float(theirs[4, 0, 6, 3])
    for key, name in {
        "bn_conv1.weight": "bn_conv1/gamma",
        "bn_conv1.bias": "bn_conv1/beta",
        "bn4b22_branch2c.running_mean": "bn4b22_branch2c/moving_mean",
        "bn4b22_branch2c.running_var": "bn4b22_branch2c/moving_variance",
        "fc1_human_c3.bias": "fc1_human_c3/biases",
        "fc1_pose.pose_conv8.bias": "fc1_pose/pose_conv8/b",
    }.items():
        np.testing.assert_array_equal(converted.state[key].numpy(), tensors[name])


def test_the_converted_file_is_recorded_and_known(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "weights"
    out = root / "jppnet.pth"
    main([str(checkpoint), "--out", str(out)])
    record = read_json(record_beside(out))
    assert record["sha256"] == sha256_file(out)
    assert record["source"] == {"model.ckpt-205632.index": "0" * 64}
    assert f"SHA-256 {record['sha256']}" in capsys.readouterr().out
    network, sha256 = load_file(out)
    assert sha256 == record["sha256"]
    assert not any(p.requires_grad for p in network.parameters())
    first = out.read_bytes()
    convert_file(checkpoint, out)
    assert out.read_bytes() == first
    assert weights_path("jppnet", root) == fetch("jppnet", root) == out
    state = load_torch(out)
    state["conv1.weight"] = state["conv1.weight"] + 1
    torch.save(state, out)
    with pytest.raises(UserError, match=r"jppnet\.pth is not the recorded file"):
        weights_path("jppnet", root)
    out.unlink()
    for problem in missing(["jppnet"], root):
        assert "is not there" in problem
        assert "make jppnet CHECKPOINT=FOLDER" in problem
    with pytest.raises(UserError, match="Google Drive"):
        fetch("jppnet", root)


def test_a_file_without_record_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights" / "jppnet.pth"
    convert_file(checkpoint, out)
    record_beside(out).unlink()
    with pytest.raises(UserError, match="not the recorded file"):
        weights_path("jppnet", out.parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc3_pose/conv6/b": None}, r"missing: fc3_pose/conv6/b$"),
        ({"conv1/weights": None}, "has no conv1/weights"),
        ({"global_step": np.int64([7])}, r"without a place in JPPNet .*: global_step$"),
        ({"stray/Momentum": np.zeros(1, np.float32)}, "without a place"),
        ({"bn_conv1/beta": np.zeros(2, np.float32)}, "of another shape: bn_conv1/beta"),
        ({"bn_conv1/beta/Momentum": np.zeros(2, np.float32)}, "of another shape"),
        ({"bn_conv1/beta": np.float32([np.nan])}, "bn_conv1/beta holds values"),
        ({"bn_conv1/moving_variance": np.float32([-1])}, "moving_variance holds values"),
        ({"bn_conv1/beta": np.int64([1])}, "bn_conv1/beta is int64, not float32"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    tmp_path: Path,
    tensors: dict[str, np.ndarray],
    change: dict[str, np.ndarray | None],
    message: str,
) -> None:
    changed = {n: v for n, v in (tensors | change).items() if v is not None}
    save_arrays(tmp_path / "tensors.npz", changed)
    with pytest.raises(UserError, match=message):
        convert_file(tmp_path / "tensors.npz", tmp_path / "jppnet.pth")
    assert not (tmp_path / "jppnet.pth").exists()


def test_a_tensor_can_be_ignored_by_name_but_none_of_the_network(
    tensors: dict[str, np.ndarray],
) -> None:
    bundle = tensors | {"global_step": np.int64([7])}
    assert convert(bundle, ["global_step"]).ignored == ("global_step",)
    with pytest.raises(UserError, match="not to be ignored: conv1/weights"):
        convert(bundle, ["global_step", "conv1/weights"])
    with pytest.raises(UserError, match="not in it, though to be ignored: step"):
        convert(bundle, ["global_step", "step"])


def test_the_command_says_what_is_wrong(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "jppnet.pth"
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "absent.npz"), "--out", str(out)])
    assert stop.value.code == 2
    assert "absent.npz: no such file" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"name the file \.pth"):
        convert_file(checkpoint, tmp_path / "jppnet.bin")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"not a readable \.npz"):
        convert_file(checkpoint, out)
    assert not out.exists()
