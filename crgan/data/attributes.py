"""Identity-level attributes of Market-1501 and DukeMTMC-reID from their published `.mat` files.

Each file holds one struct (`market_attribute`, `duke_attribute`) with the parts `train` and
`test`; a part holds one array per attribute and `image_index`, the identities the columns belong
to. The order of fields differs between the parts and of identities between the sets, so everything
is looked up by name and by `image_index`, never by position.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crgan.common.errors import UserError
from crgan.data.mat5 import load_mat

Table = dict[str, dict[int, int]]
LARGEST = {"age": 4}  # young, teenager, adult, old; every other attribute has the values 1 and 2
_INDEX = "image_index"


def read_attributes(path: str | Path, variable: str) -> Table:
    """Read attribute name -> {pid: value}, both parts together.

    Values are the published ones (1 and 2; age 1 to 4). 0 means unknown: DukeMTMC-reID's file has
    `top` = 0 for two identities. An attribute that one part lacks is unknown there.

    Raises:
        UserError: unreadable file, other layout, an identity twice, or a value out of range.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such attribute file")
    content = load_mat(path, squeeze_me=True, struct_as_record=False)
    if variable not in content:
        names = ", ".join(name for name in content if not name.startswith("_"))
        raise UserError(f"{path}: no variable {variable!r} in it, only {names or 'nothing'}")
    table: Table = {}
    seen: set[int] = set()
    for part in ("train", "test"):
        struct = getattr(content[variable], part, None)
        if struct is None or _INDEX not in getattr(struct, "_fieldnames", ()):
            raise UserError(f"{path}: {variable}.{part}.{_INDEX} is missing")
        pids = _pids(getattr(struct, _INDEX), path, part)
        if twice := seen & set(pids) or len(set(pids)) != len(pids):
            raise UserError(f"{path}: identities stand twice in {variable}.{part}: {twice}")
        seen |= set(pids)
        for name in struct._fieldnames:
            if name != _INDEX:
                _add(table.setdefault(name, {}), name, pids, getattr(struct, name), path, part)
    return {name: table[name] for name in sorted(table)}


def _pids(index: Any, path: str | Path, part: str) -> list[int]:
    texts = [str(text) for text in np.atleast_1d(index)]
    if bad := [text for text in texts if not text.isdigit()]:
        raise UserError(
            f"{path}: {part}.{_INDEX} holds {bad[0]!r}, expected identities like '0002'"
        )
    return [int(text) for text in texts]


def _add(
    into: dict[int, int], name: str, pids: list[int], values: Any, path: str | Path, part: str
) -> None:
    numbers = np.atleast_1d(values)
    if numbers.shape != (len(pids),):
        raise UserError(
            f"{path}: {part}.{name} has {numbers.size} values for {len(pids)} identities"
        )
    top = LARGEST.get(name, 2)
    for pid, number in zip(pids, numbers, strict=True):
        value = int(number)
        if value != number or not 0 <= value <= top:
            raise UserError(
                f"{path}: {part}.{name} of identity {pid} is {number}, expected 1 to {top}"
            )
        into[pid] = value
