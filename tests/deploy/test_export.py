"""What is exported is what was trained, in both files, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision
from PIL import Image

from crgan.common.errors import UserError
from crgan.common.io import load_torch, save_torch, write_json
from crgan.deploy.export import export
from crgan.deploy.model import ReidModel
from crgan.reid.features import extract
from crgan.reid.model_file import build_reid
from tests.deploy.models import SIZE, crops, site, trained, write_crop

KINDS = {
    "small": {},
    "small, embedding and maximum": {"embedding": 12, "pooling": "max"},
    "mobilenetv2": {"backbone": "mobilenetv2", "width": 32, "last_stride": 1},
    "resnet50": {"backbone": "resnet50", "width": 64},
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_files_give_the_workflows_features(kind: str, tmp_path: Path) -> None:
    reid = trained(tmp_path / "seed0.pt", **KINDS[kind])  # type: ignore[arg-type]
    pt, onnx_file = export(reid, tmp_path / "out")
    images = crops(7, size=SIZE)
    expected = extract(build_reid(load_torch(reid), "r"), images).pooled
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    for path in (pt, onnx_file, reid):
        found = ReidModel.load(path)(images)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    similar = expected @ expected.T - np.eye(7)
    assert similar.max() < 0.9999  # different images, different features


@pytest.mark.parametrize(
    ("kind", "network", "classifier"),
    [("resnet50", "resnet50", "fc."), ("mobilenetv2", "mobilenet_v2", "classifier.")],
)
def test_torchvision_takes_the_state_dict(
    kind: str, network: str, classifier: str, tmp_path: Path
) -> None:
    pt, _ = export(trained(tmp_path / "r.pt", **KINDS[kind]), tmp_path)  # type: ignore[arg-type]
    file = torch.load(pt, weights_only=True)
    loaded = getattr(torchvision.models, network)().load_state_dict(
        file["state_dict"], strict=False
    )
    assert not loaded.unexpected_keys
    assert all(key.startswith(classifier) for key in loaded.missing_keys)


def test_onnx_alone_is_enough(tmp_path: Path) -> None:
    """As someone without this project runs it: bytes in, any number of images."""
    _, path = export(trained(tmp_path / "r.pt"), tmp_path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.type, given.shape[1:]) == ("tensor(uint8)", [*SIZE, 3])
    for count in (1, 5):
        (found,) = session.run(None, {given.name: crops(count, size=SIZE)})
        assert found.shape == (count, 48)


def test_metadata_say_where_it_comes_from_and_equal_files_are_equal_bytes(tmp_path: Path) -> None:
    reid = trained(tmp_path / "seed0.pt")
    record = {"stage": "finetune", "cell": {"source": "a", "target": "b"}, "key": "k",
              "code_sha256": "c", "run": {"started": "today", "argv": ["/home/me"]}}  # fmt: skip
    write_json(tmp_path / "seed0.prov.json", record)
    first, second = (export(reid, tmp_path / name) for name in ("one", "two"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    model = onnx.load(first[1])
    values = {entry.key: entry.value for entry in model.metadata_props}
    assert (values["opset"], values["size"]) == ("20", "64x32")
    assert model.opset_import[0].version == 20
    about = json.loads(values["crgan"])
    assert about["provenance"]["cell"] == {"source": "a", "target": "b"}
    assert about["provenance"]["notes"] == ["a note"]
    assert ReidModel.load(first[0]).about == ReidModel.load(first[1]).about == about
    assert str(tmp_path) not in first[1].read_bytes().decode(errors="ignore")
    assert "today" not in values["crgan"]


def test_a_collapsed_network_is_not_exported(tmp_path: Path) -> None:
    file = load_torch(trained(tmp_path / "r.pt"))
    file["state"]["backbone.0.weight"].zero_()
    save_torch(tmp_path / "r.pt", file)
    with pytest.raises(UserError, match="all images have the same features"):
        export(tmp_path / "r.pt", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_images_of_any_kind_and_size_are_taken(tmp_path: Path) -> None:
    model = ReidModel.load(trained(tmp_path / "r.pt"))
    image = crops(1, size=(90, 41))[0]
    path = write_crop(tmp_path / "a.png", image)
    rows = model([image, Image.fromarray(image), path, str(path)])
    np.testing.assert_array_equal(rows, np.broadcast_to(rows[0], rows.shape))
    many = site(tmp_path / "site", {"a": 40})
    assert model(sorted(many.rglob("*.jpg"))).shape == (40, 48)  # more than a batch


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no images"),
        (np.zeros((64, 32, 3), np.uint8), "a list of images"),
        (["there/is/none.jpg"], r"none\.jpg: no such image"),
        ([np.zeros((4, 4, 7), np.uint8)], "expected"),
        ([np.zeros((4, 4, 3), np.float32)], "float32"),
    ],
)
def test_what_is_no_image_is_refused(images: object, message: str, tmp_path: Path) -> None:
    model = ReidModel.load(trained(tmp_path / "r.pt"))
    with pytest.raises(UserError, match=message):
        model(images)  # type: ignore[arg-type]


HOSTILE = {
    "width": 200000, "embedding": 10**9, "height": 10**6, "width_px": -1, "last_stride": 7,
    "backbone": ["small"], "pooling": {"a": 1}, "state_dict": 3,
}  # fmt: skip


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_model_file_is_one_line_before_memory_is_taken(key: str, tmp_path: Path) -> None:
    pt, _ = export(trained(tmp_path / "r.pt"), tmp_path)
    file = load_torch(pt)
    for name, value in ((key, HOSTILE[key]), ("stray", 1)):
        save_torch(tmp_path / "h.pt", {**file, name: value})
        with pytest.raises(UserError) as refused:
            ReidModel.load(tmp_path / "h.pt")
        assert "\n" not in str(refused.value)
        assert "h.pt" in str(refused.value)


def test_one_number_cannot_pose_as_a_matrix(tmp_path: Path) -> None:
    file = load_torch(trained(tmp_path / "r.pt"))
    file["pids"] = [1] * 100_000
    file["state"]["classifier.weight"] = torch.zeros(1).expand(100_000, 48)
    with pytest.raises(UserError, match="fewer numbers than its shape"):
        build_reid(file, "r.pt")


@pytest.mark.parametrize("content", [b"", b"\x08\x07junk", b"\xff" * 100])
def test_what_is_no_onnx_model_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.onnx"):
        ReidModel.load(tmp_path / "m.onnx")
    with pytest.raises(UserError, match="no such model"):
        ReidModel.load(tmp_path / "n.onnx")
