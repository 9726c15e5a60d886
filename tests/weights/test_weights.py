"""The weights registry: refusals, sources in order, archives, conversions. No network."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from crgan.common.errors import UserError
from crgan.common.io import load_torch, sha256_bytes
from crgan.nets.reid import SmallBackbone
from crgan.weights import registry as weights
from crgan.weights import sources as weight_sources
from crgan.weights.formats import (
    CONVERTERS,
    alexnet_from_flax,
    alexnet_from_torchvision,
    load_numpy_pickle,
    mobilenetv2_features,
    pack,
    tensors_sha256,
    unpacked,
)
from crgan.weights.registry import ROOT, fetch, load_registry, missing, weights_path
from crgan.weights.sources import read_member

PROJECT = Path(__file__).parents[2]
CONTENT = b"the weights"


def no_network(*args: Any, **options: Any) -> None:
    raise UserError("download failed (ConnectionError)")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "download_url", no_network)
    monkeypatch.setattr(weights, "download_archive", no_network)


def alexnet_pickle() -> bytes:
    """A Flax-style pickle of AlexNet's convolutions with random values."""
    rng = np.random.default_rng(0)
    shapes = [(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256)]
    shapes.append((3, 3, 256, 256))
    convs = {
        f"Conv_{n}": {
            "kernel": rng.standard_normal(shape, dtype=np.float32),
            "bias": rng.standard_normal(shape[-1], dtype=np.float32),
        }
        for n, shape in enumerate(shapes)
    }
    return pickle.dumps({"AlexNet_0": convs}, protocol=3)


def wheel(path: Path, member: str, content: bytes) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)
    return sha256_bytes(path.read_bytes())


def sdist(path: Path, member: str, content: bytes) -> str:
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return sha256_bytes(path.read_bytes())


def write_registry(folder: Path, **entries: dict[str, Any]) -> Path:
    """A registry of entries with a plain description each."""
    plain = {"about": "a test", "version": "1", "licence": "MIT"}
    path = folder / "registry.yaml"
    path.write_text(yaml.safe_dump({name: {**plain, **entry} for name, entry in entries.items()}))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """`plain`: an address, then a member of an archive."""
    source = {"url": "https://example.org/plain-v1.bin", "sha256": sha256_bytes(CONTENT)}
    archive = {
        "package": "plain==1.0", "client": "pip", "archive": "plain-1.0-py3-none-any.whl",
        "sha256": wheel(tmp_path / "made.whl", "plain/w.bin", CONTENT),
        "member": "plain/w.bin", "member_sha256": sha256_bytes(CONTENT),
    }  # fmt: skip
    return write_registry(tmp_path, plain={"file": "plain.bin", "sources": [source, archive]})


def test_an_absent_weight_is_an_error_that_says_all(root: Path, registry: Path) -> None:
    with pytest.raises(UserError) as caught:
        weights_path("plain", root, registry)
    for part in (
        str(root / "plain.bin"),
        "python -m stages.fetch_weights plain",
        "https://example.org/plain-v1.bin",
        "plain-1.0-py3-none-any.whl",
        sha256_bytes(CONTENT),
    ):
        assert part in str(caught.value)


def test_missing_lists_every_absent_weight_and_no_other(root: Path, tmp_path: Path) -> None:
    sources = [{"url": "https://example.org/x", "sha256": sha256_bytes(CONTENT)}]
    names = ("a", "b", "c")
    entries = {name: {"file": f"{name}.bin", "sources": sources} for name in names}
    registry = write_registry(tmp_path, **entries)
    (root / "b.bin").write_bytes(CONTENT)
    first, second = missing(names, root, registry)
    assert "a.bin is not there" in first
    assert "c.bin is not there" in second


def test_a_wrong_file_is_refused_named_and_never_overwritten(root: Path, registry: Path) -> None:
    (root / "plain.bin").write_bytes(b"something else")
    for call in (weights_path, fetch):
        with pytest.raises(UserError, match=r"plain\.bin is not the recorded file .*Move it away"):
            call("plain", root, registry)
    assert (root / "plain.bin").read_bytes() == b"something else"


