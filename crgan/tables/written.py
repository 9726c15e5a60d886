"""How tables stand in files: CSV for programs, Markdown for people."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.io import atomic_path
from crgan.tables.names import dataset_label


@contextmanager
def csv_writer(path: str | Path) -> Iterator[Any]:
    """A `csv.writer` of a file that is there when it is whole."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        yield csv.writer(file, lineterminator="\n")


def read_rows(path: str | Path) -> list[dict[str, str]] | None:
    """The rows of a CSV; None where there is no such file.

    Raises:
        UserError: a file that is no CSV.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, strict=True))
    except FileNotFoundError:
        return None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable CSV ({error}); make it again") from None


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows, the first the head and the second the rule below it."""
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def numbered(notes: Iterable[str]) -> str:
    """Notes below a table, a line each, by their numbers."""
    return "\n".join(f"{i}. {note}" for i, note in enumerate(notes, 1))


def direction_label(source: str, target: str) -> str:
    """From where to where, by the names people know."""
    return f"{dataset_label(source)} → {dataset_label(target)}"
