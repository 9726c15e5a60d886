"""All measured tables, the claims' verdicts and the orders of methods in one Markdown page.

crgan digest results --out docs/tables.md

It joins what the stages wrote for people (`table1.md` ... `claims.md`) and computes the orders; no
number is made here.
"""

from __future__ import annotations

import re
from pathlib import Path

from crgan.common.errors import UserError
from crgan.tables.orders import orders, report_orders

TABLES = tuple(f"table{number}.md" for number in range(1, 8))
RENDERINGS = "renderings.md"
BY_CLAIM = "## By claim"
_HEADING = re.compile(r"^#+ ", re.MULTILINE)


def digest(folder: Path) -> str:
    """The page, of the files in `folder`; ends with a line break.

    Raises:
        UserError: a table is missing.
    """
    made = f"crgan digest {folder}"
    parts = [f"# Measured tables\n\nJoined by `{made}` from what the stages wrote.\n"]
    parts += [_lowered(_read(folder / name)) for name in TABLES]
    if (folder / RENDERINGS).is_file():  # a recorded run may have no measured images
        parts.append(_lowered(_read(folder / RENDERINGS)))
    parts += [
        "## The paper's claims\n\n#" + _section(_read(folder / "claims.md"), BY_CLAIM),
        "## Orders of methods beside the printed ones\n\n" + report_orders(orders(folder)),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _lowered(text: str) -> str:
    """The same with every heading a level lower."""
    return _HEADING.sub(lambda found: "#" + found[0], text)


def _section(text: str, heading: str) -> str:
    """From a heading of the second level to the next one of that level."""
    _, found, rest = text.partition(f"{heading}\n")
    if not found:
        raise UserError(f"claims.md has no heading {heading!r}; make it again")
    return found + rest.split("\n## ", 1)[0]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; make it first "
            f"(snakemake --cores all {path.with_suffix('.csv')})"
        ) from None
