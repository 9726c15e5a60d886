"""Imports between the library's rooms go one way, so that a room can be read without those above.

Two orders of the rooms' work run through this list: images are made before they are scored
(gan, reid, adapt), and measures know nothing of who asks (metrics).
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from crgan.pipeline.code import imported_modules

ROOT = Path(__file__).resolve().parents[1]

# A room may import those before it.
ORDER = (
    "common", "pipeline", "metrics", "weights", "synth", "data", "masks", "nets", "train", "gan",
    "reid", "adaptation", "handcrafted", "tables", "looks", "report", "workflow", "deploy",
)  # fmt: skip
FILES = sorted((ROOT / "crgan").glob("*/**/*.py"))


def rooms_imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; name the module in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("crgan.")}
        assert not any(name.startswith("stages") for name in names), f"{path} imports a stage"
    return found


@pytest.mark.parametrize("path", FILES, ids=[str(f.relative_to(ROOT)) for f in FILES])
def test_imports_point_down(path: Path) -> None:
    room = path.relative_to(ROOT / "crgan").parts[0]
    above = ORDER[ORDER.index(room) + 1 :]
    assert not rooms_imported(path) & set(above)


def test_modules_import_one_another_in_no_circle() -> None:
    """But for a package's own names, such as `crgan.__version__`, which its modules may read."""
    modules = {".".join(f.relative_to(ROOT).with_suffix("").parts): f for f in FILES}
    waits = {
        module: {
            name if name in modules else name.rpartition(".")[0]
            for name in imported_modules(str(file.relative_to(ROOT)))
        }
        & (modules.keys() - {module})
        for module, file in modules.items()
    }
    TopologicalSorter(waits).prepare()  # raises a CycleError that names the circle


def test_every_room_has_its_place() -> None:
    rooms = {p.name for p in (ROOT / "crgan").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert rooms == set(ORDER)


def test_metrics_and_nets_stand_alone() -> None:
    for room, allowed in (
        ("metrics", {"common", "pipeline", "metrics"}),
        ("nets", {"common", "nets"}),
    ):
        for path in (ROOT / "crgan" / room).rglob("*.py"):
            assert rooms_imported(path) <= allowed, path


def test_the_library_never_prints_and_never_exits() -> None:
    for path in FILES:
        if path.stem in ("cli", "stage") or "__main__" in path.read_text():
            continue  # commands
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func if isinstance(node, ast.Call) else None
            name = called.id if isinstance(called, ast.Name) else ""
            assert name not in ("print", "exit", "quit"), f"{path}:{getattr(node, 'lineno', 0)}"
