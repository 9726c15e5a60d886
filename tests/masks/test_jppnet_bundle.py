"""JPPNet's checkpoint: reader, refusals of damaged files, conversion, registry. No TensorFlow."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from crgan.common.errors import UserError
from crgan.common.io import load_torch, read_json, sha256_file
from crgan.masks.jppnet.bundle import opened, read_bundle
from crgan.masks.jppnet.convert import convert, convert_file, main
from crgan.masks.jppnet.crc32c import crc32c, masked
from crgan.masks.jppnet.inference import load_file
from crgan.masks.jppnet.table import Damaged, read_table, unsnap
from crgan.weights.registry import fetch, missing, record_beside, weights_path
from tests import jppnet_bundle as writer

# Written by TensorFlow 2.21: bn_conv1/beta, bn_conv1/gamma, conv1/weights, global_step.
TF_INDEX = (
    "AAAGCAEaAggBAA0PYm5fY29udjEvYmV0YQgBEgQSAggCKAg1VFfCLAkFEWdhbW1hCAESBBICCAIgCCgINYaa7sEADR1j"
    "b252MS93ZWlnaHRzCAESEBICCAESAggBEgIIAxICCAIgECgYNcDbPRcACw1nbG9iYWxfc3RlcAgJEgAgKCgINWw6kSsA"
    "AAAAAQAAAAAQ3VM9AAAAAAEAAAAAwPKhsAABA2gAkQEAAAAAAQAAAADeBnYXlgEIowEPAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAFf7gIskdUfb"
)
TF_DATA = "AAAAPwAAAMAAAIA/AABAQAAAAAAAAIA/AAAAQAAAQEAAAIBAAACgQEAjAwAAAAAA"
SHARD = "data-00000-of-00001"


def bitwise_crc(data: bytes) -> int:
    """CRC-32C a bit at a time, as its definition has it."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return writer.random_tensors()


@pytest.fixture
def checkpoint(tmp_path: Path, tensors: dict[str, np.ndarray]) -> Path:
    """A checkpoint of JPPNet at width 1, with the momentum of one tensor."""
    momentum = {"conv1/weights/Momentum": np.zeros_like(tensors["conv1/weights"])}
    return writer.write(tmp_path / "JPPNet-s2" / "model.ckpt-205632", tensors | momentum)


def test_checksums_known_and_by_lanes() -> None:
    assert crc32c(b"") == 0
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert masked(0x00008000) == 0xA282EAD9  # rotated right by 15 is 1, plus the constant
    data = np.random.default_rng(0).bytes(24577)  # above 8192 bytes lanes are used
    for size in (8191, 8192, 8193, 16384, 24577):
        assert crc32c(data[:size]) == bitwise_crc(data[:size])


def test_snappy_by_hand() -> None:
    """Length 12, "abc" as it is, then 9 bytes from 3 back, which overlap what they make."""
    assert unsnap(b"\x0c\x08abc\x15\x03") == b"abcabcabcabc"
    assert unsnap(b"\x0c\x08abc\x22\x03\x00") == b"abcabcabcabc"  # offset in two bytes
    assert unsnap(writer.snap(b"x" * 200)) == b"x" * 200
    assert unsnap(b"\x50\xf0\x4f" + b"y" * 80) == b"y" * 80  # length of the literal in a byte
    for broken in (
        b"",
        b"\x0c\x08abc",
        b"\x0c\x08ab",
        b"\x03\x01\x05",
        b"\x02\x08abc",
        b"\xff" * 9,
    ):
        with pytest.raises(Damaged):
            unsnap(broken)


