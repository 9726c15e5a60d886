"""Direct Transfer: the source-trained CNN on the target as it is, the tables' lower bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crgan.adapt.base import Target
from crgan.common.errors import UserError
from crgan.data.store import Split
from crgan.train.checkpoint import Checkpoint
from crgan.train.compute import PLAIN, Compute


def adapt(
    start: Mapping[str, Any],
    source: Split,
    target: Target,
    options: Mapping[str, Any],
    *,
    seed: int,
    checkpoint: Checkpoint | None = None,
    compute: Compute = PLAIN,
) -> dict[str, Any]:
    """The file it was given (`crgan.adapt.base.Adapt`).

    Raises:
        UserError: any option, since there is nothing to choose.
    """
    if options:
        raise UserError(f"direct_transfer has no option {sorted(options)[0]!r}; it has none")
    return dict(start)
