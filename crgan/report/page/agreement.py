"""How far a measured number agrees with the printed one, in a word, a sign and a count.

On the paper's own data a number may be compared with the number printed. On any other (the demo
benchmark, a test run) it may not: there the order of methods is compared. A number's agreement is
then the share of its comparisons, with all other rows of its direction that are both measured and
printed, which come out the same way as printed. Nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST, HALF = 0.75, 0.5
NEAR = 2.0  # points of a rate; the paper repeats no run, so its own spread is not known
_NEAR_SHARE = 0.1  # of a printed LPIPS or FID


@dataclass(frozen=True)
class Agreement:
    """Level: good, part, poor, or none where nothing can be compared; `text` says why."""

    level: str
    text: str

    @property
    def sign(self) -> str:
        """A sign that differs in shape, not in colour."""
        return {"good": "●", "part": "◐", "poor": "○"}.get(self.level, "")


NONE = Agreement("none", "")


def of_order(measured: Sequence[float | None], printed: Sequence[float | None]) -> list[Agreement]:
    """Agreement of each row's place among the rows of one metric in one direction.

    Equal printed values leave a comparison out; an equal measured one counts half.
    """
    found = []
    for i, (m, p) in enumerate(zip(measured, printed, strict=True)):
        same, of = 0.0, 0
        for j, (other_m, other_p) in enumerate(zip(measured, printed, strict=True)):
            if i == j or m is None or p is None or other_m is None or other_p is None:
                continue
            if p == other_p:
                continue
            of += 1
            same += 0.5 if m == other_m else float((m > other_m) == (p > other_p))
        found.append(_level(same, of))
    return found


def of_value(
    metric: str, measured: float | None, std: float | None, printed: float | None
) -> Agreement:
    """Agreement of a number with the one printed, on the paper's own data."""
    if measured is None or printed is None:
        return NONE
    near = _NEAR_SHARE * abs(printed) if metric in ("LPIPS", "FID") else NEAR
    near = max(near, 2 * (std or 0.0))
    off = abs(measured - printed)
    text = f"{off:.3g} from the printed value; near means within {near:.3g}"
    return Agreement("good" if off <= near else "part" if off <= 3 * near else "poor", text)


def _level(same: float, of: int) -> Agreement:
    if of == 0:
        return NONE
    share = same / of
    level = "good" if share >= MOST else "part" if share >= HALF else "poor"
    return Agreement(level, f"{same:g} of {of} comparisons with other rows come out as printed")
