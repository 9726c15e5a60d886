"""Which code counts for which result: every numeric line, for all that uses it, and no other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.pipeline import code
from crgan.pipeline.identity import GROUPS, code_behind
from crgan.pipeline.params import SLICES, load
from crgan.pipeline.places import AS_IT_IS

ROOT = Path(__file__).resolve().parents[2]
NUMERIC = ("common", "data", "synth", "masks", "weights", "nets", "train", "gan", "reid",
           "adaptation", "handcrafted", "metrics")  # fmt: skip
SILENT = ("pipeline", "workflow", "report", "deploy", "looks")
# Commands beside the workflow, and what only they import.
BESIDE = {
    "crgan/masks/iou.py", "crgan/masks/jppnet/convert.py", "crgan/masks/jppnet/read_checkpoint.py",
    "crgan/reid/calibrate.py", "crgan/data/held_out.py", "crgan/data/standins.py",
    "crgan/data/known.py", "crgan/reid/distil.py", "crgan/synth/things.py",
}  # fmt: skip
TRAINED = {"pretrain_id", "pretrain_cam", "train_gan", "train_translation", "finetune", "adapt"}

FILES = {
    "stages/train_gan.py": "import numpy\nfrom crgan.gan.base import load_method\n",
    "stages/draw_methods.py": "from crgan.looks import figures\n",
    "stages/evaluate.py": "def body():\n    from crgan.metrics import ranking\n",
    "crgan/__init__.py": "from crgan.gan.crgan import train\n",
    "crgan/gan/__init__.py": "",
    "crgan/gan/base.py": "from crgan.pipeline import progress\nfrom . import losses\n",
    "crgan/gan/losses.py": "from ..nets.layers import Layer\nfrom crgan.looks import figures\n",
    "crgan/gan/crgan.py": "from crgan.gan import losses\n",
    "crgan/gan/spgan.py": "from crgan.nets.cycle import Cycle\nimport crgan.gan.losses\n",
    "crgan/nets/__init__.py": "from crgan.nets.layers import Layer\n",
    "crgan/nets/layers.py": "",
    "crgan/nets/cycle.py": "",
    "crgan/looks/figures.py": "",
    "crgan/metrics/__init__.py": "",
    "crgan/metrics/ranking.py": "def rank(x):\n    return x + 1\n",
    "crgan/pipeline/progress.py": "",
}
NETS = ["crgan/nets/__init__.py", "crgan/nets/layers.py"]
COMMON = ["crgan/gan/base.py", "crgan/gan/losses.py", *NETS, "stages/train_gan.py"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    code.forget()
    yield tmp_path
    code.forget()


def digest(stage: str, model: str | None = None) -> str:
    code.forget()
    return code.code_digest(code.code_of(stage, model))


def test_imports_are_followed_at_any_depth_but_for_rooms_that_change_no_number(
    project: Path,
) -> None:
    assert code.code_of("train_gan") == COMMON
    assert code.code_of("evaluate") == ["crgan/metrics/ranking.py", "stages/evaluate.py"]
    assert "crgan/looks/figures.py" in code.code_of("draw_methods")


def test_a_cell_depends_on_its_own_method_only(project: Path) -> None:
    assert code.code_of("train_gan", "crgan") == sorted([*COMMON, "crgan/gan/crgan.py"])
    added = ["crgan/gan/spgan.py", "crgan/nets/cycle.py"]
    assert code.code_of("train_gan", "spgan") == sorted([*COMMON, *added])
    assert code.code_of("evaluate", "spgan") == code.code_of("evaluate")


def test_an_import_is_found_in_every_kind_of_statement(project: Path) -> None:
    (project / "stages/evaluate.py").write_text(
        "try:\n import a\nexcept E:\n import b\nelse:\n import c\nfinally:\n import d\n"
        "for x in y:\n import e\nelse:\n import f\n"
        "while x:\n import g\nif x:\n import h\nelif y:\n import i\nelse:\n import j\n"
        "with x:\n import k\nclass C:\n async def m(self):\n  import l\n"
        "match x:\n case 1:\n  import m\n"
        "def d(f=lambda: 1):\n return 'import no'\n"
    )
    assert sorted(code.imported_modules("stages/evaluate.py")) == list("abcdefghijklm")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("# why\ndef rank(x):\n    return x + 1\n", True),
        (
            '"""About."""\n\n\ndef rank(x):\n    """Ranks."""\n    return (x +\n            1)\n',
            True,
        ),
        ("def rank(x):\n    'said'\n    return x + 1  # one\n", True),
        ("def rank(x):\n    return x + 2\n", False),
        ("def rank(x):\n    return x - 1\n", False),
        ("def rank(x):\n    return x + 1.0\n", False),
        ("def rank(x):\n    return x + '1'\n", False),
        ("def rank(y):\n    return y + 1\n", False),
        ("K = 1\ndef rank(x):\n    return x + 1\n", False),
    ],
)
def test_a_file_counts_by_what_it_says_not_by_how_it_is_explained(
    project: Path, text: str, same: bool
) -> None:
    before = digest("evaluate")
    (project / "crgan/metrics/ranking.py").write_text(text)
    assert (digest("evaluate") == before) is same


def test_a_file_is_known_by_its_name_too(project: Path) -> None:
    assert code.code_digest(NETS[:1]) != code.code_digest(["crgan/nets/cycle.py"])


def test_what_was_parsed_is_remembered_and_a_change_is_seen(project: Path) -> None:
    time.sleep(0.1)  # what was written just now might be written again unseen, so it is not kept
    before = digest("evaluate")
    code.save()
    assert digest("evaluate") == before
    (project / "crgan/metrics/ranking.py").write_text("def rank(x):\n    return x + 3\n")
    assert digest("evaluate") != before
    code.PARSED.write_text("{")
    assert digest("evaluate") != before


def test_a_method_without_a_file_is_named(project: Path) -> None:
    with pytest.raises(UserError, match=r"crgan/gan/ptgan\.py: no such file"):
        code.code_of("train_gan", "ptgan")


# --- of this project ---


def layout_name(path: Path) -> str | None:
    """The data set layout a file holds, if it is one's own."""
    return path.stem if "\nLAYOUT" in path.read_text() else None


