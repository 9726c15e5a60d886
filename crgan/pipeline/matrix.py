"""From a list of methods to the cells of the experiment matrix.

A line of `methods` says what a method is and which directions it runs in; `expand` writes out the
cells that the rules of Snakemake and the tables read, by the stages that run them:

    gan          train_gan, finetune, evaluate
    translators  train_translation: one training serves both directions between a and b
    rendered     render_set, finetune, evaluate: trained on a stored set of renderings
    adapt        adapt, evaluate: methods on features
    handcrafted  handcraft, evaluate: systems without a network
    visual       measure_images, judge_images: images of these are measured
    judges       train_judges: one pair of judges for the images of a direction of `visual`
    renderings   draw_renderings: directions in which Figure 6 has both of its methods
    selected     select: label-free criteria, to choose parameters by
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from crgan.common.errors import UserError
from crgan.common.settings import settings_from
from crgan.pipeline.places import AS_IT_IS

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
GROUPS = ("gan", "adapt", "translators", "rendered", "handcrafted", "visual", "judges",
          "renderings", "selected")  # fmt: skip
AXES = ("seeds", "datasets", "sources", "targets")
FIGURE_6 = ("crgan", "wo_dual_cond")

Cell = dict[str, str]
Direction = tuple[str, str]
Supervision = Literal[
    "source labels", "source cameras", "target cameras", "tracklets", "attributes"
]


@dataclass(frozen=True)
class Method:
    """A line of `methods`.

    Attributes:
        label: the name printed in the tables.
        kind: gan: trained for one direction, renders while the CNN is fine-tuned; translator:
            trained for both directions, fine-tuned on a stored set; stored: a stored set of the GAN
            that `start` names; adapt: works on features; handcrafted: has no network.
        pairs: names of section `pairs`, the directions it runs in.
        uses: supervision. A method that uses nothing of the source and starts fresh is run once
            for each target, and its cells of other sources show the same CNN.
        model: its file, crgan/gan/<model>.py, crgan/adaptation/<model>.py or
            crgan/handcrafted/<model>.py; its own name where left out.
        start: of kind adapt, the CNN it begins with: d_id, fresh, or a method whose CNN it takes;
            of kind stored, the method whose GAN it takes.
        options: keys of its sections (`loss` and `gan`, `cyclegan`, `adaptation`, `handcrafted`)
            that it replaces.
        beyond: rows of its own that the paper has not: table5, table6+LMP, table6+re-ranking.
        visual: names of section `pairs` in which its images are measured.
        select: names of section `pairs` in which it gets label-free criteria.
    """

    label: str
    kind: Literal["gan", "translator", "stored", "adapt", "handcrafted"]
    pairs: tuple[str, ...]
    uses: tuple[Supervision, ...]
    model: str = ""
    start: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    beyond: tuple[str, ...] = ()
    visual: tuple[str, ...] = ()
    select: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.start and self.kind not in ("adapt", "stored"):
            raise UserError(f"start is {self.start!r}, but a method of kind {self.kind} has none")
        if self.kind == "stored" and not self.start:
            raise UserError("start is missing: the method whose GAN the stored set is rendered by")
        if self.visual and self.kind not in ("gan", "translator"):
            raise UserError(f"visual: a method of kind {self.kind} has no images of its own")
        for row in self.beyond:
            if not re.fullmatch(r"table[1-7](\+LMP)?(\+re-ranking)?", row):
                raise UserError(
                    f"beyond has {row!r}; write table6, table6+LMP, table6+re-ranking or "
                    "table6+LMP+re-ranking"
                )


def methods_from(lines: Any, origin: str) -> dict[str, Method]:
    """The methods of a section `methods`, each with its model filled in.

    Raises:
        UserError: naming the line and the key.
    """
    if not isinstance(lines, Mapping):
        raise UserError(f"{origin}: methods is {lines!r}; it must have a line for each method")
    found = {}
    for name, line in lines.items():
        check_name(name, "methods", origin)
        method = settings_from(Method, line, f"{origin}: methods.{name}")
        start = method.start or ("d_id" if method.kind == "adapt" else "")
        found[name] = Method(**{**vars(method), "model": method.model or name, "start": start})
    for name, method in found.items():
        check_name(method.model, f"methods.{name}.model", origin)
        if method.start not in ("", "d_id", "fresh", *found):
            raise UserError(
                f"{origin}: methods.{name}.start is {method.start!r}; use d_id, fresh or the name "
                "of a method"
            )
        if method.kind == "stored":
            of = found.get(method.start)
            if of is None or of.kind != "gan":
                raise UserError(f"{origin}: methods.{name}.start: {method.start!r} is no GAN")
            found[name] = Method(**{**vars(method), "model": of.model})
    return found


def pairs_from(section: Any, data: Mapping[str, Any], origin: str) -> dict[str, list[Direction]]:
    """{name: directions} of the section `pairs`.

    Args:
        data: section `data`, which names all data sets.
    """
    if not isinstance(section, Mapping):
        raise UserError(f"{origin}: pairs is {section!r}; it must have a list of directions a name")
    found: dict[str, list[Direction]] = {}
    for name, texts in section.items():
        check_name(name, "pairs", origin)
        if not isinstance(texts, list):
            raise UserError(f"{origin}: pairs.{name} is {texts!r}; it must be a list")
        found[name] = [_direction(text, data, f"{origin}: pairs.{name}") for text in texts]
    return found


def check_pairs(
    names: Any, pairs: Mapping[str, Sequence[Direction]], known: Sequence[str], where: str
) -> None:
    """Refuse a list of pairs to run with a name that section `pairs` lacks, or that runs nothing.

    Args:
        names: as given.
        known: data sets that the profile has.
    """
    listed = ", ".join(pairs)
    if not isinstance(names, list) or not names:
        raise UserError(f"{where} is {names!r}; give a list of {listed}")
    for name in names:
        if name not in pairs:
            raise UserError(f"{where} has {name!r}; pairs has {listed}")
    ends = dict.fromkeys(end for name in names for way in pairs[name] for end in way)
    if not any(set(known).issuperset(way) for name in names for way in pairs[name]):
        lacking = ", ".join(end for end in ends if end not in known)
        raise UserError(
            f"{where} is {names}, and the profile's data have no {lacking}; add a line there, or "
            "take another profile"
        )


def _direction(text: Any, data: Mapping[str, Any], where: str) -> Direction:
    source, _, target = str(text).partition(" to ")
    for end in (source, target):
        if end not in data:
            known = ", ".join(data)
            raise UserError(
                f"{where} has {text!r}; write `SOURCE to TARGET`, of the data sets {known}"
            )
    if source == target:
        raise UserError(f"{where} has {text!r}: one data set is source and target")
    return source, target


def expand(
    methods: Mapping[str, Method],
    pairs: Mapping[str, Sequence[Direction]],
    seeds: Sequence[int],
    known: Iterable[str],
    origin: str = "params.yaml",
    run: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The matrix: {group: cells} and its axes seeds, datasets, sources and targets.

    Args:
        known: data sets that the profile has; directions with others are left out.
        run: names of the pairs to run; all by default.
    """
    there = set(known)
    wanted = set(pairs if run is None else run)

    def directions(names: Sequence[str], name: str, key: str) -> list[Direction]:
        for pair in names:
            if pair not in pairs:
                listed = ", ".join(pairs)
                raise UserError(
                    f"{origin}: methods.{name}.{key} has {pair!r}; pairs has {listed or 'none'}"
                )
        run = [pair for pair in names if pair in wanted]
        found = [way for pair in run for way in pairs[pair] if there.issuperset(way)]
        return list(dict.fromkeys(found))

    groups: dict[str, list[Cell]] = {group: [] for group in GROUPS}
    used: list[Direction] = []
    for name, method in methods.items():
        ways = directions(method.pairs, name, "pairs")
        used += ways
        if method.kind == "translator":
            groups["translators"] += _translators(name, method, ways)
        groups[_HOME[method.kind]] += _cells(name, method, ways)
        seen = directions(method.visual, name, "visual")
        groups["visual"] += _gan_cells(name, method, seen, ways)
        for source, target in directions(method.select, name, "select"):
            groups["selected"].append({"method": name, "source": source, "target": target})
    shown = [(cell["method"], (cell["source"], cell["target"])) for cell in groups["visual"]]
    for way in dict.fromkeys(way for _, way in shown):
        groups["judges"].append(_ends(way))
        if all((name, way) in shown for name in FIGURE_6):
            groups["renderings"].append(_ends(way))
    return {
        "seeds": list(seeds),
        "datasets": list(dict.fromkeys(end for way in used for end in way)),
        "sources": list(dict.fromkeys(source for source, _ in used)),
        "targets": list(dict.fromkeys(target for _, target in used)),
        **groups,
    }


