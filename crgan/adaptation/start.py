"""The network a method begins with: the backbone of a re-id file under new layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crgan.common.errors import UserError
from crgan.nets.reid import Pooling, ReidNet
from crgan.reid.model_file import build_reid


def begin(
    start: Mapping[str, Any],
    size: tuple[int, ...],
    name: str,
    *,
    classes: int = 0,
    embedding: int = 0,
    pooling: Pooling | None = None,
) -> ReidNet:
    """A re-id CNN with the file's backbone; embedding and classifier are new, by torch's seed.

    Args:
        start: re-id file.
        size: (H, W) of the images it is to learn.
        name: of the method, for messages.
        classes: of the new classifier; 0 for none.
        embedding: dimensions of the new embedding; 0 for none.
        pooling: over the last map; the file's own for none.

    Raises:
        UserError: no re-id file, or one of images of another size.
    """
    old = build_reid(start, f"{name}'s start")
    learned = (start["height"], start["width_px"])
    if tuple(size) != learned:
        raise UserError(
            f"{name}'s start learned images of {learned[0]}x{learned[1]}, these are "
            f"{size[0]}x{size[1]}; make it again"
        )
    net = ReidNet(
        old.backbone_name, old.width, classes, old.last_stride, pooling or old.pooling, embedding
    )
    net.backbone.load_state_dict(old.backbone.state_dict())
    return net
