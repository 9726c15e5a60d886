"""Which source files a stage's result depends on: the closure of its imports.

`crgan/run` and `crgan/pipeline` are left out on purpose: they know no science, and a comment there
should not retrain thirty models. Everything else a stage imports, however deep, is a dependency.

A stage that runs one of several methods loads that method's file by name (importlib), so the
closure of one cell holds the stage, its own method and what both import: adding a method makes no
other method's result stale.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from crgan.common.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
_IGNORED = ("crgan/pipeline/", "crgan/looks/")

# Stages that load a method's file by name, and where these files are.
METHOD_FOLDER = {
    "train_gan": "crgan/gan",
    "train_translation": "crgan/gan",
    "render_set": "crgan/gan",
    "finetune": "crgan/gan",
    "measure_images": "crgan/gan",
    "judge_images": "crgan/gan",
    "draw_renderings": "crgan/gan",
    "adapt": "crgan/adapt",
    "handcraft": "crgan/handcrafted",
}
EVERY_MODEL = {"draw_methods": "crgan/gan"}  # Figure 7 shows all methods of the matrix
FIXED_MODEL = {"draw_renderings": "crgan"}  # Figure 6 shows CR-GAN and its ablation, nothing else
_NOT_PYTHON = {"fetch_weights": ["weights.yaml"]}


def code_of(stage: str, model: str | None = None) -> list[str]:
    """Source files (relative to the project, sorted) behind one cell of `stage`.

    Args:
        stage: name of the file in `stages/`.
        model: the cell's method file, for the stages of `METHOD_FOLDER`; others ignore it.

    Raises:
        UserError: a stage or method file that does not exist.
    """
    files = {*_closure(f"stages/{stage}.py"), *_NOT_PYTHON.get(stage, [])}
    for file in _method_files(EVERY_MODEL[stage]) if stage in EVERY_MODEL else ():
        files |= set(_closure(file))
    model = FIXED_MODEL.get(stage, model)
    if model is not None and stage in METHOD_FOLDER:
        files |= set(_closure(f"{METHOD_FOLDER[stage]}/{model}.py"))
    return sorted(files)


def code_digest(files: list[str]) -> str:
    """SHA-256 over names and contents of source files."""
    digest = hashlib.sha256()
    for name in files:
        digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _method_files(folder: str) -> tuple[str, ...]:
    """The files of a folder that hold a method that renders."""
    files = sorted((ROOT / folder).glob("*.py"))
    names = [f.name for f in files if "\ndef load_renderer(" in f.read_text(encoding="utf-8")]
    return tuple(f"{folder}/{name}" for name in names)


@cache
def _closure(start: str) -> tuple[str, ...]:
    seen: set[str] = set()
    queue = [start]
    while queue:
        name = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        queue += [n for n in _imports(name) if n not in seen]
    return tuple(sorted(seen))


@cache
def _imports(name: str) -> tuple[str, ...]:
    """Project files that `name` imports, at any depth of its own text."""
    found = [file for module in imported_modules(name) for file in project_files(module)]
    return tuple(f for f in dict.fromkeys(found) if not f.startswith(_IGNORED))


@cache
def imported_modules(name: str) -> tuple[str, ...]:
    """Dotted names that a file's import statements may load, at any depth of its text."""
    try:
        tree = ast.parse((ROOT / name).read_text())
    except FileNotFoundError:
        raise UserError(
            f"{name}: no such file; a stage or a model in params.yaml's matrix is named after it"
        ) from None
    return tuple(module for node in _statements(tree) for module in _modules(node, name))


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements below a node. Imports are statements, and looking for them among expressions
    too (`ast.walk`) takes as long as parsing.
    """
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, field, ()):
            yield inner
            yield from _statements(inner)


def _modules(node: ast.AST, importer: str) -> list[str]:
    """Dotted names an import statement may load; [] for other statements."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = importer.split("/")[: -node.level] if node.level else []
    stem = ".".join([*base, *([node.module] if node.module else [])])
    return [stem, *(f"{stem}.{alias.name}" for alias in node.names)]


@cache
def project_files(module: str) -> tuple[str, ...]:
    """The file of a project module, and the `__init__` files on the way to it that say anything."""
    parts = module.split(".")
    if parts[0] not in ("crgan", "stages"):
        return ()
    inits = ["/".join(parts[:i]) + "/__init__.py" for i in range(1, len(parts) + 1)]
    files = [f for f in inits if (ROOT / f).is_file() and not _is_silent(f)]
    return (*files, *([f] if (ROOT / (f := "/".join(parts) + ".py")).is_file() else []))


@cache
def _is_silent(init: str) -> bool:
    """Whether an `__init__` file holds only a docstring and constants such as `__version__`."""
    body = ast.parse((ROOT / init).read_text()).body
    return all(
        isinstance(s, ast.Expr | ast.Assign) and isinstance(s.value, ast.Constant) for s in body
    )
