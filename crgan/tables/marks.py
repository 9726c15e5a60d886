"""Marks on numbers whose choices were made with test labels in sight.

Section `chosen` of the parameters names each such choice: the methods it touches, the parameter or
the piece of code, and what was looked at. Tables, intervals and claims print its mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def marks_of(method: str | None, chosen: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is to be said of a method's numbers; [] where every choice was made without labels.

    Args:
        method: key of section `methods`; None for no method.
        chosen: section `chosen` of the parameters.
    """
    return [
        f"chosen with labels in sight: {entry['what']} ({entry['how']})"
        for entry in chosen
        if method in entry["methods"]
    ]
