"""A target that cannot be scored, a source without labels: told in the first second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crgan.common.errors import UserError
from crgan.data.manifest import Manifest, write_manifest
from crgan.pipeline import params as parameters
from crgan.workflow.preflight import require_for_jobs
from tests.data_trees import MARKET, write_tree

ROOT = Path(__file__).resolve().parents[2]
PREPARE = [("prepare_data", {"dataset": name}) for name in ("market1501", "dukemtmc")]
PAIR = {"source": "market1501", "target": "dukemtmc", "seed": "0"}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Market-1501 from a folder as released, without attributes; DukeMTMC is a site of cameras."""
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "market", MARKET)
    write_tree(tmp_path / "site", {"door": ["a.jpg"], "hall": ["b.jpg"]})
    found = parameters.load(ROOT / "params.yaml")
    found["data"]["dukemtmc"] = {"layout": "folder"}
    own = found["profiles"]["demo"]["data"]
    own["market1501"] = {"source": str(tmp_path / "market"), "expect": "none"}
    own["dukemtmc"] = {"source": str(tmp_path / "site")}
    return found


@pytest.mark.parametrize(
    ("rule", "more", "message"),
    [
        ("evaluate", {"method": "crgan"}, "dukemtmc has no query and gallery"),
        ("handcraft", {"method": "bow"}, "dukemtmc has no query and gallery"),
        ("pretrain_id", {"source": "dukemtmc"}, "dukemtmc has no labels of persons"),
        ("adapt", {"method": "taudl"}, "dukemtmc does not say which .* which taudl needs"),
        ("adapt", {"method": "mmfa"}, "market1501 has no attributes .* which mmfa learns"),
        ("adapt", {"method": "pul"}, None),
        ("train_gan", {"method": "crgan"}, None),
        ("pretrain_id", {}, None),
        ("evaluate", {"target": "market1501", "source": "dukemtmc"}, None),
    ],
)
def test_what_a_job_cannot_do_without(
    params: dict[str, Any], rule: str, more: dict[str, str], message: str | None
) -> None:
    jobs = [*PREPARE, (rule, {**PAIR, **more})]
    if message is None:
        require_for_jobs(params, jobs)
        return
    with pytest.raises(UserError, match=message):
        require_for_jobs(params, jobs)


def test_a_prepared_set_is_judged_by_its_manifest(params: dict[str, Any]) -> None:
    evaluate = [("evaluate", {**PAIR, "method": "crgan"})]
    require_for_jobs(params, evaluate)  # nothing is known of a set that is not here
    two = np.array([1, 2])
    rows = Manifest(("a", "b"), two, two, ("train",) * 2, ("0" * 64, "1" * 64), {})
    folder = Path("artifacts/demo/data/dukemtmc")
    folder.mkdir(parents=True)
    write_manifest(folder / "manifest.csv", rows)
    with pytest.raises(UserError, match="no query and gallery"):
        require_for_jobs(params, evaluate)


def test_weights_that_nobody_knows(params: dict[str, Any]) -> None:
    params["profiles"]["demo"]["weights"]["backbone"] = "resnet5000"
    with pytest.raises(UserError, match=r"resnet5000 \(weights\.backbone\) is not in weights"):
        require_for_jobs(params, [("fetch_weights", {"role": "backbone"})])
