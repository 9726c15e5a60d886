"""A method is one science file and one line, a direction is one line."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from crgan.common.errors import UserError
from crgan.common.yaml import parse
from crgan.pipeline import declared
from crgan.pipeline import params as parameters
from crgan.pipeline.matrix import Method, expand, methods_from, pairs_from
from crgan.tables.cells import cells_of, scored_cells

ROOT = Path(__file__).resolve().parents[2]
MAIN = {"main": [("a", "b"), ("b", "a")], "more": [("c", "a"), ("c", "b")]}


def groups(*pairs: str, **line: Any) -> dict[str, Any]:
    """The matrix of one method on pairs of data sets a, b and c."""
    whole = {"label": "M", "uses": [], "pairs": list(pairs or ["main"]), **line}
    methods = methods_from({"m": whole}, "p")
    return expand(methods, MAIN, [0], ["a", "b", "c"])


def ends(cells: list[dict[str, str]]) -> list[str]:
    return [f"{cell['source']}-{cell['target']}" for cell in cells]


def test_a_gan_runs_in_every_direction_of_its_pairs() -> None:
    made = groups("main", "more", kind="gan", visual=["main"], select=["more"])
    assert ends(made["gan"]) == ["a-b", "b-a", "c-a", "c-b"]
    assert [cell["gan"] for cell in made["visual"]] == ["m/a-b", "m/b-a"]
    assert ends(made["judges"]) == ["a-b", "b-a"]
    assert ends(made["selected"]) == ["c-a", "c-b"]
    assert made["renderings"] == []  # Figure 6 needs both of its methods
    assert (made["datasets"], made["sources"], made["targets"]) == (
        ["a", "b", "c"], ["a", "b", "c"], ["b", "a"],
    )  # fmt: skip


def test_a_translator_is_trained_once_for_both_directions() -> None:
    made = groups("main", "more", kind="translator", visual=["main"])
    assert [(c["a"], c["b"]) for c in made["translators"]] == [("a", "b"), ("c", "a"), ("c", "b")]
    assert [c["gan"] for c in made["rendered"]] == ["m/a-b", "m/a-b", "m/c-a", "m/c-b"]
    assert [c["gan"] for c in made["visual"]] == ["m/a-b", "m/a-b"]


def test_what_a_method_on_features_starts_from() -> None:
    def starts(*pairs: str, **line: Any) -> list[str]:
        return [c["start"] for c in groups(*pairs, kind="adapt", **line)["adapt"]]

    assert starts() == ["d_id/a", "d_id/b"]
    assert starts(start="fresh", uses=["source labels"]) == ["fresh", "fresh"]
    # it sees nothing of a source, so other sources show the CNN of the same target
    made = groups("main", "more", kind="adapt", start="fresh")["adapt"]
    assert [(c["model"], c["start"]) for c in made] == [
        ("m", "fresh"), ("m", "fresh"),
        ("direct_transfer", "reid/m/b-a"), ("direct_transfer", "reid/m/a-b"),
    ]  # fmt: skip


def test_a_direction_is_left_out_where_the_profile_has_not_its_data() -> None:
    methods = {"m": Method("M", "gan", ("main", "more"), (), model="m")}
    made = expand(methods, MAIN, [0], ["a", "b"])
    assert ends(made["gan"]) == ["a-b", "b-a"]
    assert made["datasets"] == ["a", "b"]


def test_msmt17_is_asked_for_by_the_name_of_its_pair_and_shows_in_no_printed_table() -> None:
    plain = parameters.load(ROOT / "params.yaml", ["profile=paper"])
    asked = parameters.effective({"profile": "paper", "pairs": ["msmt17"]})
    both = parameters.effective({"profile": "paper", "pairs": ["main", "cuhk03", "msmt17"]})
    assert "msmt17" not in plain["matrix"]["datasets"]
    assert asked["matrix"]["datasets"] == ["market1501", "msmt17"]  # so no other need be there
    assert {c["method"] for c in scored_cells(asked["matrix"])} >= {"crgan", "direct_transfer"}
    more = [c for c in scored_cells(both["matrix"]) if c not in scored_cells(plain["matrix"])]
    assert more == scored_cells(asked["matrix"])
    assert set(ends(more)) == {"market1501-msmt17", "msmt17-market1501"}
    for table in range(1, 8):
        printed = cells_of(table, plain, ROOT / "reported")
        assert cells_of(table, both, ROOT / "reported") == printed


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pairs": ["viper"]}, "run_pairs has 'viper'; pairs has main, cuhk03, msmt17, campus"),
        ({"pairs": []}, "run_pairs is \\[\\]; give a list of main"),
        ({"profile": "demo", "pairs": "msmt17"}, "the profile's data have no msmt17; add a line"),
    ],
)
def test_pairs_that_cannot_run_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parameters.effective(config)


def test_a_direction_is_one_line(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    line = "  main: [market1501 to dukemtmc, dukemtmc to market1501"
    assert text.count(line) == 1
    (tmp_path / "params.yaml").write_text(text.replace(line, f"{line}, market1501 to cuhk03"))
    matrix = parameters.load(tmp_path / "params.yaml")["matrix"]
    assert "cuhk03" in matrix["targets"]
    new = [c for c in scored_cells(matrix) if c["target"] == "cuhk03"]
    assert {"crgan", "lomo", "ptgan", "hhl"} < {c["method"] for c in new}


SCIENCE = '''"""A method of a stranger."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from crgan.common.settings import Positive