def test_a_checkpoint_of_tensorflows_own(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt.index").write_bytes(base64.b64decode(TF_INDEX))
    (tmp_path / f"model.ckpt.{SHARD}").write_bytes(base64.b64decode(TF_DATA))
    bundle = read_bundle(tmp_path / "model.ckpt")
    assert list(bundle.entries) == [
        "bn_conv1/beta", "bn_conv1/gamma", "conv1/weights", "global_step",
    ]  # fmt: skip
    np.testing.assert_array_equal(bundle.read("bn_conv1/beta"), [0.5, -2])
    np.testing.assert_array_equal(bundle.read("bn_conv1/gamma"), [1, 3])
    np.testing.assert_array_equal(bundle.read("conv1/weights"), np.arange(6).reshape(1, 1, 3, 2))
    assert bundle.entries["global_step"].dtype == 9
    with pytest.raises(UserError, match="global_step is not one whole float32"):
        bundle.read("global_step")


@pytest.mark.parametrize("snappy", [False, True])
def test_many_blocks_and_compression(
    tmp_path: Path, tensors: dict[str, np.ndarray], snappy: bool
) -> None:
    bundle = read_bundle(writer.write(tmp_path / "m", tensors, per_block=7, snappy=snappy))
    assert bundle.entries.keys() == tensors.keys()
    for name in ("conv1/weights", "fc3_pose/conv6/b", "bn5c_branch2c/moving_variance"):
        np.testing.assert_array_equal(bundle.read(name), tensors[name])


def test_conversion_takes_every_tensor_and_leaves_none(
    checkpoint: Path, tensors: dict[str, np.ndarray]
) -> None:
    converted = convert(read_bundle(checkpoint))
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
    main([str(checkpoint.parent), "--out", str(out)])
    record = read_json(record_beside(out))
    assert record["sha256"] == sha256_file(out)
    assert record["source"][f"{checkpoint.name}.index"] == sha256_file(f"{checkpoint}.index")
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
        assert "python -m crgan.masks.jppnet.convert" in problem
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
        ({"bn_conv1/beta": np.int64([1])}, "not one whole float32"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(
    tmp_path: Path,
    tensors: dict[str, np.ndarray],
    change: dict[str, np.ndarray | None],
    message: str,
) -> None:
    changed = {n: v for n, v in (tensors | change).items() if v is not None}
    prefix = writer.write(tmp_path / "model", changed)
    with pytest.raises(UserError, match=message):
        convert_file(prefix, tmp_path / "jppnet.pth")
    assert not (tmp_path / "jppnet.pth").exists()


def test_a_tensor_can_be_ignored_by_name_but_none_of_the_network(
    tmp_path: Path, tensors: dict[str, np.ndarray]
) -> None:
    bundle = read_bundle(writer.write(tmp_path / "m", tensors | {"global_step": np.int64([7])}))
    assert convert(bundle, ["global_step"]).ignored == ("global_step",)
    with pytest.raises(UserError, match="not to be ignored: conv1/weights"):
        convert(bundle, ["global_step", "conv1/weights"])
    with pytest.raises(UserError, match="not in it, though to be ignored: step"):
        convert(bundle, ["global_step", "step"])


def test_where_a_checkpoint_is_looked_for(checkpoint: Path, tmp_path: Path) -> None:
    for given in (checkpoint, checkpoint.parent, Path(f"{checkpoint}.index")):
        with opened(given) as bundle:
            assert bundle.files[0] == Path(f"{checkpoint}.index")
    with (
        pytest.raises(UserError, match=r"absent\.index: no such file"),
        opened(tmp_path / "absent"),
    ):
        pass
    with pytest.raises(UserError, match="holds none"), opened(tmp_path):
        pass
    (checkpoint.parent / "other.index").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds model\.ckpt-205632\.index, other\.index"):
        convert_file(checkpoint.parent, tmp_path / "jppnet.pth")
    Path(f"{checkpoint}.{SHARD}").unlink()
    with pytest.raises(UserError, match=r"of-00001: no such file"):
        read_bundle(checkpoint)


def damaged_everywhere(checkpoint: Path) -> list[tuple[str, bytes, bytes]]:
    """Kinds of damage: their message, the index and the data."""
    index = Path(f"{checkpoint}.index").read_bytes()
    data = Path(f"{checkpoint}.{SHARD}").read_bytes()

    def flipped(content: bytes, at: int) -> bytes:
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    def alone(**named: bytes) -> bytes:
        """An index of these entries, with right checksums."""
        return writer.table({key.encode(): value for key, value in named.items()})

    good = writer.entry(1, (1,), 0, data[:4])
    return [
        ("no table footer", b"", data),
        ("no table footer", index[:-1], data),
        ("no table footer", b"\x80\x04pickle", data),
        ("wrong checksum of the block", flipped(index, 100), data),
        ("runs out of the file", index[-48:], data),
        ("does not match its checksum", index, flipped(data, 0)),
        ("runs out of the file: cut short", index, data[:-1]),
        ("no header", alone(x=good), data),
        ("big-endian", alone(**{"": writer.header(endian=1), "x": good}), data),
        ("newer reader", alone(**{"": writer.header(oldest_reader=2), "x": good}), data),
        ("data files", alone(**{"": writer.header(shards=5000), "x": good}), data),
        ("data file 3 of 1", alone(**{"": writer.header(), "x": good + writer.number(3, 3)}), data),
        ("too long", alone(**{"": writer.header(), "x": b"\xff" * 12}), data),
        ("unknown kind", alone(**{"": writer.header(), "x": b"\x0b"}), data),
        ("runs out of its message", alone(**{"": writer.header(), "x": b"\x12\x7f"}), data),
        ("no message", alone(**{"": writer.header(), "x": b"\x10\x01"}), data),
    ]  # fmt: skip


def test_damaged_checkpoints_are_refused_and_leave_nothing(
    checkpoint: Path, tmp_path: Path
) -> None:
    for message, index, data in damaged_everywhere(checkpoint):
        Path(f"{checkpoint}.index").write_bytes(index)
        Path(f"{checkpoint}.{SHARD}").write_bytes(data)
        with pytest.raises(UserError, match=message) as caught:
            convert_file(checkpoint, tmp_path / "jppnet.pth")
        assert "download it again" in str(caught.value)
        assert not (tmp_path / "jppnet.pth").exists()


def test_partitioned_variables_are_refused(tmp_path: Path) -> None:
    sliced = writer.entry(1, (1,), 0, b"\0\0\0\0") + writer.message(7, b"")
    (tmp_path / "m.index").write_bytes(writer.table({b"": writer.header(), b"x": sliced}))
    (tmp_path / f"m.{SHARD}").write_bytes(b"\0\0\0\0")
    with pytest.raises(UserError, match="not one whole float32"):
        read_bundle(tmp_path / "m").read("x")


def test_whatever_bytes_change_nothing_but_a_user_error_comes(tmp_path: Path) -> None:
    """A table's own code, on tables with right checksums around random bytes and on random ones."""
    rng = np.random.default_rng(0)
    index = base64.b64decode(TF_INDEX)
    (tmp_path / f"m.{SHARD}").write_bytes(base64.b64decode(TF_DATA))
    for trial in range(300):
        if trial % 2:
            content = bytearray(index)
            for at in rng.integers(0, len(index), 3):
                content[at] = rng.integers(256)
        else:
            noise = rng.bytes(int(rng.integers(1, 40)))
            content = bytearray(writer.table({b"": writer.header(), b"x": noise}))
        (tmp_path / "m.index").write_bytes(bytes(content))
        try:
            bundle = read_bundle(tmp_path / "m")
            for name in bundle.entries:
                bundle.read(name)
        except UserError:
            continue


def test_keys_out_of_order_are_damage() -> None:
    content = writer.block([(b"b", b""), (b"a", b"")])
    stored = content + b"\0"
    handle = writer.varint(0) + writer.varint(len(content))
    out = stored + masked(crc32c(stored)).to_bytes(4, "little")
    index = writer.block([(b"b", handle)]) + b"\0"
    place = writer.varint(len(out)) + writer.varint(len(index) - 1)
    out += index + masked(crc32c(index)).to_bytes(4, "little")
    footer = (handle + place).ljust(40, b"\0") + writer.MAGIC.to_bytes(8, "little")
    with pytest.raises(Damaged, match="out of order"):
        read_table(out + footer)


def zipped(path: Path, checkpoint: Path, folder: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}checkpoint", 'model_checkpoint_path: "/etc/passwd"')
        for kind in ("index", SHARD):
            content = Path(f"{checkpoint}.{kind}").read_bytes()
            archive.writestr(f"{folder}{checkpoint.name}.{kind}", content)
    return path


@pytest.mark.parametrize("folder", ["JPPNet-s2/", "", "../../../"])
def test_an_archive_of_the_folder_is_read_and_writes_nowhere(
    checkpoint: Path, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    archive = zipped(tmp_path / "a" / "b" / "c.zip", checkpoint, folder)
    before = sorted(tmp_path.rglob("*"))
    with opened(archive) as bundle:
        assert len(convert(bundle).state) == 624
        held = bundle.files[0].parent
        assert sorted(f.name for f in held.iterdir()) == [f"model.{SHARD}", "model.index"]
    assert not held.exists()
    assert sorted(tmp_path.rglob("*")) == before


def test_archives_that_are_none_or_too_large(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "jppnet.pth"
    good = zipped(tmp_path / "good.zip", checkpoint, "")
    (tmp_path / "broken.zip").write_bytes(good.read_bytes()[:-30])
    with pytest.raises(UserError, match="not a readable archive"):
        convert_file(tmp_path / "broken.zip", out)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(UserError, match=r"holds 0 \.index files"):
        convert_file(tmp_path / "empty.zip", out)
    monkeypatch.setattr("crgan.masks.jppnet.bundle._LARGEST_ARCHIVE", 1000)
    with pytest.raises(UserError, match="unpacks to more"):
        convert_file(good, out)


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / "absent"), "--out", str(tmp_path / "jppnet.pth")])
    assert stop.value.code == 2
    assert "absent.index: no such file" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"name the file \.pth"):
        convert_file(tmp_path, tmp_path / "jppnet.bin")
