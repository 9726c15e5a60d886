"""`crgan datasets`: what is known, what is here, what is missing and how to get it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crgan.data.known import Known, as_text, known
from crgan.data.layout import names
from tests.data_trees import DUKE, MARKET, write_tree


def params(tmp_path: Path) -> dict[str, Any]:
    market = {"layout": "market1501"}
    site = {"layout": "folder", "source": str(tmp_path / "site")}
    return {
        "data": {"market1501": market, "mysite": site, "odd": {"layout": "dukemtmc"}},
        "profiles": {
            "demo": {"data": {"market1501": {"source": "generated", "expect": "none"}}},
            "paper": {
                "data": {
                    "market1501": {"source": str(tmp_path / "m")},
                    "odd": {"source": str(tmp_path / "odd")},
                }
            },
        },
    }


def by_name(found: list[Known]) -> dict[str, list[Known]]:
    return {e.name: [o for o in found if o.name == e.name] for e in found}


def test_every_layout_and_every_source_is_told(tmp_path: Path) -> None:
    write_tree(tmp_path / "m", MARKET)
    write_tree(tmp_path / "site", {"door": ["a.jpg"], "hall": ["b.jpg", "c.jpg"]})
    (tmp_path / "odd").mkdir()
    write_tree(tmp_path / "resources/dukemtmc", DUKE)
    found = by_name(known(params(tmp_path), tmp_path / "resources"))
    assert {e.layout for entries in found.values() for e in entries} == set(names())
    generated, paper = found["market1501"]
    assert generated.state == "generated"
    assert paper.state == "found, not as published"
    assert paper.note.startswith("train: 3 images, published 12,936")
    assert paper.counts["gallery"].junk == 1
    [site] = found["mysite"]
    assert (site.state, site.counts["train"].images) == ("found", 3)
    assert found["odd"][0].state == "broken"
    [missing] = found["msmt17"]
    assert missing.state == "missing"
    assert "on request from its authors" in missing.note


def test_the_text_for_a_terminal(tmp_path: Path) -> None:
    write_tree(tmp_path / "site", {"door": ["a.jpg"], "hall": ["b.jpg", "c.jpg"]})
    text = as_text(known(params(tmp_path), tmp_path / "resources"))
    assert f"mysite (own cameras, layout folder): found in {tmp_path / 'site'}\n" in text
    assert "    train          3 images       no labels  2 cameras\n" in text
    assert "MSMT17, layout msmt17): missing" in text
    assert max(map(len, text.splitlines())) < 200
