"""The paper's claims as data: `reported/claims.yaml`, read strictly and written out as comparisons.

A claim's names, metrics and directions are checked against the printed tables and, with the
parameters, against the experiment matrix, so that none of them asks for a cell that cannot be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from crgan.common.errors import UserError
from crgan.common.yaml import parse
from crgan.tables.cells import MatrixCell, scored_cells
from crgan.tables.printed import BASELINE_TABLE, FOLDER, TABLES, Row, cell_of, table_rows
from crgan.tables.renderings import JUDGED

PATH = FOLDER / "claims.yaml"
RENDERINGS = "renderings"
"""The table of renderings: ours, so no printed rows; its methods are named as in Tables 2 to 7."""
LOWER_IS_BETTER = ("FID",)
VISUAL = ("LPIPS", "FID")

_CLAIM = {"id", "statement", "where", "table", "better", "worse", "metrics"}
_OPTIONAL = {"directions", "against_print"}
_UNMEASURED = {"id", "statement", "where", "why"}


@dataclass(frozen=True)
class Place:
    """A row of a table: a method, as printed, in a direction."""

    method: str
    source: str
    target: str


@dataclass(frozen=True)
class Claim:
    """Each of `better` beats each of `worse` by each of `metrics`.

    Attributes:
        better, worse: names as printed; or one place, where the two differ in direction.
        directions: (source, target); all of the table, where the claim names none.
        against_print: comparisons in which the paper's own numbers say the reverse.
    """

    id: str
    statement: str
    where: str
    table: int | str
    better: tuple[str | Place, ...]
    worse: tuple[str | Place, ...]
    metrics: tuple[str, ...]
    directions: tuple[tuple[str, str], ...] = ()
    against_print: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unmeasured:
    """A statement that cannot be measured here, and why."""

    id: str
    statement: str
    where: str
    why: str


@dataclass(frozen=True)
class Claims:
    """The file's two lists."""

    measured: tuple[Claim, ...]
    unmeasured: tuple[Unmeasured, ...]


@dataclass(frozen=True)
class Comparison:
    """One inequality of a claim.

    Attributes:
        paper: the printed difference `better` minus `worse`; None where the paper prints none.
    """

    claim: Claim = field(repr=False)
    better: Place
    worse: Place
    metric: str
    paper: float | None

    @property
    def sign(self) -> int:
        """1 where a larger value is the better one, else -1."""
        return -1 if self.metric in LOWER_IS_BETTER else 1

    @property
    def name(self) -> str:
        """As `against_print` writes it."""
        ends = dict.fromkeys(f"{p.source}-{p.target}" for p in (self.better, self.worse))
        return f"{self.better.method} > {self.worse.method} {self.metric} {' '.join(ends)}"


def load_claims(path: str | Path = PATH) -> Claims:
    """Read the file.

    Raises:
        UserError: naming the file, the claim and the key, where one is missing, unknown or twice.
    """
    try:
        document = parse(Path(path).read_text(encoding="utf-8"))
        if not isinstance(document, dict) or set(document) != {"claims", "unmeasured"}:
            raise UserError(f"{path}: two lists are needed, `claims` and `unmeasured`")
        measured = [_claim(entry, path) for entry in document["claims"]]
        unmeasured = [
            Unmeasured(**_strings(entry, _UNMEASURED, path)) for entry in document["unmeasured"]
        ]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; restore it from the repository") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    seen: set[str] = set()
    for name in [*(claim.id for claim in measured), *(entry.id for entry in unmeasured)]:
        if name in seen:
            raise UserError(f"{path}: two claims with the id {name!r}; give one another name")
        seen.add(name)
    return Claims(tuple(measured), tuple(unmeasured))


def comparisons(claims: Iterable[Claim], folder: str | Path = FOLDER) -> list[Comparison]:
    """The claims as inequalities, in the order of the file.

    Between rows that the paper prints, it claims what it prints: a comparison of which it leaves
    a number out ("-") is none. A claim made in words alone (none of it is printed) stands whole.

    Args:
        folder: the printed tables.

    Raises:
        UserError: a row, metric or direction that the table does not have, or a comparison that
            the printed numbers contradict unannounced (or do not, announced).
    """
    known = (*TABLES, RENDERINGS)
    return [
        c for claim in claims if claim.table in known for c in _comparisons(claim, Path(folder))
    ]


def cell_behind(
    comparison: Comparison, place: Place, params: Mapping[str, Any]
) -> MatrixCell | None:
    """The cell of the matrix that a place's value comes from; None where it has none."""
    cell = cell_of(Row(place.method, place.source, place.target, {}), params["methods"])
    if cell is None:
        return None
    matrix = params["matrix"]
    images = is_of_images(comparison.metric)
    candidates = matrix["visual"] if images else scored_cells(matrix)
    wanted = (cell.method, place.source, place.target)
    return next((c for c in candidates if (c["method"], c["source"], c["target"]) == wanted), None)


