"""The diagrams in dvc.yaml are of columns that histories have, and of files that stages write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from crgan.gan.crgan import LOSSES
from crgan.gan.cyclegan import Training
from crgan.tables.cmc import RANKS, Curve, write_csv
from crgan.tables.printed import Row
from tests.stub_project import run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def document() -> Any:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())


def test_every_diagram_shows_columns_of_its_history(document: Any) -> None:
    matrix = yaml.safe_load((ROOT / "params.yaml").read_text())["matrix"]
    translators = {cell["method"] for cell in matrix["translators"]}
    shown = 0
    for plot in document["plots"]:
        for name, diagram in plot.items():
            if name.startswith("CMC"):
                continue
            assert diagram["x"] == "iteration"
            for path, columns in diagram["y"].items():
                method = path.split("/")[3]
                # every translator adds its own losses to CycleGAN's
                known = Training.losses if method in translators else LOSSES
                assert set(columns) <= set(known), path
                shown += 1
    assert shown == len(matrix["gan"]) + len(matrix["translators"])


def test_cmc_curves_are_drawn_by_method_with_our_template(document: Any, tmp_path: Path) -> None:
    """`dvc plots show` of what stage tabulate_cmc writes, and Vega-Lite takes the result."""
    import vl_convert

    diagrams = [plot for plot in document["plots"] if next(iter(plot)).startswith("CMC")]
    written = {o for stage in document["stages"].values() for o in stage.get("outs", ())}
    files = [name for plot in diagrams for name in next(iter(plot.values()))["y"]]
    assert len(files) == 5
    assert set(files) <= written
    found = [
        Curve(Row(method, "market1501", "dukemtmc", {}), 1, np.linspace(low, 90.0, RANKS))
        for method, low in (("CR-GAN", 40.0), ("CR-GAN+LMP", 50.0))
    ]
    write_csv(tmp_path / files[0], found, "demo")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": diagrams[:1]}))
    for command in ("git init -q", "dvc init -q"):
        run(tmp_path, *command.split())
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots", dirs_exist_ok=True)
    shown = run(tmp_path, "dvc", "plots", "show", "--json")
    ((plot,),) = json.loads(shown[shown.index("{") :])["data"].values()
    spec = plot["content"]
    spec = json.loads(spec) if isinstance(spec, str) else spec
    points = spec["data"]["values"]
    assert len(points) == 2 * RANKS
    assert {(p["method"], p["percent"]) for p in points if p["rank"] == "1"} == {
        ("CR-GAN", "40.00"), ("CR-GAN+LMP", "50.00"),
    }  # fmt: skip
    assert "<DVC" not in json.dumps(spec)
    svg = vl_convert.vegalite_to_svg(spec)
    assert "market1501 → dukemtmc (workspace)" in svg
    assert "CR-GAN+LMP" in svg


def test_stages_say_what_their_histories_are_drawn_over(document: Any) -> None:
    drawn = [
        (name, path, axes)
        for name, stage in document["stages"].items()
        for entry in stage.get("plots", ())
        for path, axes in entry.items()
    ]
    assert {name for name, _, _ in drawn} == {
        "pretrain_id", "pretrain_cam", "train_gan", "train_translation", "finetune", "finetune_set",
    }  # fmt: skip
    for _, path, axes in drawn:
        assert axes == {"x": "iteration", "y": "loss_adv" if "/gan/" in path else "loss"}
