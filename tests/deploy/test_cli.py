"""The commands as they are typed."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.deploy.cli import register
from tests.deploy.models import crops, site, trained, write_crop


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


def test_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, image in enumerate(crops(3)):
        for camera in ("a", "b"):
            write_crop(tmp_path / "people" / str(number) / f"{camera}_1.png", image)
    model = trained(tmp_path / "r.pt")
    assert crgan("score", "--model", model, model, "--", tmp_path / "people") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "6 queries, 6 images in the gallery"
    assert lines[2:] == [f"100.0 100.0 100.0 100.0  {model}"] * 2


@pytest.mark.parametrize("command", ["adapt", "search", "score", "export", "datasets"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        crgan(command, "--help")
    assert f"  crgan {command}" in capsys.readouterr().out


def test_a_top_of_none_is_refused(tmp_path: Path) -> None:
    root = site(tmp_path / "cams", {"a": 2})
    with pytest.raises(UserError, match="--top is 0"):
        crgan("search", "--model", trained(tmp_path / "r.pt"), "--gallery", root,
              root / "a" / "0000.jpg", "--top", "0", "--out", tmp_path)  # fmt: skip
