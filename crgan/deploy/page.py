"""Pages that are one file: images inside, every text escaped, no script."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from crgan.common.io import atomic_path

_TEMPLATES = Path(__file__).parent / "templates"


def write_page(path: str | Path, template: str, **values: Any) -> None:
    """Fill a template of `templates/` and write it."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    text = environment.get_template(template).render(**values)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def data_uri(image: NDArray[np.uint8]) -> str:
    """An image uint8 (H, W, 3) as a data URI: JPEG, since pages hold many."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def printable(text: str) -> str:
    """A file name as a terminal and a page may show it: what steers them becomes `?`."""
    return "".join(c if c.isprintable() else "?" for c in text)