_HOME = {"gan": "gan", "translator": "rendered", "stored": "rendered", "adapt": "adapt",
         "handcrafted": "handcrafted"}  # fmt: skip


def _ends(way: Direction) -> Cell:
    return {"source": way[0], "target": way[1]}


def _cells(name: str, method: Method, ways: Sequence[Direction]) -> list[Cell]:
    if method.kind == "adapt":
        return _adapt_cells(name, method, ways)
    if method.kind in ("translator", "stored"):
        return _gan_cells(name, method, ways, ways)
    return [{"method": name, "model": method.model, **_ends(way)} for way in ways]


def _adapt_cells(name: str, method: Method, ways: Sequence[Direction]) -> list[Cell]:
    sourceless = method.start == "fresh" and not any("source" in use for use in method.uses)
    cells, made = [], dict[str, str]()
    for source, target in ways:
        cell = {"method": name, "model": method.model, "source": source, "target": target}
        if sourceless and target in made:
            cell |= {"model": AS_IT_IS, "start": f"reid/{name}/{made[target]}-{target}"}
        elif method.start == "d_id":
            cell["start"] = f"d_id/{source}"
        elif method.start == "fresh":
            cell["start"] = "fresh"
        else:
            cell["start"] = f"reid/{method.start}/{source}-{target}"
        made.setdefault(target, source)
        cells.append(cell)
    return cells


