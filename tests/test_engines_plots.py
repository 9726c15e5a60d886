"""The diagrams in dvc.yaml are of columns that histories have, and of files that stages write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from crgan.gan.crgan import LOSSES
from crgan.gan.cyclegan import Training

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def document() -> Any:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())


def test_every_diagram_shows_columns_of_its_history(document: Any) -> None:
    matrix = yaml.safe_load((ROOT / "params.yaml").read_text())["matrix"]
    translators = {cell["method"] for cell in matrix["translators"]}
    shown = 0
    for plot in document["plots"]:
        for diagram in plot.values():
            assert diagram["x"] == "iteration"
            for path, columns in diagram["y"].items():
                method = path.split("/")[3]
                # every translator adds its own losses to CycleGAN's
                known = Training.losses if method in translators else LOSSES
                assert set(columns) <= set(known), path
                shown += 1
    assert shown == len(matrix["gan"]) + len(matrix["translators"])


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
