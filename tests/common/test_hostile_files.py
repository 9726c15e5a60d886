"""Files that nobody vouches for: what they claim takes no memory, what they hold is not run, a pipe
in their place is not waited for, and no message advises to trust them.
"""

from __future__ import annotations

import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crgan.common.errors import UserError
from crgan.common.io import load_arrays, load_torch, read_json
from crgan.data.manifest import Manifest, read_manifest, write_manifest
from crgan.data.mat5 import load_mat
from crgan.data.store import open_dataset
from crgan.gan.crgan import MODEL, load_generator
from crgan.handcrafted.colour_names import load_matlab
from crgan.metrics.fid import load_statistics
from crgan.nets.generator import Generator
from crgan.pipeline import params as parameters


def npy(shape: tuple[int, ...], kind: str = "|u1", data: bytes = b"x" * 100) -> bytes:
    """A .npy file by its header, whatever its data are."""
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


class Runs:
    """What a hostile pickle holds."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("executed",)


ARRAYS = {
    "a claim of an exabyte": npy((1 << 60,)),
    "a claim of more than numbers hold": npy((1 << 40, 1 << 40)),
    "fewer data than claimed": npy((2, 64, 32, 3)),
    "a negative side": npy((2, -1, 4, 3)),
    "objects": npy((2, 4, 4, 3), "|O", pickle.dumps(Runs())),
    "a pickle": pickle.dumps(Runs()),
    "a header without end": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
    "no array": b"hello",
    "nothing": b"",
}


def check(message: object) -> None:
    assert "allow_pickle" not in str(message)
    assert "trust" not in str(message)
    assert "\n" not in str(message)
    assert not Path("executed").exists()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays(what: str) -> None:
    two = np.array([1, 2])
    rows = Manifest(("a", "b"), two, two, ("train",) * 2, ("0" * 64, "1" * 64), {})
    write_manifest("manifest.csv", rows)
    Path("images.npy").write_bytes(ARRAYS[what])
    with pytest.raises(UserError, match=r"images\.npy") as refused:
        open_dataset("manifest.csv")
    check(refused.value)
    with zipfile.ZipFile("a.npz", "w") as file:
        file.writestr("a.npy", ARRAYS[what])
    for read in (load_arrays, lambda path: load_statistics(path, {})):
        with pytest.raises(UserError, match=r"a\.npz: not ") as refused:
            read("a.npz")
        check(refused.value)


READERS: Mapping[str, Callable[[Path], Any]] = {
    "json": read_json,
    "npz": load_arrays,
    "pt": load_torch,
    "csv": read_manifest,
    "mat": load_mat,
    "bow's mat": lambda path: load_matlab(path, "w2c"),
    "yaml": parameters.load,
}


@pytest.mark.parametrize("kind", READERS)
def test_a_pipe_or_a_folder_in_place_of_a_file(kind: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    started = time.monotonic()
    for path in (pipe, tmp_path):
        with pytest.raises(UserError, match=path.name):
            READERS[kind](path)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 50_000, "\ufeff", "1" * 5000])
def test_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")


CONFIG = {
    "width": 4, "levels": 1, "dual_condition": True, "pathway_kernel": 3, "mask_channels": 1,
    "activation_residual": "tanh", "activation_mask": "sigmoid", "upsampling": "bilinear",
}  # fmt: skip
STATE = Generator(**CONFIG).state_dict()  # type: ignore[arg-type]


def gan(**changes: Any) -> dict[str, Any]:
    config = {**CONFIG, "flip": True, "height": 64, "width_px": 32, **changes}
    return {"kind": "gan", "model": MODEL, "config": config, "state": STATE}


@pytest.mark.parametrize(
    "file",
    [
        gan(width=200_000), gan(width=4000), gan(width=-1), gan(levels=60), gan(width="4"),
        gan(pathway_kernel=10**9), gan(mask_channels=4000), gan(activation_mask=[]), gan(other=1),
        gan() | {"state": 5}, gan() | {"config": 5},
        gan() | {"state": dict.fromkeys(STATE, "text")},
        gan() | {"state": {k: torch.zeros(1).expand(v.shape) for k, v in STATE.items()}},
    ],
)  # fmt: skip
def test_a_gan_file_takes_no_more_memory_than_it_bears_out(file: dict[str, Any]) -> None:
    load_generator(gan(), "cpu")
    with pytest.raises(UserError, match=r"x\.pt: .*train it again"):
        load_generator(file, "cpu", "x.pt")