def _translators(name: str, method: Method, ways: Sequence[Direction]) -> list[Cell]:
    couples = dict.fromkeys(_couple(way, ways) for way in ways)
    return [{"method": name, "model": method.model, "a": a, "b": b} for a, b in couples]


def _couple(way: Direction, ways: Sequence[Direction]) -> Direction:
    """The two ends in the order in which they are first met."""
    return next((known for known in ways if set(known) == set(way)), way)


def _gan_cells(
    name: str, method: Method, ways: Sequence[Direction], trained: Sequence[Direction]
) -> list[Cell]:
    """Cells with the GAN behind them, below artifacts/<profile>/gan."""
    gan = method.start if method.kind == "stored" else name
    cells = []
    for way in ways:
        a, b = _couple(way, trained) if method.kind == "translator" else way
        cells.append({"method": name, "model": method.model, **_ends(way), "gan": f"{gan}/{a}-{b}"})
    return cells


def check_name(name: Any, place: str, origin: str) -> None:
    """Refuse a name that could not stand in a path, a command or a target of Snakemake."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            f"{origin}: {place} has the name {name!r}; use small letters, digits, _ and -, a "
            "letter or digit first"
        )


def check_label(label: str, place: str, origin: str) -> None:
    """Refuse a label that could not stand in a table: in Markdown, in CSV, in a spreadsheet."""
    if not label.strip() or not label.isprintable() or "|" in label or label[0] in "=+-@":
        raise UserError(
            f"{origin}: {place} is {label!r}; a label is one line, without |, and begins with none "
            "of = + - @, which a spreadsheet would calculate"
        )


def cell_key(cell: Mapping[str, Any]) -> tuple[str, str, str]:
    """What identifies a cell of the matrix: method, source, target."""
    return cell["method"], cell["source"], cell["target"]


def check_matrix(params: Mapping[str, Any], origin: str) -> None:
    """Refuse a matrix whose cells name what is not there, by name.

    Args:
        params: resolved; `matrix`, `methods` and `data` are read.
    """
    matrix = params["matrix"]
    if not isinstance(matrix, Mapping):
        raise UserError(f"{origin}: matrix is {matrix!r}; leave it out, methods and pairs make it")
    for group in (*AXES, *GROUPS):
        if not isinstance(matrix.get(group), list):
            raise UserError(f"{origin}: no list matrix.{group}; write `{group}: []` for no cell")
    if unknown := set(matrix) - {*AXES, *GROUPS}:
        raise UserError(f"{origin}: matrix.{min(map(str, unknown))}: no such group")
    check_seeds(matrix["seeds"], origin)
    for axis in ("datasets", "sources", "targets"):
        for name in matrix[axis]:
            if not isinstance(name, str):
                raise UserError(f"{origin}: matrix.{axis} has {name!r}; it has names of data sets")
            if name not in params["data"] or name not in matrix["datasets"]:
                lacking = "data" if name not in params["data"] else "matrix.datasets"
                raise UserError(f"{origin}: matrix.{axis} has {name!r}, which {lacking} lacks")
    ways: dict[str, Direction] = {}
    for source in matrix["sources"]:
        for target in matrix["targets"]:
            other = ways.setdefault(f"{source}-{target}", (source, target))
            if other != (source, target):
                raise UserError(
                    f"{origin}: folders {source}-{target} could be of {' to '.join(other)} and of "
                    f"{source} to {target}; rename a data set, without '-'"
                )
    for group in GROUPS:
        for cell in matrix[group]:
            _check_cell(group, cell, params, origin)
    _check_trained(matrix, origin)


def check_seeds(seeds: Any, origin: str) -> None:
    """Refuse what is no list of different whole numbers."""
    if not isinstance(seeds, list) or not seeds or len({str(s) for s in seeds}) < len(seeds):
        raise UserError(f"{origin}: seeds is {seeds!r}; give different numbers, as [0, 1, 2]")
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise UserError(f"{origin}: seeds has {seed!r}; give whole numbers, as [0, 1, 2]")
        if seed >= 2**32:
            raise UserError(f"{origin}: seeds has {seed}; generators take no seed from 2**32 on")


_ENDS = ("source", "target")
_KEYS: dict[str, tuple[str, ...]] = {  # of the cells of a group
    "gan": ("method", "model", *_ENDS),
    "translators": ("method", "model", "a", "b"),
    "rendered": ("method", "model", *_ENDS, "gan"),
    "handcrafted": ("method", "model", *_ENDS),
    "adapt": ("method", "model", *_ENDS, "start"),
    "visual": ("method", "model", *_ENDS, "gan"),
    "selected": ("method", *_ENDS),
    "judges": _ENDS,
    "renderings": _ENDS,
}


def _check_cell(group: str, cell: Any, params: Mapping[str, Any], origin: str) -> None:
    matrix = params["matrix"]
    ends = ("a", "b") if group == "translators" else _ENDS
    known: dict[str, tuple[Any, str]] = {
        "method": (params["methods"], "methods"),
        "a": (matrix["datasets"], "matrix.datasets"),
        "b": (matrix["datasets"], "matrix.datasets"),
        "source": (matrix["sources"], "matrix.sources"),
        "target": (matrix["targets"], "matrix.targets"),
    }
    if not isinstance(cell, Mapping) or any(end not in cell for end in ends):
        raise UserError(f"{origin}: matrix.{group} has {cell!r}; a cell has {' and '.join(ends)}")
    if set(cell) != set(_KEYS[group]) or not all(isinstance(text, str) for text in cell.values()):
        keys = ", ".join(_KEYS[group])
        raise UserError(f"{origin}: matrix.{group} has {cell!r}; a cell has the texts {keys}")
    for key, (entries, place) in known.items():
        if key in cell and cell[key] not in entries:
            raise UserError(
                f"{origin}: matrix.{group} has {key} {cell[key]!r}, which {place} lacks"
            )
    if "model" in cell:
        check_name(cell["model"], f"matrix.{group}.model", origin)
    if cell[ends[0]] == cell[ends[1]]:
        raise UserError(f"{origin}: matrix.{group}: {cell[ends[0]]!r} is {' and '.join(ends)}")


def _check_trained(matrix: Mapping[str, Any], origin: str) -> None:
    """Each re-id cell is in one group, what shows or stores renderings has a GAN, and what adapts
    a CNN starts from one that is there.
    """
    homes: dict[tuple[str, str, str], str] = {}
    for group in ("gan", "adapt", "rendered", "handcrafted"):
        for cell in matrix[group]:
            key = cell_key(cell)
            if homes.setdefault(key, group) != group:
                raise UserError(
                    f"{origin}: {' '.join(key)} stands in matrix.{homes[key]} and matrix.{group}"
                )
    gans = {}
    for c in (*matrix["gan"], *matrix["translators"]):
        start, end = c.get("source", c.get("a")), c.get("target", c.get("b"))
        ways = [(start, end), (end, start)] if "a" in c else [(start, end)]
        gans[f"{c['method']}/{start}-{end}"] = [(c["model"], *way) for way in ways]
    for group in ("rendered", "visual"):
        for cell in matrix[group]:
            needed = (cell["model"], cell["source"], cell["target"])
            if needed not in gans.get(cell["gan"], []):
                raise UserError(
                    f"{origin}: matrix.{group} has {' '.join(cell_key(cell))} with gan "
                    f"{cell['gan']!r} of model {cell['model']!r}, which matrix.gan and "
                    "matrix.translators lack"
                )
    for cell in matrix["visual"]:
        pair = {"source": cell["source"], "target": cell["target"]}
        if pair not in matrix["judges"]:
            raise UserError(
                f"{origin}: matrix.visual has {' '.join(cell_key(cell))}, and matrix.judges lacks "
                "judges of that direction"
            )
    for cell in matrix["selected"]:
        if homes.get(cell_key(cell), "handcrafted") == "handcrafted":
            raise UserError(
                f"{origin}: matrix.selected has {' '.join(cell_key(cell))}, which is no cell of a "
                "re-id CNN in matrix.gan, adapt or rendered"
            )
    starts = {f"d_id/{source}" for source in matrix["sources"]} | {"fresh"}
    starts |= {f"reid/{'{}/{}-{}'.format(*key)}" for key in homes if homes[key] != "handcrafted"}
    for cell in matrix["adapt"]:
        own = f"reid/{'{}/{}-{}'.format(*cell_key(cell))}"
        if cell["start"] not in starts - {own}:
            raise UserError(
                f"{origin}: matrix.adapt has {' '.join(cell_key(cell))} with start "
                f"{cell['start']!r}; use fresh, d_id/<source> or reid/<method>/<source>-<target>"
            )
