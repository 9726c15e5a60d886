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