def jobs() -> list[tuple[str, str | None]]:
    """Every stage with every method file it may run."""
    matrix = load(ROOT / "params.yaml")["matrix"]
    found: list[tuple[str, str | None]] = []
    for stage in SLICES:
        models = {cell.get("model") for group in GROUPS.get(stage, ()) for cell in matrix[group]}
        models -= {AS_IT_IS}
        if stage == "extract_masks":
            models = {"grabcut", "mediapipe_pose", "jppnet", "truth"}
        if stage == "prepare_data":
            models = {layout_name(path) for path in (ROOT / "crgan/data/layouts").glob("*.py")}
        found += [(stage, model) for model in sorted(filter(None, models))] or [(stage, None)]
    return found


@pytest.fixture(scope="module")
def closures() -> dict[tuple[str, str | None], set[str]]:
    code.forget()
    return {job: set(code.code_of(*job)) for job in jobs()}


def modules(*rooms: str) -> list[str]:
    assert all((ROOT / "crgan" / room).is_dir() for room in rooms)
    return sorted(
        str(path.relative_to(ROOT))
        for room in rooms
        for path in (ROOT / "crgan" / room).rglob("*.py")
        if path.name != "__init__.py"
    )


def test_every_numeric_module_counts_for_something(
    closures: dict[tuple[str, str | None], set[str]],
) -> None:
    counted = set().union(*closures.values())
    assert set(modules(*NUMERIC)) - counted - BESIDE == set()


def test_no_line_of_looks_or_of_running_counts_for_a_number(
    closures: dict[tuple[str, str | None], set[str]],
) -> None:
    silent = set(modules(*SILENT))
    for (stage, _), files in closures.items():
        assert not (files & silent) or stage.startswith("draw_"), stage
        assert not files & set(modules(*SILENT[:-1]))


def test_in_every_numeric_module_a_changed_line_counts_and_a_comment_does_not(
    closures: dict[tuple[str, str | None], set[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Copies in which each module has another line, or a comment more."""
    names = [*modules(*NUMERIC), *(f"stages/{stage}.py" for stage in SLICES)]
    real = {name: code.code_digest([name]) for name in names}
    for kind, change in (("changed", "\n_CHANGED = 1\n"), ("commented", "\n# a comment\n")):
        for name in names:
            path = tmp_path / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text((ROOT / name).read_text() + change)
        monkeypatch.setattr(code, "ROOT", tmp_path / kind)
        code.forget()
        same = {name for name in names if code.code_digest([name]) == real[name]}
        assert same == (set(names) if kind == "commented" else set())
    code.forget()


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("crgan/common/seeding.py", TRAINED),
        ("crgan/nets/reid.py", {"pretrain_id", "finetune", "adapt", "evaluate"}),
        ("crgan/data/samplers.py", {"pretrain_id", "train_gan", "finetune"}),
        ("crgan/weights/formats.py", {"fetch_weights"}),
        ("crgan/metrics/ranking.py", {"evaluate"}),
        ("crgan/metrics/fid.py", {"measure_images"}),
        ("crgan/handcrafted/lomo.py", {"handcraft"}),
        ("crgan/synth/camera.py", {"prepare_data"}),
    ],
)
def test_what_a_module_is_for_depends_on_it(
    module: str, stages: set[str], closures: dict[tuple[str, str | None], set[str]]
) -> None:
    """Written down by hand, so that a hole in the walk through imports shows."""
    assert stages <= {stage for (stage, _), files in closures.items() if module in files}


@pytest.mark.parametrize("name", ["compute", "loop", "optimizers", "schedules"])
def test_the_optimiser_step_counts_for_all_that_is_trained(
    name: str, closures: dict[tuple[str, str | None], set[str]]
) -> None:
    users = {stage for (stage, _), files in closures.items() if f"crgan/train/{name}.py" in files}
    assert {"train_gan", "pretrain_id", "pretrain_cam", "finetune", "train_translation"} <= users


def test_masks_depend_on_the_chosen_backend_alone(
    closures: dict[tuple[str, str | None], set[str]],
) -> None:
    own = closures["extract_masks", "grabcut"]
    assert "crgan/masks/grabcut.py" in own
    assert not {f for f in own if "jppnet" in f or "mediapipe" in f or "synth" in f}
    assert "crgan/masks/jppnet/network.py" in closures["extract_masks", "jppnet"]


def test_figures_depend_on_the_methods_they_show() -> None:
    assert "crgan/gan/crgan.py" in code.code_of("draw_renderings")
    assert {f"crgan/gan/{name}.py" for name in ("crgan", "ptgan", "spgan", "m2mgan")} <= set(
        code.code_of("draw_methods")
    )
    assert "weights.yaml" in code.code_of("fetch_weights")


def test_the_generator_counts_for_what_it_generates_alone() -> None:
    for source, counts in (("generated", True), ("resources/market1501", False)):
        own = {"data": {"layout": "market1501", "source": source}}
        files = code_behind("prepare_data", {"dataset": "market1501"}, own)
        assert ("crgan/synth/camera.py" in files) is counts
        assert "crgan/data/layouts/market1501.py" in files
