"""The report: one file that stands alone and says what the files say."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vl_convert
from PIL import Image

from crgan.common.errors import UserError
from crgan.pipeline import params as parameters
from crgan.report.page import build as page
from crgan.report.page import charts
from crgan.report.page.agreement import of_order, of_value
from crgan.report.page.album import Album, tiles
from crgan.report.page.project import lineage, open_project
from crgan.report.page.runs import bars, group_of
from crgan.report.page.scores import claims
from crgan.report.page.training import cut
from crgan.tables.cmc import cmc
from crgan.tables.printed import TABLES, table_rows
from crgan.tables.renderings import MEANS, REFERENCE
from tests import report_fakes

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Reader(HTMLParser):
    """Balanced elements, what the page loads, ids, links, and the text of cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [found["id"]] if found.get("id") else []
        self.loaded += [found["src"]] if found.get("src") else []
        href = found.get("href") or ""
        if tag == "a":
            self.links.append(href)
            assert href.startswith("#"), href
        elif href:
            self.loaded.append(href)
        if tag == "img":
            assert "alt" in found
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data.strip())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of a small project; the bundle of charts is left out, it takes ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("project"))
        patch.setattr(charts, "script", lambda: "window.vegaEmbed = null;")
        built = page.build(report_fakes.project(), Path("results/report.html"))
        text = built.path.read_text(encoding="utf-8")
        rows = Path("results/table2.csv").read_text(encoding="utf-8").splitlines()
        table = list(csv.DictReader(rows))
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    return {"built": built, "text": text, "html": Reader(text), "table": table,
            "data": json.loads(data[1])}  # fmt: skip


def test_it_is_whole_html_that_loads_nothing(made: dict[str, Any]) -> None:
    html, text = made["html"], made["text"]
    assert not html.open
    assert html.loaded
    assert all(address.startswith("data:") for address in html.loaded)
    assert not re.search(r"@import|url\((?!\$)", text)  # $: the script's own template
    assert len(set(html.ids)) == len(html.ids)
    assert made["built"].size == len(text.encode()) < 1_000_000
    assert not made["built"].left_out


def test_it_holds_every_number_of_the_tables(made: dict[str, Any]) -> None:
    numbers = [row[c] for row in made["table"] for c in ("R1", "R1_paper", "mAP", "mAP_paper")]
    assert "47.6" in numbers
    assert {number for number in numbers if number} <= set(made["html"].text)
    assert "&lt;b&gt;a note&lt;/b&gt;" in made["text"]  # a note is text, whatever stands in it
    assert "Profile smoke: a test run" in made["text"]


def test_every_link_leads_somewhere(made: dict[str, Any]) -> None:
    html, data = made["html"], made["data"]
    for link in html.links:
        name = link[1:]
        if name.startswith("job-"):
            assert name[4:] in data["jobs"]
        else:
            assert name in html.ids or name in data["anchors"], link


def test_a_cell_leads_to_all_it_was_made_from(made: dict[str, Any]) -> None:
    data = made["data"]
    (entry,) = [e for e in data["anchors"].values() if e["title"].startswith("Table 2: CR-GAN,")]
    (job,) = [data["jobs"][key] for key in entry["jobs"]]
    assert job["stage"] == "evaluate"
    assert [data["jobs"][key]["stage"] for key in job["lineage"]] == ["prepare_data", "finetune"]
    assert job["run"]["machine"] == "x86_64, 2 cores"
    assert job["stale"]  # these records' code is none of ours
    inputs = {entry["name"]: entry["job"] for entry in job["inputs"]}
    assert data["jobs"][inputs[report_fakes.MANIFEST]]["stage"] == "prepare_data"


def test_what_is_missing_is_named_with_its_command(made: dict[str, Any]) -> None:
    text = made["text"]
    assert "snakemake --cores all figures --config profile=smoke" in text
    assert "results/table1.csv results/table3.csv" in text
    assert "artifacts/smoke/masks/market1501.h5" in text
    assert "results/claims.csv" in text


def test_a_newcomer_is_told_where_to_begin(made: dict[str, Any]) -> None:
    text = made["text"]
    first = text[text.index('<section id="first">') : text.index('<section id="tables">')]
    links = re.findall(r'href="#([^"]+)"', first)
    assert links == ["table2", "gallery", "runs"]  # no figure and no claim is made here
    assert "Tables made: 1 of 7" in " ".join(first.split())


def test_the_table_of_renderings_is_explained_and_leads_to_its_jobs(made: dict[str, Any]) -> None:
    html, data = made["html"], made["data"]
    assert {"61.7", "83.1", "41.9", "0.277", "92.3", "1.4"} <= set(html.text)
    for title, meaning in MEANS.values():
        assert title in html.text
        assert any(meaning in text.replace("\n", " ") for text in html.text)
    found = [e for e in data["anchors"].values() if e["title"].startswith("Renderings: CR-GAN,")]
    assert [data["jobs"][key]["stage"] for e in found for key in e["jobs"]] == ["judge_images"]
    of_none = [
        e for e in data["anchors"].values() if e["title"].startswith(f"Renderings: {REFERENCE}")
    ]
    assert [e["jobs"] for e in of_none] == [e["jobs"] for e in found]  # each job measures both