def test_an_unknown_name_lists_the_known_ones(root: Path, registry: Path) -> None:
    with pytest.raises(UserError, match=r"'resnet51'.*has plain"):
        weights_path("resnet51", root, registry)


def test_fetch_takes_the_address_first(
    root: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "download_url", lambda url, folder: CONTENT)
    assert fetch("plain", root, registry).read_bytes() == CONTENT
    assert weights_path("plain", root, registry) == root / "plain.bin"


def test_fetch_refuses_a_download_with_another_hash(
    root: Path, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "download_url", lambda url, folder: b"tampered")
    with pytest.raises(UserError) as caught:
        fetch("plain", root, registry)
    assert f"plain-v1.bin has SHA-256 {sha256_bytes(b'tampered')}" in str(caught.value)
    assert "download failed" in str(caught.value)  # the second source was tried as well
    assert list(root.iterdir()) == []


def test_fetch_reads_an_archive_the_user_brought(root: Path, registry: Path) -> None:
    made = registry.parent / "made.whl"
    (root / "plain-1.0-py3-none-any.whl").write_bytes(made.read_bytes())
    assert fetch("plain", root, registry).read_bytes() == CONTENT


def test_fetch_refuses_a_changed_archive(root: Path, registry: Path) -> None:
    wheel(root / "plain-1.0-py3-none-any.whl", "plain/w.bin", b"tampered")
    with pytest.raises(UserError, match=r"plain-1\.0-py3-none-any\.whl has SHA-256"):
        fetch("plain", root, registry)
    assert not (root / "plain.bin").exists()


def test_archive_comes_through_pip(root: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """pip itself, from a folder of packages: the recorded hash is asked for and the member read."""
    name = "crgan_weights_sample-1.0-py3-none-any.whl"
    package, info = "crgan_weights_sample", "crgan_weights_sample-1.0.dist-info"
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / name, "w") as archive:
        archive.writestr(f"{package}/w.bin", CONTENT)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: crgan-weights-sample\nVersion: 1.0\n"
            "Requires-Python: <3\n",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    source = {
        "package": "crgan-weights-sample==1.0", "client": "pip", "archive": name,
        "sha256": sha256_bytes((index / name).read_bytes()), "member": f"{package}/w.bin",
        "member_sha256": sha256_bytes(CONTENT),
    }  # fmt: skip
    monkeypatch.setattr(weights, "download_archive", weight_sources.download_archive)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    good = write_registry(tmp_path, w={"file": "w.bin", "sources": [source]})
    assert fetch("w", root, good).read_bytes() == CONTENT
    (root / "w.bin").unlink()
    bad = write_registry(tmp_path, w={"file": "w.bin", "sources": [{**source, "sha256": "0" * 64}]})
    with pytest.raises(UserError, match="pip failed with status"):
        fetch("w", root, bad)


