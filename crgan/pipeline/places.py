"""Where the files lie that are scored, by the line of the matrix a cell stands in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crgan.common.errors import UserError

AS_IT_IS = "direct_transfer"  # the model that adapts nothing: the CNN it starts from is scored
HOMES = {"gan": "finetuned", "rendered": "finetuned", "adapt": "adapted", "handcrafted": "features"}


def scored_file(params: Mapping[str, Any], place: str, seed: Any) -> str:
    """The re-id CNN (or the features) behind a cell's scores.

    Args:
        place: `<method>/<source>-<target>`.

    Raises:
        UserError: the matrix has no such cell.
    """
    for group, folder in HOMES.items():
        for cell in params["matrix"][group]:
            if place_of(cell) == place:
                if group == "adapt" and cell["model"] == AS_IT_IS:
                    return start_file(params, cell, seed)
                return f"artifacts/{params['profile']}/{folder}/{place}/seed{seed}.pt"
    raise UserError(f"{place}: the matrix in params.yaml has no such cell")


def start_file(params: Mapping[str, Any], cell: Mapping[str, Any], seed: Any) -> str:
    """The CNN that a cell of `matrix.adapt` starts from: its `start` is `fresh`, `d_id/<source>`
    or `reid/<method>/<source>-<target>`.
    """
    kind, _, place = cell["start"].partition("/")
    if kind == "reid":
        return scored_file(params, place, seed)
    return "/".join(["artifacts", params["profile"], cell["start"], f"seed{seed}.pt"])


def place_of(cell: Mapping[str, Any]) -> str:
    """`<method>/<source>-<target>`: below which folder a cell's files lie."""
    return f"{cell['method']}/{cell['source']}-{cell['target']}"