def test_charts_and_gallery_hold_what_the_files_hold(made: dict[str, Any]) -> None:
    data = made["data"]
    (curve,) = data["charts"]["curves"]
    assert curve["iteration"] == [2, 4]
    assert curve["series"] == {"lr": [0.1, 0.1], "adv": [0.6931, 0.5], "id": [None, 2.25]}
    first = data["charts"]["cmc"][0]
    assert [line["method"] for line in first["lines"]] == [
        "Direct Transfer",
        "CR-GAN",
        "w/o dual cond",
    ]
    assert first["lines"][0]["percent"][:4] == [42.86, 71.43, 85.71, 100]
    gallery = data["galleries"]["dukemtmc"]
    assert len(gallery["views"]) == 6
    assert {len(view["queries"]) for view in gallery["views"]} == {len(gallery["queries"])}
    (before,) = data["charts"]["embeddings"]
    assert [entry["method"] for entry in before["embeddings"]] == ["Direct Transfer", "CR-GAN"]
    assert len(before["embeddings"][0]["points"]) == 8


def compiled(spec: charts.Spec) -> Any:
    """A specification as Vega; what Vega-Lite would refuse in the browser is refused here."""
    return vl_convert.vegalite_to_vega(spec, vl_version=charts.VEGA_LITE)


def test_the_specifications_are_vega_lite(made: dict[str, Any]) -> None:
    specs = made["data"]["specs"]
    assert set(specs) == {"cmc", "curves", "camera", "person", "timeline"}
    for spec in specs.values():
        assert compiled(spec)["marks"]


def test_a_history_of_one_row_is_a_point() -> None:
    spec = compiled(charts.curves([{"iteration": 4, "series": "loss", "value": 1.5}]))
    assert '"symbol"' in json.dumps(spec)


def test_no_two_methods_look_alike_in_the_charts_of_cmc() -> None:
    """Of as many as a table prints; the report and `dvc plots` draw the same looks."""
    template = json.loads((report_fakes.ROOT / ".dvc/plots/cmc.json").read_text())
    found = []
    for encoding in (charts.cmc([], ())["encoding"], template["spec"]["encoding"]):
        for channel in ("color", "strokeDash"):
            assert encoding[channel]["field"] == "method"
            assert encoding[channel]["sort"] is None  # Vega-Lite joins legends that are alike
        ranges = [encoding[channel]["scale"]["range"] for channel in ("color", "strokeDash")]
        found.append([(colour, *dash) for colour, dash in zip(*ranges, strict=True)])
    assert found[0] == found[1]
    assert len(set(found[0])) == len(found[0])
    methods = [
        {row.method for row in table_rows(n, report_fakes.ROOT / "reported").rows} for n in TABLES
    ]
    assert max(map(len, methods)) <= len(found[0])


