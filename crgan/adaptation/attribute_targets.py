"""Published attributes as what a network can learn: binary targets, and which of them are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crgan.common.errors import UserError
from crgan.data.attributes import LARGEST


@dataclass(frozen=True)
class AttributeTargets:
    """m binary targets of n images.

    Attributes:
        names: of the targets; an attribute of several values has one a value, `age3`.
        values: float32 (n, m), 0 or 1.
        known: bool (n, m); where it is false nothing is to be learned.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    known: NDArray[np.bool_]


def attribute_targets(attributes: Mapping[str, NDArray[np.int64]], name: str) -> AttributeTargets:
    """Binary targets of the published values (`crgan.data.attributes`).

    1 and 2 become 0 and 1; an attribute of more values (age) becomes one target a value. The files'
    anomalies need no repair so: a value of 0 is unknown, and each colour is a target of its own, so
    that none or several of a half may hold. A target that is the same for all images teaches
    nothing and is left out.

    Args:
        attributes: name -> int64 (n,), 0 unknown.
        name: of the method, for the message.

    Raises:
        UserError: there are no attributes to learn.
    """
    names, values, known = [], [], []
    for attribute in sorted(attributes):
        published, top = attributes[attribute], LARGEST.get(attribute, 2)
        told = published > 0
        for value in [2] if top == 2 else range(1, top + 1):
            holds = published == value
            if len(np.unique(holds[told])) == 2:
                names.append(attribute if top == 2 else f"{attribute}{value}")
                values.append(holds)
                known.append(told)
    if not names:
        raise UserError(
            f"{name} learns attributes of the source's people, and this source has none; use a "
            "source with an attribute file (Market-1501, DukeMTMC-reID), or another method"
        )
    return AttributeTargets(
        tuple(names), np.stack(values, axis=1).astype(np.float32), np.stack(known, axis=1)
    )
