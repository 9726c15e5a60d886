"""JPPNet's released evaluation in TensorFlow, with random weights; the reference of `jppnet_tf`.

Runs in an environment with TensorFlow and tf-slim (`make check-jppnet`) and imports nothing of this
project. It writes a checkpoint as a training run of the authors' would leave it (V2, momentum
included) and what the graph makes of one random image. With `--authors FOLDER`, a checkout of
github.com/Engineering-Course/LIP_JPPNet, the network is built by the authors' own files instead of
by the functions here; its width is then 64.

    .venv-tensorflow/bin/python tests/exactness/jppnet_graph.py --out DIR --width 8
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.framework import ops

ops.Tensor = tf.Tensor  # its place when tf-slim was written
import tf_slim as slim  # noqa: E402  (needs the line above)

IMG_MEAN = np.array((104.00698793, 116.66876762, 122.67891434), dtype=np.float32)
CLASSES, JOINTS = 20, 16
SCALES = (1.0, 0.75, 1.25)
STEP = 205632
MAPS = ("fc1_human", "parsing_human", "pose_conv8", "conv6")  # layers whose output is a map


def variable(name: str, shape: list[int]) -> Any:
    return tf.get_variable(name, shape, initializer=tf.zeros_initializer())


def convolve(x: Any, kernel: Any, stride: int, rate: int) -> Any:
    if rate > 1:
        return tf.nn.atrous_conv2d(x, kernel, rate, padding="SAME")
    return tf.nn.conv2d(x, kernel, [1, stride, stride, 1], padding="SAME")


def conv(
    x: Any, name: str, outputs: int, size: int, stride: int = 1, rate: int = 1,
    names: tuple[str, str | None] = ("w", "b"), relu: bool = True,
) -> Any:  # fmt: skip
    """A convolution in a scope of its own; `names` of kernel and bias."""
    with tf.variable_scope(name):
        kernel = variable(names[0], [size, size, int(x.shape[-1]), outputs])
        x = convolve(x, kernel, stride, rate)
        if names[1]:
            x = tf.nn.bias_add(x, variable(names[1], [outputs]))
        return tf.nn.relu(x) if relu else x


def normed(
    x: Any, name: str, outputs: int, size: int, stride: int = 1, rate: int = 1, relu: bool = True
) -> Any:
    """A backbone's convolution without bias, and slim's batch norm with its defaults."""
    full = "conv1" if name == "_conv1" else f"res{name}"
    x = conv(x, full, outputs, size, stride, rate, ("weights", None), relu=False)
    return slim.batch_norm(
        x,
        activation_fn=tf.nn.relu if relu else None,
        is_training=False,
        updates_collections=None,
        scale=True,
        scope=f"bn{name}",
    )


def backbone(x: Any, width: int) -> tuple[Any, Any]:
    """res4b22 and res5c, after ReLU."""
    x = normed(x, "_conv1", width, 7, 2)
    x = tf.nn.max_pool(x, [1, 3, 3, 1], [1, 2, 2, 1], padding="SAME")
    stages = (
        (["2a", "2b", "2c"], width, 1, 1),
        (["3a"] + [f"3b{i}" for i in range(1, 4)], 2 * width, 2, 1),
        (["4a"] + [f"4b{i}" for i in range(1, 23)], 4 * width, 1, 2),
        (["5a", "5b", "5c"], 8 * width, 1, 4),
    )
    kept = []
    for blocks, middle, stage_stride, rate in stages:
        for i, block in enumerate(blocks):
            stride = stage_stride if i == 0 else 1
            shortcut = x
            if i == 0:
                shortcut = normed(x, f"{block}_branch1", 4 * middle, 1, stride, relu=False)
            y = normed(x, f"{block}_branch2a", middle, 1, stride)
            y = normed(y, f"{block}_branch2b", middle, 3, rate=rate)
            y = normed(y, f"{block}_branch2c", 4 * middle, 1, relu=False)
            x = tf.nn.relu(tf.add_n([shortcut, y]))
        kept.append(x)
    return kept[2], kept[3]


def pose_net(x: Any, width: int) -> tuple[Any, Any]:
    with tf.variable_scope("fc1_pose"):
        for i, multiple in enumerate((8, 8, 4, 4, 4, 4), 1):
            x = conv(x, f"pose_conv{i}", multiple * width, 3)
        y = conv(x, "pose_conv7", 8 * width, 1)
        return conv(y, "pose_conv8", JOINTS, 1, relu=False), x


def refined(first: Any, features: Any, second: Any, width: int, prefix: str) -> tuple[Any, Any]:
    x = tf.concat([first, second, features], 3)
    for i, (multiple, size) in enumerate(((8, 3), (4, 5), (4, 7), (4, 9)), 1):
        x = conv(x, f"{prefix}conv{i}", multiple * width, size)
    return conv(x, f"{prefix}conv5", 4 * width, 1), x


def pose_refine(pose: Any, parsing: Any, features: Any, name: str, width: int) -> tuple[Any, Any]:
    with tf.variable_scope(name):
        pose = conv(pose, "pose_remap", 2 * width, 1)
        parsing = conv(parsing, "parsing_remap", 2 * width, 1)
        x, features = refined(pose, features, parsing, width, "")
        return conv(x, "conv6", JOINTS, 1, relu=False), features


def parsing_refine(
    parsing: Any, pose: Any, features: Any, name: str, width: int
) -> tuple[Any, Any]:
    with tf.variable_scope(name):
        pose = conv(pose, "pose_remap", 2 * width, 1)
        parsing = conv(parsing, "parsing_remap", 2 * width, 1)
        x, features = refined(parsing, features, pose, width, "parsing_")
        heads = [
            conv(x, f"parsing_human{i}", CLASSES, 3, rate=6 * i, relu=False) for i in range(1, 5)
        ]
        return tf.add_n(heads), features


def network(x: Any, width: int) -> list[Any]:
    """Parsing 1 to 3 and pose 1 to 3 of a batch (n, H, W, 3)."""
    res4, res5 = backbone(x, width)
    names = ("weights", "biases")
    heads = [
        conv(res5, f"fc1_human_c{i}", CLASSES, 3, rate=6 * (i + 1), names=names, relu=False)
        for i in range(4)
    ]
    parsing1 = tf.add_n(heads)
    features = conv(res5, "res5d_branch2a_parsing", 8 * width, 3, names=names)
    features1 = conv(features, "res5d_branch2b_parsing", 4 * width, 3, names=names)
    pose1, pose_features1 = pose_net(res4, width)
    pose2, pose_features2 = pose_refine(pose1, parsing1, pose_features1, "fc2_pose", width)
    parsing2, features2 = parsing_refine(parsing1, pose1, features1, "fc2_parsing", width)
    parsing3, _ = parsing_refine(parsing2, pose2, features2, "fc3_parsing", width)
    pose3, _ = pose_refine(pose2, parsing2, pose_features2, "fc3_pose", width)
    return [parsing1, parsing2, parsing3, pose1, pose2, pose3]


def authors_network(folder: Path) -> Any:
    """`network` of the authors' own files, which are Python 2 for TensorFlow 1.

    They see TensorFlow as it was (`tf.contrib.slim`), and not the rest of their packages, which
    reading Caffe files and drawing need. Kernel shapes are whole again after Python 3's division.
    """
    old = types.ModuleType("tensorflow")
    old.__dict__.update({k: v for k, v in vars(tf).items() if not k.startswith("__")})
    old.contrib = types.SimpleNamespace(slim=slim)  # type: ignore[attr-defined]
    new, sys.modules["tensorflow"] = sys.modules["tensorflow"], old

    def load(name: str, file: str, **inside: Any) -> types.ModuleType:
        spec = importlib.util.spec_from_file_location(name, folder / file)
        module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        sys.modules[name] = module
        spec.loader.exec_module(module)  # type: ignore[union-attr]
        return module

    for package in ("kaffe", "kaffe.tensorflow", "utils"):
        sys.modules[package] = types.ModuleType(package)
    kaffe = load("kaffe.tensorflow.network", "kaffe/tensorflow/network.py")
    kaffe.Network.make_var = lambda self, name, shape: variable(name, [int(n) for n in shape])
    sys.modules["kaffe.tensorflow"].Network = kaffe.Network  # type: ignore[attr-defined]
    load("utils.ops", "utils/ops.py")
    sys.modules["utils"].__dict__.update(vars(sys.modules["utils.ops"]))
    model = load("utils.model", "utils/model.py").JPPNetModel
    lip = load("LIP_model", "LIP_model.py")
    sys.modules["tensorflow"] = new

    def built(x: Any, width: int) -> list[Any]:
        if width != 64:
            raise SystemExit("the authors' files have width 64")
        layers = model({"data": x}, is_training=False, n_classes=CLASSES).layers
        parsing1 = layers["fc1_human"]
        pose1, pose_features1 = lip.pose_net(layers["res4b22_relu"], "fc1_pose")
        pose2, pose_features2 = lip.pose_refine(pose1, parsing1, pose_features1, name="fc2_pose")
        parsing2, features2 = lip.parsing_refine(
            parsing1, pose1, layers["res5d_branch2b_parsing"], name="fc2_parsing"
        )
        parsing3, _ = lip.parsing_refine(parsing2, pose2, features2, name="fc3_parsing")
        pose3, _ = lip.pose_refine(pose2, parsing2, pose_features2, name="fc3_pose")
        return [parsing1, parsing2, parsing3, pose1, pose2, pose3]

    return built


def evaluation(rgb: Any, width: int, side: int, build: Any) -> tuple[list[Any], Any]:
    """The maps at scale 1 and the averaged scores (H, W, 20), of uint8 (H, W, 3)."""
    red, green, blue = tf.split(rgb, 3, axis=2)
    image = tf.cast(tf.concat([blue, green, red], 2), tf.float32) - IMG_MEAN
    both = tf.stack([image, tf.reverse(image, [1])])
    size = tf.shape(both)[1:3]
    by_scale = []
    for scale in SCALES:
        # The sides are known to TensorFlow, as in the original: it leaves an equal size alone.
        x = tf.image.resize_images(both, [int(side * scale), int(side * scale)])
        with tf.variable_scope("", reuse=bool(by_scale)):
            by_scale.append(build(x, width))
    stages = []
    for stage in range(3):
        resized = [tf.image.resize_images(maps[stage], size) for maps in by_scale]
        stages.append(tf.reduce_mean(tf.stack(resized), axis=0))
    head, tail = tf.unstack(tf.reduce_mean(tf.stack(stages), axis=0), num=2, axis=0)
    channels = tf.unstack(tail, num=CLASSES, axis=2)
    for left in (14, 16, 18):
        channels[left], channels[left + 1] = channels[left + 1], channels[left]
    tail = tf.reverse(tf.stack(channels, axis=2), [1])
    return by_scale[0], tf.reduce_mean(tf.stack([head, tail]), axis=0)


def random_value(name: str, shape: list[int], seed: int) -> np.ndarray:
    """Weights that keep activations near one, and statistics that make an epsilon of 1e-3 tell.

    Variances lie between 0.002 and 2, and gamma undoes what they do to the scale.
    """
    layer, _, kind = name.rpartition("/")

    def rng(what: str) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32(f"{layer}/{what}".encode())])

    deviation = np.exp(rng("variance").uniform(np.log(0.002), np.log(2), shape[-1])) ** 0.5
    if kind == "Momentum":
        value = rng(kind).normal(size=shape)
    elif kind in ("weights", "w"):
        value = rng(kind).normal(size=shape) * (2 / np.prod(shape[:3])) ** 0.5
        value *= 1 / 60 if layer == "conv1" else 1  # images have values of about 60
        value *= 1 / 20 if layer.split("/")[-1].startswith(MAPS) else 1  # for scores of about one
    elif kind == "moving_variance":
        value = deviation**2
    elif kind == "moving_mean":
        value = 0.3 * deviation * rng(kind).normal(size=shape)
    elif kind == "gamma":  # a block's last norm is small, or 33 blocks would add up to large values
        value = deviation * rng(kind).uniform(0.5, 1.5, shape)
        value *= 0.3 if layer.endswith("branch2c") else 1
    else:
        value = 0.1 * rng(kind).normal(size=shape)
    return value.astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 64))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--momentum", action="store_true", help="optimiser's tensors too")
    parser.add_argument("--authors", type=Path)
    args = parser.parse_args()
    tf.disable_v2_behavior()
    build = authors_network(args.authors) if args.authors else network
    rgb = tf.placeholder(tf.uint8, [None, None, 3])
    maps, scores = evaluation(rgb, args.width, args.side, build)
    if args.momentum:
        variables = tf.trainable_variables()
        optimiser = tf.train.MomentumOptimizer(0.1, 0.9)
        optimiser.apply_gradients([(tf.zeros_like(v), v) for v in variables])
    image = np.random.default_rng(args.seed).integers(0, 256, (*args.size, 3), dtype=np.uint8)
    config = tf.ConfigProto(
        intra_op_parallelism_threads=args.threads, inter_op_parallelism_threads=1
    )
    with tf.Session(config=config) as session:
        assigned = [v.initializer for v in tf.global_variables()]
        session.run(assigned, {
            v.initializer.inputs[1]: random_value(v.op.name, v.shape.as_list(), args.seed)
            for v in tf.global_variables()
        })  # fmt: skip
        folder = args.out / "JPPNet-s2"
        folder.mkdir(parents=True, exist_ok=True)
        tf.train.Saver().save(session, str(folder / "model.ckpt"), global_step=STEP)
        found = session.run({"scores": scores, **dict(zip(
            ("parsing1", "parsing2", "parsing3", "pose1", "pose2", "pose3"), maps, strict=True
        ))}, {rgb: image})  # fmt: skip
    names = [v.op.name for v in tf.global_variables()]
    np.savez(args.out / "reference.npz", image=image, names=names, **found)


if __name__ == "__main__":
    main()
