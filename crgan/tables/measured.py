"""What was measured of many cells, read for a stage that sets cells side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crgan.pipeline.stage import Run
from crgan.tables.queries import Queries
from crgan.tables.weigh import Images


def read_measured(
    run: Run,
    queries: Sequence[Path],
    visual: Sequence[Path] = (),
    judged: Sequence[Path] = (),
) -> tuple[Queries, Images]:
    """Per-query results, and the numbers of images: of this run's profile, and all current.

    Raises:
        UserError: naming the file, when one is stale, of another profile, or no such result.
    """
    why_stale = run.auditor().why_stale
    seeds = run.params["matrix"]["seeds"]
    images = Images(visual, judged, profile=run.profile, seeds=seeds, why_stale=why_stale)
    return Queries(queries, profile=run.profile, why_stale=why_stale), images