def cells_needed(
    claims: Iterable[Claim], params: Mapping[str, Any], folder: str | Path = FOLDER
) -> dict[str, list[MatrixCell]]:
    """The cells that the claims compare, by the folder of results they are read from: queries,
    visual, judged; in the matrix's order. Cells that the matrix lacks are left out.
    """
    wanted: dict[str, list[Any]] = {"queries": [], "visual": [], "judged": []}
    for comparison in comparisons(claims, folder):
        kind = kind_of(comparison.metric)
        for place in (comparison.better, comparison.worse):
            cell = cell_behind(comparison, place, params)
            if cell is not None:
                wanted[kind].append(cell)
    matrix = params["matrix"]
    order = {
        "queries": scored_cells(matrix),
        "visual": matrix["visual"],
        "judged": matrix["visual"],
    }
    return {kind: [c for c in order[kind] if c in found] for kind, found in wanted.items()}


def kind_of(metric: str) -> str:
    """The folder of results a metric is read from."""
    if metric in VISUAL:
        return "visual"
    return "judged" if metric in JUDGED else "queries"


def is_of_images(metric: str) -> bool:
    """Whether a metric is one of renderings and not of re-identification."""
    return kind_of(metric) != "queries"


def _comparisons(claim: Claim, folder: Path) -> Iterator[Comparison]:
    found = [
        Comparison(claim, better, worse, metric, _paper(claim, better, worse, metric, folder))
        for metric in claim.metrics
        for better, worse in _pairs(claim, folder)
    ]
    printed = [c for c in found if c.paper is not None]
    against = {c.name for c in printed if c.paper is not None and c.sign * c.paper <= 0}
    if against != set(claim.against_print):
        odd = sorted(against ^ set(claim.against_print))[0]
        how = "contradict" if odd in against else "do not contradict"
        raise UserError(
            f"claim {claim.id}: the printed numbers {how} {odd!r}; correct its `against_print`"
        )
    yield from printed or found


def _pairs(claim: Claim, folder: Path) -> Iterator[tuple[Place, Place]]:
    for better, worse in product(claim.better, claim.worse):
        if isinstance(better, Place) and isinstance(worse, Place):
            yield better, worse
            continue
        for direction in claim.directions or _directions(claim.table, folder):
            yield Place(str(better), *direction), Place(str(worse), *direction)


@cache
def _directions(table: int | str, folder: Path) -> tuple[tuple[str, str], ...]:
    number = BASELINE_TABLE if table == RENDERINGS else int(table)  # ours has the same directions
    return tuple(dict.fromkeys((r.source, r.target) for r in table_rows(number, folder).rows))


@cache
def _rows(table: int, folder: Path) -> dict[Place, Row]:
    return {Place(r.method, r.source, r.target): r for r in table_rows(table, folder).rows}


def _paper(claim: Claim, better: Place, worse: Place, metric: str, folder: Path) -> float | None:
    """The printed difference.

    Raises:
        UserError: a name or a metric that the claim's table does not have.
    """
    if claim.table == RENDERINGS:
        if metric not in JUDGED:
            raise UserError(f"claim {claim.id}: {metric} is no metric of the table of renderings")
        return None
    values = []
    for place in (better, worse):
        rows = _rows(int(claim.table), folder)
        elsewhere = isinstance(claim.better[0], Place)  # a comparison across directions
        if place not in rows and elsewhere and place.method in {p.method for p in rows}:
            return None
        if place not in rows:
            raise UserError(
                f"claim {claim.id}: Table {claim.table} has no row {place.method!r} "
                f"{place.source} to {place.target}"
            )
        if metric not in rows[place].paper:
            raise UserError(f"claim {claim.id}: Table {claim.table} has no metric {metric}")
        values.append(rows[place].paper[metric])
    first, second = values
    return None if first is None or second is None else first - second


def _claim(entry: Any, path: str | Path) -> Claim:
    if not isinstance(entry, dict) or not _CLAIM <= set(entry) <= _CLAIM | _OPTIONAL:
        name = entry.get("id") if isinstance(entry, dict) else entry
        keys = set(entry) if isinstance(entry, dict) else set()
        odd = sorted((_CLAIM - keys) | (keys - _CLAIM - _OPTIONAL))
        raise UserError(f"{path}: claim {name!r}: missing or unknown keys {', '.join(odd)}")
    table = entry["table"]
    if table != RENDERINGS and table not in range(1, 8):
        raise UserError(f"{path}: claim {entry['id']}: table {table!r}; use 1 to 7 or renderings")
    better, worse = (_methods(entry[key]) for key in ("better", "worse"))
    if any(isinstance(b, Place) != isinstance(w, Place) for b in better for w in worse):
        raise UserError(f"{path}: claim {entry['id']}: give a place on both sides or on neither")
    directions = tuple(_direction(text, entry["id"]) for text in entry.get("directions", ()))
    return Claim(
        str(entry["id"]), str(entry["statement"]), str(entry["where"]), table, better, worse,
        tuple(entry["metrics"]), directions, tuple(entry.get("against_print", ())),
    )  # fmt: skip


def _methods(value: Any) -> tuple[str | Place, ...]:
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    return tuple(Place(**v) if isinstance(v, dict) else str(v) for v in values)


def _direction(text: str, name: str) -> tuple[str, str]:
    source, separator, target = str(text).partition("-")
    if not separator:
        raise UserError(f"claim {name}: direction {text!r}; write source-target")
    return source, target


def _strings(entry: Any, keys: set[str], path: str | Path) -> dict[str, str]:
    if not isinstance(entry, dict) or set(entry) != keys:
        raise UserError(f"{path}: {entry!r}: an unmeasured statement has {', '.join(sorted(keys))}")
    return {key: str(value) for key, value in entry.items()}
