"""Which source files a stage's result depends on: the closure of its imports.

`crgan/run` is left out on purpose: it knows no science, and a comment there should not retrain
thirty models. Everything else a stage imports, however deep, is a dependency in both engines.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_IGNORED = "crgan/run/"

# A stage that runs one of several methods loads only that method's file, by name.
METHOD_FOLDER = {"train_gan": "crgan/gan", "finetune": "crgan/gan", "adapt": "crgan/adapt",
                 "measure_images": "crgan/gan", "draw_renderings": "crgan/gan"}  # fmt: skip


def code_of(stage: str, model: str | None = None) -> list[str]:
    """Source files (relative, sorted) of `stage`, with the file of the method `model` it loads."""
    files = set(_closure(f"stages/{stage}.py"))
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
    found: list[str] = []
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module in modules:
            found += _files(module)
    return tuple(f for f in dict.fromkeys(found) if not f.startswith(_IGNORED))


def _files(module: str) -> list[str]:
    """The file of a project module, and the `__init__` files on the way to it."""
    parts = module.split(".")
    if parts[0] not in ("crgan", "stages"):
        return []
    inits = ["/".join(parts[:i]) + "/__init__.py" for i in range(1, len(parts) + 1)]
    return [f for f in [*inits, "/".join(parts) + ".py"] if (ROOT / f).is_file()]