@dataclass(frozen=True)
class Options:
    strength: Positive = 2.0


def adapt(start, source, target, options, *, seed, device, checkpoint=None):
    return {**start, "notes": [f"strength {torch.tensor(1.0)}"]}
'''
LINE = (
    "  stranger: {label: Stranger, kind: adapt, pairs: [main], uses: [source labels], "
    "beyond: [table6]}\n"
)


@pytest.fixture
def copy_of_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with one science file and one line more."""
    shutil.copytree(ROOT / "crgan", tmp_path / "crgan", ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copytree(ROOT / "reported", tmp_path / "reported")
    (tmp_path / "crgan/adaptation/stranger.py").write_text(SCIENCE)
    text = (ROOT / "params.yaml").read_text()
    assert text.count("methods:\n") == 1
    (tmp_path / "params.yaml").write_text(text.replace("methods:\n", "methods:\n" + LINE))
    monkeypatch.setattr(declared, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_method_is_one_science_file_and_one_line(copy_of_project: Path) -> None:
    from crgan.tables.all_cells import lines_of, write_csv
    from crgan.tables.printed import table_rows
    from crgan.tables.scores import Score

    params = parameters.load("params.yaml")
    cell = {"method": "stranger", "source": "market1501", "target": "dukemtmc"}
    seen = parameters.slice_of("adapt", params, model="stranger", **cell)
    assert seen["adaptation"] == {}  # a default makes a key optional
    assert any(cell.items() <= c.items() for c in cells_of(6, params)[0])
    rows = table_rows(6, beyond=params["beyond"]).rows
    assert [r.target for r in rows if r.method == "Stranger"] == ["dukemtmc", "market1501"]
    rates = {"R1": 31.0, "R5": 45.0, "R10": 52.0, "mAP": 15.25}
    scores = [Score("s", *cell.values(), 0, {"global": rates}, {}, (), ())]
    write_csv("all.csv", lines_of(scores, methods=params["methods"]), "smoke")
    with open("all.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["R1"], row["mAP"], row["R1_std"]) == ("Stranger", "31.0", "15.2", "")


def test_its_parameters_are_those_its_file_declares(copy_of_project: Path) -> None:
    line = "adaptation:\n"
    text = (copy_of_project / "params.yaml").read_text()
    for own, message in (("strength: 0", "must be above 0"), ("weight: 1", "no such key")):
        path = copy_of_project / "other.yaml"
        path.write_text(text.replace(f"\n{line}", f"\n{line}  stranger: {{{own}}}\n", 1))
        with pytest.raises(
            Exception, match=rf"adaptation\.stranger\.{own.split(':')[0]}.*{message}"
        ):
            parameters.load(path)


def test_pairs_name_data_sets() -> None:
    pairs = pairs_from(parse("main: [a to b-c, b-c to a]"), {"a": {}, "b-c": {}}, "p")
    assert pairs == {"main": [("a", "b-c"), ("b-c", "a")]}
