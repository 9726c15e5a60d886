"""The commands as they are typed."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.deploy.cli import register
from tests.deploy.models import site, trained


def crgan(*words: str | Path) -> int:
    parser = argparse.ArgumentParser("crgan")
    register(parser.add_subparsers(required=True))
    args = parser.parse_args([str(word) for word in words])
    status: int = args.run(args)
    return status


def test_export_then_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reid, root = trained(tmp_path / "r.pt"), site(tmp_path / "cams", {"a": 6, "b": 5})
    assert crgan("export", reid, "--out", tmp_path / "m") == 0
    model, out = tmp_path / "m" / "model.onnx", tmp_path / "found"
    query = root / "a" / "0002.jpg"
    assert (
        crgan("search", "--model", model, "--gallery", root, query, "--out", out, "--top", "3") == 0
    )
    text = capsys.readouterr().out
    assert "b/000" in text
    assert "a/000" not in text.split("image\n")[1]
    assert {path.name for path in out.iterdir()} == {"ranks.csv", "ranks.html"}
    crgan("search", "--model", model, "--gallery", root, root / "a", "--out", out)
    assert (out / "matrix.npy").is_file()


@pytest.mark.parametrize("command", ["adapt", "search", "export", "datasets"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        crgan(command, "--help")
    assert f"  crgan {command}" in capsys.readouterr().out


def test_a_top_of_none_is_refused(tmp_path: Path) -> None:
    root = site(tmp_path / "cams", {"a": 2})
    with pytest.raises(UserError, match="--top is 0"):
        crgan("search", "--model", trained(tmp_path / "r.pt"), "--gallery", root,
              root / "a" / "0000.jpg", "--top", "0", "--out", tmp_path)  # fmt: skip