def test_members_of_wheels_and_sdists(tmp_path: Path) -> None:
    wheel(tmp_path / "a.whl", "a/w.bin", CONTENT)
    sdist(tmp_path / "a.tar.gz", "a-1.0/a/w.bin", CONTENT)
    assert read_member(tmp_path / "a.whl", "a/w.bin") == CONTENT
    assert read_member(tmp_path / "a.tar.gz", "a-1.0/a/w.bin") == CONTENT
    for name in ("a.whl", "a.tar.gz"):
        with pytest.raises(UserError, match="has no member b"):
            read_member(tmp_path / name, "b")
    (tmp_path / "broken.tgz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"broken\.tgz: not a readable archive"):
        read_member(tmp_path / "broken.tgz", "b")


def test_a_converted_weight_is_known_by_its_tensors(root: Path, tmp_path: Path) -> None:
    """Flax pickle in, torch file out; the order of keys and the bytes around them do not matter."""
    data = alexnet_pickle()
    state = alexnet_from_flax(data)
    source = {
        "url": "https://example.org/alexnet.ckpt", "sha256": sha256_bytes(data),
        "convert": "alexnet_from_flax",
    }  # fmt: skip
    entry = {"file": "a.pth", "tensors_sha256": tensors_sha256(state), "sources": [source]}
    registry = write_registry(tmp_path, a=entry)
    (root / "alexnet.ckpt").write_bytes(data)
    path = fetch("a", root, registry)
    first = path.read_bytes()
    path.unlink()
    assert fetch("a", root, registry).read_bytes() == first  # conversion repeats byte for byte
    torch.save(dict(reversed(state.items())), path)
    assert weights_path("a", root, registry) == path
    state["0.bias"][0] += 1e-3
    torch.save(state, path)
    with pytest.raises(UserError, match="not the recorded file"):
        weights_path("a", root, registry)


def test_a_conversion_with_other_tensors_is_refused(root: Path, tmp_path: Path) -> None:
    data = alexnet_pickle()
    source = {
        "url": "https://example.org/alexnet.ckpt", "sha256": sha256_bytes(data),
        "convert": "alexnet_from_flax",
    }  # fmt: skip
    entry = {"file": "a.pth", "tensors_sha256": "0" * 64, "sources": [source]}
    (root / "alexnet.ckpt").write_bytes(data)
    with pytest.raises(UserError, match="converts to tensors"):
        fetch("a", root, write_registry(tmp_path, a=entry))
    assert not (root / "a.pth").exists()


def test_flax_kernels_become_the_same_convolution() -> None:
    """One output of the first convolution, summed by hand from the (h, w, in, out) kernel."""
    from torchvision.models import alexnet

    data = alexnet_pickle()
    with torch.device("meta"):  # the classifier's 58 million values are not needed
        features = alexnet(weights=None).features
    features.to_empty(device="cpu")
    features.load_state_dict(alexnet_from_flax(data), strict=True)
    image = torch.rand(1, 3, 11, 11, generator=torch.Generator().manual_seed(0))
    out = features[0](torch.nn.functional.pad(image, (-2, -2, -2, -2)))  # the layer pads by 2
    conv = load_numpy_pickle(data)["AlexNet_0"]["Conv_0"]
    patch = np.zeros((11, 11, 3), dtype=np.float32)
    patch[2:9, 2:9] = image[0, :, 2:9, 2:9].permute(1, 2, 0).numpy()
    by_hand = (patch * conv["kernel"][..., 5]).sum() + conv["bias"][5]
    np.testing.assert_allclose(out[0, 5, 0, 0].item(), by_hand, rtol=1e-4)


def test_torchvision_and_flax_forms_give_the_same_tensors() -> None:
    state = alexnet_from_flax(alexnet_pickle())
    whole = {f"features.{name}": value for name, value in state.items()}
    buffer = io.BytesIO()
    torch.save({**whole, "classifier.1.weight": torch.zeros(2, 2)}, buffer)
    assert tensors_sha256(alexnet_from_torchvision(buffer.getvalue())) == tensors_sha256(state)


def test_mobilenet_keys_are_renamed_by_order_and_shapes_checked() -> None:
    from torchvision.models import mobilenet_v2

    wanted = mobilenet_v2(weights=None).features.state_dict()
    flat = {f"features.{n}": value for n, value in enumerate(wanted.values())}
    buffer = io.BytesIO()
    torch.save(flat, buffer)
    assert tensors_sha256(mobilenetv2_features(buffer.getvalue())) == tensors_sha256(wanted)
    first = next(iter(flat))
    buffer = io.BytesIO()
    torch.save({**flat, first: flat[first][:1]}, buffer)
    with pytest.raises(UserError, match=r"0\.0\.weight: shape"):
        mobilenetv2_features(buffer.getvalue())


class Harmful:
    """Unpickled without care it would leave a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_unpickler_refuses_a_malicious_pickle(tmp_path: Path, protocol: int) -> None:
    victim = tmp_path / "touched"
    data = pickle.dumps({"AlexNet_0": [np.zeros(2), Harmful(victim)]}, protocol=protocol)
    with pytest.raises(UserError, match="refused a pickle"):
        alexnet_from_flax(data)
    assert not victim.exists()
    pickle.loads(data)  # what it would have done
    assert victim.exists()


def test_unpickler_refuses_a_broken_pickle() -> None:
    with pytest.raises(UserError, match="refused a pickle"):
        load_numpy_pickle(alexnet_pickle()[:100])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"file": "x", "sources": [{"url": "u", "sha256": "0", "colour": 1}]}, "colour"),
        ({"file": "x", "sources": [{"sha256": "0"}]}, "either url, or shipped, or all of"),
        (
            {"file": "x", "sources": [{"sha256": "0", "package": "p==1"}]},
            "either url, or shipped, or all of",
        ),
        (
            {"file": "x", "sources": [{"url": "u", "sha256": "0", "convert": "alexnet_from_flax"}]},
            "tensors_sha256",
        ),
        ({"file": "x"}, "sources"),
    ],
)
def test_a_faulty_registry_is_named(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"entry w: .*{message}"):
        load_registry(write_registry(tmp_path, w=entry))


def test_the_projects_registry_is_complete() -> None:
    registry = load_registry()
    assert {"resnet50_imagenet", "lpips_alexnet", "fid_inception", "mediapipe_pose_full"} <= set(
        registry
    )
    assert len({weight.file for weight in registry.values()}) == len(registry)
    for weight in registry.values():
        for source in weight.sources:
            assert len(source.sha256) == 64
            assert not source.convert or source.convert in CONVERTERS
            assert not source.member or len(source.member_sha256) == 64


def test_listing_and_failure_of_the_command(root: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stages.fetch_weights", *words, "--root", str(root)]
        return subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)

    listing = run()
    assert listing.returncode == 0
    assert all(name in listing.stdout for name in load_registry())
    assert "here" not in listing.stdout.replace("where", "")
    unknown = run("resnet51")
    assert unknown.returncode == 2
    assert "no weights named 'resnet51'" in unknown.stderr


_ABSENT = missing(["fid_inception"], PROJECT / ROOT)


@pytest.mark.skipif(bool(_ABSENT), reason="; ".join(_ABSENT))
def test_fid_inception_loads_into_pytorch_fid(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_fid import inception

    state = load_torch(weights_path("fid_inception", PROJECT / ROOT))
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *a, **k: state)
    model = inception.InceptionV3([3], resize_input=False).eval()
    with torch.inference_mode():
        pooled = model(torch.full((1, 3, 75, 75), 0.5))[0]
    assert pooled.shape == (1, 2048, 1, 1)
    assert torch.isfinite(pooled).all()


def test_packed_weights_come_back_nearly_as_they_were() -> None:
    state = SmallBackbone(8).state_dict()
    data = pack(state)
    assert len(data) < 0.4 * sum(t.numel() * t.element_size() for t in state.values())
    again = unpacked(data)
    assert list(again) == list(state)
    for name, tensor in state.items():
        step = tensor.abs().amax() / 127 if tensor.ndim == 4 else 0.0
        assert again[name].dtype == tensor.dtype
        assert (again[name] - tensor).abs().max() <= 0.51 * step


def test_a_shipped_file_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry: dict[str, Any] = {
        "about": "a", "file": "x.bin", "version": "1", "licence": "MIT",
        "sources": [{"shipped": "x.bin", "sha256": sha256_bytes(CONTENT)}],
    }  # fmt: skip
    registry = tmp_path / "weights.yaml"
    registry.write_text(yaml.safe_dump({"x": entry}))
    (tmp_path / "x.bin").write_bytes(CONTENT)
    monkeypatch.setattr(weights, "REGISTRY", registry)
    assert fetch("x", tmp_path / "out", registry).read_bytes() == CONTENT
    (tmp_path / "x.bin").write_bytes(b"changed")
    with pytest.raises(UserError, match="refused"):
        fetch("x", tmp_path / "other", registry)
