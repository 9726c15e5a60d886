"""Atomic files, remembered hashes, checkpoints."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import time
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.common.io import (
    atomic_path,
    canonical_json,
    load_torch,
    read_json,
    save_torch,
    sha256_bytes,
    sha256_file,
    tensors_from,
    write_json,
)
from crgan.pipeline.hashes import Hashes
from crgan.train.checkpoint import Checkpoint, random_state, set_random_state


def _fail_half_way(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_a_file_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    with pytest.raises(RuntimeError):
        _fail_half_way(path)
    assert list(path.parent.iterdir()) == []
    write_json(path, {"b": 1, "a": [1.5]})
    assert read_json(path) == {"b": 1, "a": [1.5]}
    with pytest.raises(RuntimeError):
        _fail_half_way(path)
    assert read_json(path)["b"] == 1
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o640


def test_hash_and_canonical_json(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "a") == sha256_bytes(b"abc") == known
    assert canonical_json({"b": 1, "a": [True, None]}) == '{"a":[true,null],"b":1}'


def test_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match=r"a\.json: no such file"):
        read_json(path)
    path.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        read_json(path)
    with pytest.raises(UserError, match="not a readable model file"):
        load_torch(path)
    with pytest.raises(UserError, match="no such file"):
        load_torch(tmp_path / "b.pt")


def test_models_come_back_and_have_the_same_bytes(tmp_path: Path) -> None:
    import torch

    value = {"state": {"w": torch.arange(4.0)}, "kind": "reid", "pids": [3, 1]}
    save_torch(tmp_path / "a.pt", value)
    save_torch(tmp_path / "b.pt", value)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    back = load_torch(tmp_path / "a.pt")
    assert torch.equal(back["state"]["w"], value["state"]["w"])
    data = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="not a readable model file"):
        load_torch(tmp_path / "a.pt")
    torch.save([1], tmp_path / "c.pt")
    with pytest.raises(UserError, match="holds a list"):
        load_torch(tmp_path / "c.pt")


class _Dangerous:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


def test_a_model_file_cannot_run_code_and_no_message_advises_to_let_it(tmp_path: Path) -> None:
    import torch

    torch.save({"x": _Dangerous()}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(_Dangerous()))
    (tmp_path / "c.pt").write_bytes(b"<html>log in first</html>")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(UserError, match="not a readable model file") as caught:
            load_torch(path)
        assert "weights_only" not in str(caught.value)
        assert "trusted" not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(UserError, match="could run code"):
        tensors_from(io.BytesIO((tmp_path / "a.pt").read_bytes()), "weights")


def _age(path: Path) -> None:
    """Let a file leave the span in which its hash is not remembered."""
    time.sleep(0.06)
    assert path.is_file()


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, memory = tmp_path / "a", tmp_path / "memory" / "hashes.json"
    file.write_text("one")
    _age(file)
    first = Hashes(memory)
    expected = first.of(file)
    first.save()
    monkeypatch.setattr("crgan.pipeline.hashes.sha256_file", _must_not_read)
    assert Hashes(memory).of(file) == expected == sha256_bytes(b"one")


def _must_not_read(path: Path) -> str:
    raise AssertionError(f"{path} was read again")


def test_a_changed_file_is_read_again_even_with_its_old_time(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    _age(file)
    hashes = Hashes(None)
    before, times = hashes.of(file), file.stat()
    file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert hashes.of(file) == sha256_bytes(b"two") != before


def test_a_file_just_written_is_not_remembered(tmp_path: Path) -> None:
    file, memory = tmp_path / "a", tmp_path / "hashes.json"
    hashes = Hashes(memory)
    file.write_text("one")
    hashes.of(file)
    hashes.save()
    assert not memory.exists()


def test_two_processes_keep_each_others_hashes_and_damage_is_harmless(tmp_path: Path) -> None:
    memory = tmp_path / "hashes.json"
    for name in "ab":
        (tmp_path / name).write_text(name)
    _age(tmp_path / "b")
    one, two = Hashes(memory), Hashes(memory)
    one.of(tmp_path / "a")
    two.of(tmp_path / "b")
    one.save()
    two.save()
    assert len(json.loads(memory.read_text())) == 2
    memory.write_text("[damaged")
    assert Hashes(memory).of(tmp_path / "a") == sha256_bytes(b"a")


def test_checkpoint_saves_when_due_and_a_damaged_one_is_put_aside(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "x" / "a.pt", every=0)
    assert checkpoint.load() is None
    assert checkpoint.due()
    checkpoint.save({"step": 3})
    assert checkpoint.load() == {"step": 3}
    assert not Checkpoint(checkpoint.path, every=60).due()
    checkpoint.path.write_bytes(b"half a file")
    assert checkpoint.load() is None
    assert checkpoint.path.with_suffix(".damaged").is_file()
    assert not checkpoint.path.exists()
    checkpoint.remove()


def test_torch_goes_on_drawing_where_it_was() -> None:
    import torch

    torch.manual_seed(3)
    state = random_state()
    expected = torch.rand(4).tolist()
    set_random_state(state)
    assert torch.rand(4).tolist() == expected
