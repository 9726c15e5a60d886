"""LIP-JPPNet (Liang et al., TPAMI 2018), the person parser the paper names: network and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crgan.common.errors import UserError
from crgan.masks.backend import MaskBackend, Resources, options_from


def make(settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    """See `crgan.masks.backend`."""
    from crgan.masks.jppnet.inference import JPPNetMasks, JPPNetOptions, load_file, load_network

    options = options_from(JPPNetOptions, "jppnet", settings)
    if resources.state:
        network, sha256 = load_network(resources.state, "weights"), resources.state_sha256
    elif resources.weights is not None:
        network, sha256 = load_file(resources.weights)
    else:
        raise UserError(
            "masks.backend jppnet needs weights: set weights.parsing in the profile to jppnet (by "
            "hand: --weights FILE); `python -m crgan.masks.jppnet.convert` makes the file"
        )
    return JPPNetMasks(network, sha256, options, resources.device)
