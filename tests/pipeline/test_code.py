"""Source files behind a stage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crgan.common.errors import UserError
from crgan.pipeline import code
from crgan.pipeline.params import SLICES, load
from crgan.pipeline.recipes import GROUPS

FILES = {
    "stages/train_gan.py": "import numpy\nfrom crgan.gan.base import load_method\n",
    "stages/evaluate.py": "def body():\n    from crgan.metrics import ranking\n",
    "crgan/__init__.py": '"""Room."""\n__version__ = "1"\n',
    "crgan/gan/__init__.py": "",
    "crgan/gan/base.py": "from crgan.run import io\nfrom . import losses\n",
    "crgan/gan/losses.py": "from ..nets.layers import Layer\n",
    "crgan/gan/crgan.py": "from crgan.gan import losses\n",
    "crgan/gan/spgan.py": "from crgan.nets.cycle import Cycle\nimport crgan.gan.losses\n",
    "crgan/nets/__init__.py": "from crgan.nets.layers import Layer\n",
    "crgan/nets/layers.py": "",
    "crgan/nets/cycle.py": "",
    "crgan/metrics/__init__.py": "",
    "crgan/metrics/ranking.py": "",
    "crgan/common/io.py": "",
}
NETS = ["crgan/nets/__init__.py", "crgan/nets/layers.py"]
COMMON = ["crgan/gan/base.py", "crgan/gan/losses.py", *NETS, "stages/train_gan.py"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    _forget()
    yield tmp_path
    _forget()


def _forget() -> None:
    for name in ("_closure", "_imports", "_is_silent", "imported_modules", "project_files"):
        getattr(code, name).cache_clear()


def test_imports_are_followed_at_any_depth_but_not_into_run(project: Path) -> None:
    assert code.code_of("train_gan") == COMMON
    assert code.code_of("evaluate") == ["crgan/metrics/ranking.py", "stages/evaluate.py"]


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


def test_digest_changes_with_content_and_with_names(project: Path) -> None:
    before = code.code_digest(["crgan/nets/layers.py"])
    assert code.code_digest(["crgan/nets/cycle.py"]) != before
    (project / "crgan/nets/layers.py").write_text("x = 1\n")
    assert code.code_digest(["crgan/nets/layers.py"]) != before


def test_a_method_without_a_file_is_named(project: Path) -> None:
    with pytest.raises(UserError, match=r"crgan/gan/ptgan\.py: no such file"):
        code.code_of("train_gan", "ptgan")


def test_every_stage_of_the_project_has_its_sources() -> None:
    matrix = load(code.ROOT / "params.yaml")["matrix"]
    for stage in SLICES:
        for model in {cell["model"] for cell in matrix[GROUPS.get(stage, "gan")]}:
            files = code.code_of(stage, model)
            assert f"stages/{stage}.py" in files
            assert not [f for f in files if f.startswith(("crgan/run/", "crgan/pipeline/"))]
    assert "weights.yaml" in code.code_of("fetch_weights")
    assert "crgan/gan/crgan.py" in code.code_of("draw_renderings")
    assert {f"crgan/gan/{name}.py" for name in ("crgan", "ptgan", "spgan", "m2mgan")} <= set(
        code.code_of("draw_methods")
    )