@pytest.mark.parametrize("page", ["#ffffff", "#12161f"])
def test_lines_stand_out_from_the_light_and_the_dark_page(page: str) -> None:
    """3:1, which WCAG asks of graphics."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    for colour in charts.cmc([], ())["encoding"]["color"]["scale"]["range"]:
        low, high = sorted((luminance(colour), luminance(page)))
        assert (high + 0.05) / (low + 0.05) >= 3, colour


def test_the_timeline_has_a_colour_for_each_stage_that_takes_long() -> None:
    """Twenty colours: a stage more, and two would share one by chance."""
    stages = {
        path.stem
        for path in (report_fakes.ROOT / "stages").glob("*.py")
        if "StageParser(" in path.read_text()
    }
    assert len({group_of(stage) for stage in stages}) <= 20
    assert {group_of("draw_methods"), group_of("make_table")} == {"tables and figures"}
    assert group_of("train_gan") == "train_gan"


def test_an_empty_project_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(charts, "script", lambda: "")
    project = open_project(tmp_path, parameters.load(report_fakes.ROOT / "params.yaml"), None)
    built = page.build(project, tmp_path / "report.html")
    text = built.path.read_text(encoding="utf-8")
    assert not Reader(text).open
    assert text.count("not made yet") + text.count("Not made yet") == 14


def test_claims_are_shown_with_a_sign_beside_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(charts, "script", lambda: "")
    Path("results").mkdir()
    Path("results/claims.csv").write_text(
        "id,statement,verdict,difference,profile\n"
        "z,not yet,not measured,,demo\n"
        "a,<i>CR-GAN</i> beats SPGAN,holds,1.25,demo\n"
        "b,so so,undecided,,demo\n"
        "c,no comparison,,,demo\n"
    )
    project = open_project(tmp_path, parameters.load(report_fakes.ROOT / "params.yaml"), None)
    text = page.build(project, tmp_path / "report.html").path.read_text(encoding="utf-8")
    assert "1 holds, 1 undecided, 1 not measured" in " ".join(text.split())
    assert "● holds" in text
    assert "◐ undecided" in text
    assert "<td>not measured</td>" in text
    assert text.index("so so") < text.index("not yet")
    assert "&lt;i&gt;CR-GAN" in text
    assert "1.25" in text
    project = open_project(tmp_path, dict(project.params), "smoke")
    assert not claims(project).made  # of another profile


def test_a_report_over_its_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(charts, "script", lambda: "")
    monkeypatch.setattr(page, "LIMIT", 1000)
    project = open_project(tmp_path, parameters.load(report_fakes.ROOT / "params.yaml"), None)
    with pytest.raises(UserError, match="the limit is"):
        page.build(project, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_images_over_the_budget_are_left_out_by_name() -> None:
    album = Album(3000)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    first, second = album.add(noise, "first"), album.add(noise, "second")
    assert first.uri
    assert not second.uri
    assert album.left_out == ["second"]
    image = Image.open(io.BytesIO(base64.b64decode(first.uri.split(",")[1])))
    assert image.size == (40, 40)
    assert Album(10**6).add(noise, "wide", widest=20).width == 20


def test_tiles_stand_in_order() -> None:
    images = np.stack([np.full((2, 1, 3), i, np.uint8) for i in range(5)])
    assert tiles(images, 3)[::2, :, 0].tolist() == [[0, 1, 2], [3, 4, 255]]


def test_agreement_of_order_counts_comparisons() -> None:
    found = of_order([50.0, 40.0, 30.0, None], [10.0, 30.0, 20.0, 99.0])
    assert [entry.level for entry in found] == ["poor", "part", "part", "none"]
    assert found[0].text.startswith("0 of 2")
    assert found[1].text.startswith("1 of 2")
    assert [entry.sign for entry in of_order([2.0, 1.0], [5.0, 4.0])] == ["●", "●"]
    assert of_order([1.0, 1.0], [2.0, 1.0])[0].text.startswith("0.5 of 1")
    assert of_order([1.0, 2.0], [3.0, 3.0])[0].level == "none"


def test_agreement_of_values_is_a_distance() -> None:
    assert of_value("R1", 51.0, None, 52.2).level == "good"
    assert of_value("R1", 47.0, None, 52.2).level == "part"
    assert of_value("R1", 47.0, 3.0, 52.2).level == "good"  # within twice the spread
    assert of_value("R1", 40.0, None, 52.2).level == "poor"
    assert of_value("FID", 0.1, None, 0.2).level == "poor"
    assert of_value("R1", None, None, 52.2).level == "none"


def test_cmc_leaves_dropped_queries_out() -> None:
    assert cmc(np.array([0, 1, 3, 40], dtype=np.int32))[:3].round(1).tolist() == [33.3, 33.3, 66.7]


@pytest.mark.parametrize(("inputs", "each"), [(3, 3), (2, 4)])
def test_a_sheet_is_cut_where_its_rows_end(inputs: int, each: int) -> None:
    from crgan.looks.samples import draw

    rows = [("", np.full((2, 32, 16, 3), 10 * i, np.uint8)) for i in range(inputs + 3 * each)]
    first, steps = cut(draw(rows), 32, 3)
    right = [sorted({*p[:, -8, 0].tolist()} - {255}) for p in (first, *steps)]
    numbers = [10 * i for i in range(inputs + 3 * each)]
    assert right[0] == numbers[:inputs]
    assert right[1:] == [numbers[inputs + i * each : inputs + (i + 1) * each] for i in range(3)]


def test_jobs_at_the_same_time_stand_below_each_other_and_pauses_are_short() -> None:
    def job(hour: int, minute: int, seconds: float) -> dict[str, Any]:
        run = {"started": f"2026-01-01T{hour:02}:{minute:02}:00+00:00", "wall_seconds": seconds,
               "peak_memory_mb": 1.0}  # fmt: skip
        return {"stage": "s", "key": "k" * 64, "run": run}

    jobs = [job(1, 0, 120.0), job(1, 1, 60.0), job(1, 3, 30.0), job(9, 0, 60.0)]
    found, lanes = bars(jobs, ["a", "b", "c", "d"])
    assert lanes == 2
    assert [(b["job"], b["lane"], b["from"]) for b in found[:3]] == [
        ("a", 1, 0.0), ("b", 2, 1.0), ("c", 1, 3.0),
    ]  # fmt: skip
    assert found[3]["from"] == 4.0  # half a minute after the last end, not six hours


def test_lineage_is_the_nearest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = report_fakes.project()
    score = "results/smoke/cells/crgan/market1501-dukemtmc/seed0.json"
    keys = lineage(project, project.key_of(score))
    assert [project.jobs[key]["stage"] for key in keys] == ["evaluate", "prepare_data", "finetune"]
