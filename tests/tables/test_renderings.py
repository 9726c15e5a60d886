"""The table of renderings: exact text, means over seeds, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crgan.common.errors import UserError
from crgan.common.io import write_json
from crgan.tables.renderings import REFERENCE, Line, lines_of, markdown, write_csv

MARKET, DUKE = "market1501", "dukemtmc"
METHODS: dict[str, dict[str, Any]] = {"spgan": {"label": "SPGAN"}, "crgan": {"label": "CR-GAN"}}
HEAD = (
    "profile,method,source,target,lpips,lpips_std,fid,fid_std,identity,identity_std,domain,"
    "domain_std,camera,camera_std,diversity,diversity_std,note"
)


def current(path: str) -> None:
    """An auditor that finds every file current."""


def score(method: str, source: str = MARKET, seed: int = 0, **values: Any) -> dict[str, Any]:
    target = DUKE if source == MARKET else MARKET
    return {
        "method": method, "source": source, "target": target, "seed": seed, "profile": "demo",
        "notes": [], **values,
    }  # fmt: skip


def judged(folder: Path, method: str, source: str = MARKET, seed: int = 0, **more: Any) -> Path:
    """What the judges said."""
    values = {
        "identity": 50.0 + seed, "domain": 80.0, "camera": 40.0, "diversity": 0.25,
        "reference": {"identity": 90.0, "domain": 2.0, "camera": None}, **more,
    }  # fmt: skip
    path = folder / f"{method}-{source}-{seed}-judged.json"
    write_json(path, score(method, source, seed, **values))
    return path


def visual(folder: Path, method: str, source: str = MARKET, seed: int = 0, **more: Any) -> Path:
    """LPIPS and FID."""
    values = {"lpips": 0.125, "fid": 1.5 + seed, "reference": {"lpips": 0.5, "fid": 9.0}, **more}
    path = folder / f"{method}-{source}-{seed}-visual.json"
    write_json(path, score(method, source, seed, **values))
    return path


def lines(judged_paths: list[Path], visual_paths: list[Path], **more: Any) -> list[Line]:
    settings = {"profile": "demo", "methods": METHODS, "why_stale": current, **more}
    return lines_of(judged_paths, visual_paths, **settings)


def test_exact_text(tmp_path: Path) -> None:
    paths = [judged(tmp_path, "crgan"), judged(tmp_path, "spgan", camera=None, diversity=0.0)]
    write_csv(tmp_path / "out.csv", lines(paths, [visual(tmp_path, "crgan")]), "demo")
    assert (tmp_path / "out.csv").read_text() == (
        f"{HEAD}\n"
        f'demo,"{REFERENCE}",market1501,dukemtmc,,,9.000,,90.0,,2.0,,,,,,\n'
        "demo,SPGAN,market1501,dukemtmc,,,,,50.0,,80.0,,,,0.000,,\n"
        "demo,CR-GAN,market1501,dukemtmc,0.125,,1.500,,50.0,,80.0,,40.0,,0.250,,\n"
    )


def test_mean_and_deviation_over_seeds(tmp_path: Path) -> None:
    """Identity 50 and 51, FID 1.5 and 2.5: two values one apart deviate by 0.707."""
    paths = [judged(tmp_path, "crgan", seed=seed) for seed in (0, 1)]
    images = [visual(tmp_path, "crgan", seed=seed) for seed in (1, 0)]
    write_csv(tmp_path / "out.csv", lines(paths, images), "demo")
    row = (tmp_path / "out.csv").read_text().splitlines()[-1]
    assert row == (
        "demo,CR-GAN,market1501,dukemtmc,0.125,0.000,2.000,0.707,50.5,0.7,80.0,0.0,40.0,0.0,"
        "0.250,0.000,"
    )


def test_each_direction_begins_with_its_unrendered_images(tmp_path: Path) -> None:
    reference = {"identity": 70.0, "domain": 4.0, "camera": None}
    paths = [judged(tmp_path, "crgan"), judged(tmp_path, "crgan", DUKE, reference=reference)]
    found = lines(paths, [])
    assert [(line.method, line.source) for line in found] == [
        (REFERENCE, DUKE), ("CR-GAN", DUKE), (REFERENCE, MARKET), ("CR-GAN", MARKET),
    ]  # fmt: skip
    means = [line.measured["identity"].mean for line in found]
    assert means == [70, 50, 90, 50]
    assert "camera" not in found[0].measured
    assert not {"lpips", "diversity"} & set(found[0].measured)


def test_methods_stand_in_the_order_of_the_parameters(tmp_path: Path) -> None:
    paths = [judged(tmp_path, "crgan"), judged(tmp_path, "spgan")]
    assert [line.method for line in lines(paths, [])] == [REFERENCE, "SPGAN", "CR-GAN"]


def test_notes_are_told_once(tmp_path: Path) -> None:
    paths = [judged(tmp_path, "crgan", notes=["a; b", "c"])]
    found = lines(paths, [visual(tmp_path, "crgan", notes=["c", "d"])])
    assert found[0].notes == ()
    assert found[1].notes == ("a; b", "c", "d")
    write_csv(tmp_path / "out.csv", found, "demo")
    assert (tmp_path / "out.csv").read_text().endswith(",a; b; c; d\n")


def test_for_people(tmp_path: Path) -> None:
    paths = [judged(tmp_path, "crgan", seed=seed, camera=None) for seed in (0, 1)]
    text = markdown(lines(paths, [visual(tmp_path, "crgan")]), "demo")
    assert "not in the paper" in text
    assert "Profile `demo`: " in text
    assert "## Market-1501 → DukeMTMC-reID" in text
    assert (
        "| Method | LPIPS | FID | identity, % | domain, % | camera, % | diversity |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        f"| {REFERENCE} | - | 9.000 | 90.0 | 2.0 | - | - |\n"
        "| CR-GAN | 0.125 | 1.500 | 50.5 ± 0.7 | 80.0 ± 0.0 | - | 0.250 ± 0.000 |\n"
    ) in text


def test_scores_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="of profile 'paper'"):
        lines([judged(tmp_path, "crgan", profile="paper")], [])
    with pytest.raises(UserError, match="method 'cyclegan'"):
        lines([judged(tmp_path, "cyclegan")], [])


def test_incomplete_and_stale_scores(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"spgan-.*visual\.json: holds no camera"):
        lines([visual(tmp_path, "spgan")], [])  # the wrong kind of file
    path = judged(tmp_path, "crgan")
    with pytest.raises(UserError, match=r"crgan-.*not current: other parameters; judge"):
        lines([path], [], why_stale=lambda _: "other parameters")
