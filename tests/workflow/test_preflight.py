"""What is missing is one message, before anything runs, with every way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crgan.common.errors import UserError
from crgan.pipeline import params as parameters
from crgan.weights import registry
from crgan.workflow.preflight import missing_for_jobs, require

ROOT = Path(__file__).resolve().parents[2]
SOME_MASKS = [
    ("extract_masks", {"dataset": "market1501"}),
    ("fetch_weights", {"role": "parsing"}),
    ("fetch_weights", {"role": "backbone"}),
]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without resources."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paper(*settings: str, **config: Any) -> dict[str, Any]:
    return parameters.effective({"profile": "paper", "set": list(settings), **config})


def said(params: dict[str, Any], **kwargs: Any) -> str:
    with pytest.raises(UserError) as caught:
        require(params, **kwargs)
    return str(caught.value)


def test_data_and_the_parsers_weights_are_one_message() -> None:
    text = said(paper())
    for name in ("market1501", "dukemtmc", "cuhk03"):
        assert f"- {name}: resources/{name} is not there. " in text
    assert "- resources/weights/jppnet.pth is not there: " in text
    assert "msmt17:" not in text
    assert "--config 'pairs=[msmt17]'" in text


def test_both_ways_out_for_the_masks_are_said_and_the_setting_is_one() -> None:
    text = missing_for_jobs(paper(), SOME_MASKS)
    assert "make jppnet CHECKPOINT=" in text
    setting = "profiles.paper.masks.backend=mediapipe_pose"
    assert f"--config profile=paper 'set=[{setting}]'" in text
    assert "To do without a data set" not in text
    params = paper(setting)
    assert params["profiles"]["paper"]["weights"]["parsing"] == "mediapipe_pose_full"
    assert missing_for_jobs(params, SOME_MASKS) == ""  # a run fetches those by itself


def test_weights_that_were_brought_are_taken(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_is_right", lambda weight, path: True)
    brought = empty_folder / registry.ROOT / "jppnet.pth"
    brought.parent.mkdir(parents=True)
    brought.touch()
    assert missing_for_jobs(paper(), SOME_MASKS) == ""


def test_who_lacks_something_is_told_of_the_weights_to_carry_along() -> None:
    assert "resnet50-0676ba61.pth" in missing_for_jobs(paper(), SOME_MASKS)
    assert missing_for_jobs(paper(), SOME_MASKS[2:]) == ""


def test_a_file_of_ones_own_must_be_there(empty_folder: Path) -> None:
    own = empty_folder / "mine.pth"
    params = paper(f"profiles.paper.weights.backbone={own}")
    assert f"{own} (weights.backbone) is not there" in said(params, datasets=[], roles=["backbone"])
    own.touch()
    require(params, datasets=[], roles=["backbone"])


def test_msmt17_alone_asks_for_two_data_sets() -> None:
    text = said(paper("profiles.paper.masks.backend=grabcut", pairs=["msmt17"]))
    assert "- msmt17: resources/msmt17 is not there. MSMT17: " in text
    assert "market1501: " in text
    assert "dukemtmc" not in text
    assert "jppnet" not in text
