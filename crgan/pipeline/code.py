"""Which code a stage's result depends on: the closure of its imports, without what cannot change a
number.

Everything a stage imports counts, however deep: networks, losses, samplers, the optimiser step,
precision, batch norm, conversion of weights. What only runs, shows or describes (the rooms of
`NOT_COUNTED`) does not, so a comment there retrains nothing; and drawing counts for the stages
that draw. A file counts by its syntax tree without docstrings: comments, docstrings and formatting
make nothing stale.

A stage that runs one of several methods loads that method's file by name (importlib), so the
closure of one cell holds the stage, its own method and what both import: adding a method makes no
other method's result stale.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.pipeline.hashes import stat_signature
from crgan.pipeline.spared import is_fresh, remember, remembered

ROOT = Path(__file__).resolve().parents[2]
NOT_COUNTED = tuple(f"crgan/{room}/" for room in ("pipeline", "workflow", "report", "deploy"))
_LOOKS = "crgan/looks/"  # counts for the stages named draw_*

# Stages that load a method's file by name, and where these files are.
METHOD_FOLDER = {
    "prepare_data": "crgan/data/layouts",
    "extract_masks": "crgan/masks",
    "train_gan": "crgan/gan",
    "train_translation": "crgan/gan",
    "render_set": "crgan/gan",
    "finetune": "crgan/gan",
    "measure_images": "crgan/gan",
    "judge_images": "crgan/gan",
    "draw_renderings": "crgan/gan",
    "adapt": "crgan/adaptation",
    "handcraft": "crgan/handcrafted",
}
EVERY_MODEL = {"draw_methods": "crgan/gan"}  # Figure 7 shows all methods of the matrix
FIXED_MODEL = {"draw_renderings": "crgan"}  # Figure 6 shows CR-GAN and its ablation, nothing else
_NOT_PYTHON = {"fetch_weights": ["weights.yaml"]}

PARSED = Path(".scratch/code.json")
_FORMAT = 1  # of `_facts`


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
        files |= set(_closure(_method_file(METHOD_FOLDER[stage], model)))
    if not stage.startswith("draw_"):
        files = {name for name in files if not name.startswith(_LOOKS)}
    return sorted(files)


def code_digest(files: list[str]) -> str:
    """SHA-256 over names of source files and what they say."""
    digest = hashlib.sha256()
    for name in files:
        digest.update(f"{name}\0{_facts(name).digest}\0".encode())
    return digest.hexdigest()


def imported_modules(name: str) -> tuple[str, ...]:
    """Dotted names that a file's import statements may load, at any depth of its text."""
    return _facts(name).imports


@cache
def project_files(module: str) -> tuple[str, ...]:
    """The file of a project module, and the `__init__` files on the way to it that say anything."""
    parts = module.split(".")
    if parts[0] not in ("crgan", "stages"):
        return ()
    inits = ["/".join(parts[:i]) + "/__init__.py" for i in range(1, len(parts) + 1)]
    # the top one is the public face: it imports what a notebook may want, and every stage passes it
    inits = inits[1:] if parts[0] == "crgan" else inits
    files = [f for f in inits if (ROOT / f).is_file() and not _facts(f).silent]
    return (*files, *([f] if (ROOT / (f := "/".join(parts) + ".py")).is_file() else []))


def forget() -> None:
    """Look at the sources anew: for a process in which they have changed."""
    for kept in (project_files, _method_files, _closure, _facts, _remembered):
        kept.cache_clear()


def _method_file(folder: str, model: str) -> str:
    package = f"{folder}/{model}/__init__.py"
    return package if (ROOT / package).is_file() else f"{folder}/{model}.py"


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
        found = (file for module in _facts(name).imports for file in project_files(module))
        queue += [f for f in found if f not in seen and not f.startswith(NOT_COUNTED)]
    return tuple(sorted(seen))


@dataclass(frozen=True)
class _Facts:
    """What is known of a source file.

    Attributes:
        digest: of what it says, comments and docstrings apart.
        imports: dotted names its import statements may load.
        silent: it holds only docstrings and constants such as `__version__`.
    """

    digest: str
    imports: tuple[str, ...] = ()
    silent: bool = False


@cache
def _facts(name: str) -> _Facts:
    path = ROOT / name
    try:
        signature = [_FORMAT, *stat_signature(path)]
    except FileNotFoundError:
        raise UserError(
            f"{name}: no such file; a stage or a model in params.yaml's matrix is named after it"
        ) from None
    known = _remembered(os.getcwd()).get(str(path))
    if known and known[0] == signature:
        return _Facts(known[1], tuple(known[2]), known[3])
    facts = _read(path, name)
    if not is_fresh(path):
        _remember(str(path), [signature, facts.digest, list(facts.imports), facts.silent])
    return facts


def _read(path: Path, name: str) -> _Facts:
    if path.suffix != ".py":
        return _Facts(hashlib.sha256(path.read_bytes()).hexdigest())
    tree = ast.parse(path.read_bytes())
    silent = all(
        isinstance(s, ast.Expr | ast.Assign) and isinstance(s.value, ast.Constant)
        for s in tree.body
    )
    imports = dict.fromkeys(m for node in _statements(tree) for m in _modules(node, name))
    return _Facts(hashlib.sha256(_said(tree).encode()).hexdigest(), tuple(imports), silent)


def _said(node: Any) -> str:
    """A syntax tree as text, without docstrings. Not `ast.dump`, whose text changes between
    versions of Python: empty fields are left out here, so a field that is new changes nothing.
    """
    if isinstance(node, list):
        return f"[{','.join(_said(entry) for entry in node if not _is_text(entry))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (
        f"{name}={_said(value)}"
        for name, value in ast.iter_fields(node)
        if name not in ("ctx", "kind", "type_comment") and value is not None and value != []
    )
    return f"{type(node).__name__}({','.join(fields)})"


def _is_text(node: Any) -> bool:
    """Whether a statement is a string and no more, such as a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


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


# Parsing every source takes a second, at each start of Snakemake and half of it at each job's.


@cache
def _remembered(folder: str) -> dict[str, list[Any]]:
    return remembered(Path(folder) / PARSED)


def _remember(path: str, facts: list[Any]) -> None:
    _remembered(os.getcwd())[path] = facts


def save() -> None:
    """Write what was parsed where the next process finds it."""
    known = _remembered(os.getcwd())
    if known != remembered(PARSED):
        remember(PARSED, known)
