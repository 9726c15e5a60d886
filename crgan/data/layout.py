"""What every layout is, and how one is found by its name.

To add a data set: a file in `crgan/data/layouts/` that ends in `LAYOUT = Layout(...)`, and a line
under `data` in params.yaml. Nothing lists the layouts but the folder itself; the chosen one is
loaded by name, so that the code of the others makes no data stale.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.data.counts import SplitCount
from crgan.data.entries import Entry, Listing

Counts = Mapping[str, SplitCount]


@dataclass(frozen=True)
class NoOptions:
    """Options of a layout that has none."""


@dataclass(frozen=True)
class Layout:
    """All there is to know of a data set, or of a way to lay out one's own.

    Attributes:
        label: as shown in tables.
        how_to_get: where it comes from, one line; for one's own data, how to lay them out.
        load: (folder or file, its options, the data set's name) -> what is there.
        options: dataclass of what else the parameters may say.
        published: counts of the released files under these options, by split; None for layouts of
            one's own data and for options nobody published counts of.
        not_downloaded: why an address is refused, where it is.
        generated: whether the demo benchmark can stand in for it.
        stand_in: (split, pid, camid, running number) -> the path of an image such as the layout
            has, for trying it at full size; None where images are no files of their own.
        stand_in_lists: entries with such paths -> the text of the files that list them, by name;
            None where nothing lists them.
    """

    label: str
    how_to_get: str
    load: Callable[[Path, Any, str], Listing]
    options: type = NoOptions
    published: Callable[[Any], Counts | None] = lambda options: None
    not_downloaded: str = ""
    generated: bool = False
    stand_in: Callable[[str, int, int, int], str] | None = None
    stand_in_lists: Callable[[Sequence[Entry]], Mapping[str, str]] | None = None


@cache
def names() -> tuple[str, ...]:
    """The layouts there are, in alphabetical order."""
    return tuple(sorted(f.stem for f in _folder().glob("[a-z]*.py")))


def layout_of(name: str) -> Layout:
    """The layout of that name.

    Raises:
        UserError: there is none.
    """
    if name not in names():
        raise UserError(f"layout is {name!r}; use one of {', '.join(names())}")
    found: Layout = importlib.import_module(f"crgan.data.layouts.{name}").LAYOUT
    return found


def label_of(dataset: str) -> str:
    """A data set's name as people read it; its own where it is called like no layout."""
    return layout_of(dataset).label if dataset in names() else dataset


def options_from(layout: str, values: Mapping[str, Any], name: str) -> Any:
    """A layout's options from the parameters; `name` is the section's, for messages.

    Raises:
        UserError: unknown key, or what the options refuse.
    """
    return settings_from(layout_of(layout).options, values, name)


def _folder() -> Path:
    return Path(__file__).parent / "layouts"
