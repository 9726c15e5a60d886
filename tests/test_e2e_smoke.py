"""The whole pipeline at smoke scale, real stages and real networks, by one engine and the other.

One direction and a cell of every kind: Tables 1 and 6, the table of renderings, and the evidence
beside them.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from crgan.common.io import read_json
from tests.stub_project import SMALL, make, run

MAIN = {"pairs": ["main"]}
SETTINGS = {  # a cell of every kind
    "profile": "smoke",
    **SMALL,
    "methods": {
        **SMALL["methods"],
        "spgan": {
            "label": "SPGAN", "kind": "translator", **MAIN, "uses": ["source labels"],
            "visual": ["main"],
        },
        "bow": {"label": "BoW", "kind": "handcrafted", **MAIN, "uses": []},
        "crgan_taudl": {
            "label": "CR-GAN+TAUDL", "kind": "adapt", "model": "taudl", "start": "crgan", **MAIN,
            "uses": ["source labels", "target cameras", "tracklets"],
            "beyond": ["table6+re-ranking"],
        },
    },
}  # fmt: skip
TABLES = ("results/table1.csv", "results/table6.csv", "results/renderings.csv")
EVIDENCE = ("results/claims.csv", "results/intervals/table1.csv", "results/intervals/table6.csv",
            "results/curves/table6.csv",
            "results/smoke/selection/crgan/market1501-dukemtmc/seed0.json")  # fmt: skip
GAN = "artifacts/smoke/gan/crgan/market1501-dukemtmc/seed0.pt"
CNN = "artifacts/smoke/adapted/crgan_taudl/market1501-dukemtmc/seed0.pt"


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by Snakemake."""
    folder = make(tmp_path_factory.mktemp("smk") / "project", SETTINGS, stubbed=False)
    run(folder, "snakemake", "--cores", "2", *TABLES, *EVIDENCE)
    return folder


@pytest.fixture(scope="module")
def by_dvc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by DVC, whose stages ask Snakemake."""
    folder = make(tmp_path_factory.mktemp("dvc") / "project", SETTINGS, stubbed=False)
    run(folder, "dvc", "repro", "-q", "tables")
    return folder


def test_measured_cells_are_numbers_of_this_profile(by_snakemake: Path) -> None:
    rows = list(csv.DictReader((by_snakemake / TABLES[1]).read_text().splitlines()))
    assert {row["profile"] for row in rows} == {"smoke"}
    measured = {row["method"]: row for row in rows if row["R1"] and row["target"] == "dukemtmc"}
    assert set(measured) == {
        "Direct Transfer", "BoW", "SPGAN+LMP", "CR-GAN+LMP", "BUC", "CR-GAN+TAUDL",
        "CR-GAN+TAUDL+re-ranking",
    }  # fmt: skip
    for row in measured.values():
        assert 0 <= float(row["R1"]) <= 100
        assert 0 < float(row["mAP"]) <= 100
    assert not any(row["R1"] for row in rows if row["target"] == "market1501")


def test_random_weights_are_confessed(by_snakemake: Path) -> None:
    rows = list(csv.DictReader((by_snakemake / TABLES[0]).read_text().splitlines()))
    row = next(r for r in rows if r["method"] == "CR-GAN" and r["target"] == "dukemtmc")
    assert math.isfinite(float(row["FID"]))
    assert "random weights" in row["note"]


def test_nothing_is_left_to_do(by_snakemake: Path) -> None:
    assert "Nothing to be done" in run(by_snakemake, "snakemake", "--cores", "2", *TABLES)


def test_records_lead_from_a_score_to_the_raw_data(by_snakemake: Path) -> None:
    record = read_json(by_snakemake / GAN.replace(".pt", ".prov.json"))
    assert record["run"]["wall_seconds"] > 0
    assert any(name.endswith("images.npy") for name in record["inputs"])


def test_claims_are_weighed_from_what_was_measured(by_snakemake: Path) -> None:
    """The paper compares CR-GAN with Direct Transfer, BoW and SPGAN, which were measured here."""
    rows = list(csv.DictReader((by_snakemake / EVIDENCE[0]).read_text().splitlines()))
    weighed = [row for row in rows if row["verdict"] in ("holds", "fails", "undecided")]
    assert {row["profile"] for row in weighed} == {"smoke"}
    assert {row["seeds"] for row in weighed} == {"1"}
    assert ("CR-GAN+LMP", "Direct Transfer") in {(r["better"], r["worse"]) for r in weighed}
    assert any(row["verdict"] == "not measured" for row in rows)


def test_a_clone_rebuilds_the_tables_of_a_recorded_run(by_snakemake: Path, tmp_path: Path) -> None:
    said = run(by_snakemake, "python", "-m", "crgan.cli", "record")
    assert "cells 6 of 6, queries 6 of 6, visual 2 of 2, judged 2 of 2, selection 1 of 1" in said
    run(by_snakemake, "git", "add", "recorded")
    run(by_snakemake, "git", "commit", "-q", "-m", "recorded run")
    clone = tmp_path / "clone"
    run(by_snakemake, "git", "clone", "-q", ".", str(clone))
    run(clone, "python", "-m", "crgan.cli", "rebuild", "--cores", "2")
    for name in (*TABLES, *EVIDENCE):
        rebuilt = clone / ".scratch/recorded/smoke" / name
        assert rebuilt.read_bytes() == (by_snakemake / name).read_bytes(), name


def test_both_engines_make_the_same_bytes(by_snakemake: Path, by_dvc: Path) -> None:
    for name in (*TABLES, *EVIDENCE, GAN, CNN, "artifacts/smoke/masks/market1501.h5"):
        assert (by_snakemake / name).read_bytes() == (by_dvc / name).read_bytes(), name
