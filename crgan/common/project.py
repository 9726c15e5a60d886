"""Files of the project that the library reads: beside the library in a checkout, else installed.

`pip install .` puts copies of them below `crgan/_project` (pyproject.toml). Whoever works in a
checkout reads the checkout's own.
"""

from __future__ import annotations

from pathlib import Path

_LIBRARY = Path(__file__).resolve().parents[1]


def project_file(name: str) -> Path:
    """Where `params.yaml`, `weights.yaml` or `reported` is."""
    beside = _LIBRARY.parent / name
    return beside if beside.exists() else _LIBRARY / "_project" / name


def modules_with(folder: Path, text: str) -> tuple[str, ...]:
    """Names of the modules and packages of a folder whose own file has `text` in it, in order."""
    files = [*folder.glob("*.py"), *folder.glob("*/__init__.py")]
    found = {file.parent.name if file.stem == "__init__" else file.stem
             for file in files if text in file.read_text(encoding="utf-8")}  # fmt: skip
    return tuple(sorted(found))
