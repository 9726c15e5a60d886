"""LIP-JPPNet (Liang et al., TPAMI 2018), the person parser the paper names: network and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from crgan.common.errors import UserError
from crgan.common.settings import Positive, Within
from crgan.masks.backend import MaskBackend, Resources, options_from


@dataclass(frozen=True)
class Options:
    """Settings; the defaults are the released evaluation.

    Attributes:
        side: height and width the network sees at scale 1, whatever the crop's proportions.
        scales: of `side`. The cost goes with the sum of their squares (3.1 as released); one scale
            without mirror is 6 times faster and no longer what the authors measured.
        mirror: whether the mirror image is averaged in; doubles the cost.
    """

    weights = "jppnet"  # no type, so no setting
    side: Annotated[int, Within(least=16)] = 384
    scales: tuple[Positive, ...] = (1.0, 0.75, 1.25)
    mirror: bool = True

    def __post_init__(self) -> None:
        if not self.scales or not all(16 <= self.side * s <= 4 * self.side for s in self.scales):
            raise UserError(f"scales is {list(self.scales)}; each up to 4, and 16 pixels or more")


def make(settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    """See `crgan.masks.backend`."""
    from crgan.masks.jppnet.inference import JPPNetMasks, load_file, load_network

    options = options_from(Options, "jppnet", settings)
    if resources.state:
        network, sha256 = load_network(resources.state, "weights"), resources.state_sha256
    elif resources.weights is not None:
        network, sha256 = load_file(resources.weights)
    else:
        raise UserError(
            "masks.backend jppnet needs weights: leave weights.parsing out of the profile, or by "
            "hand give --weights FILE; `python -m crgan.masks.jppnet.convert` makes the file"
        )
    return JPPNetMasks(network, sha256, options, resources.device)
