"""Whatever befell params.yaml: it is loaded as it was meant, or refused in one message, and what is
accepted can be sliced, written down and loaded again. Nothing else ever comes of it.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crgan.common.errors import UserError
from crgan.common.yaml import parse
from crgan.pipeline import params as parameters

MORE = int(os.environ.get("CRGAN_FUZZ", "1"))  # times as many examples
ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "params.yaml").read_text()
RAW: dict[str, Any] = parse(TEXT)
RESOLVED: dict[str, Any] = parameters.load(ROOT / "params.yaml")
Way = tuple[Any, ...]


def ways(value: Any, way: Way = ()) -> Iterator[Way]:
    """The way to every value, keys and places in lists, sections included."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, entry in inner:
        yield (*way, key)
        yield from ways(entry, (*way, key))


FORMS = {name: (form, sorted(ways(form), key=str)) for name, form in
         (("written", RAW), ("resolved", RESOLVED))}  # fmt: skip
PLAIN = st.sampled_from(
    [None, True, False, 0, 1, -1, 2, 10**30, -0.0, 0.5, 1e300, float("nan"), float("inf"), "", "0",
     "none", "text", "..", "a/b", "a b", "~", "~nobody/x", "$X", "$HOME", "x;touch y",
     "$(touch x)", "\n", "\x00", "\ud800", "-x", "{profile}", "{", "é", "\u0661", "a.b", "=", "*",
     "crgan", "main", "d_id/market1501", "market1501", "market1501 to dukemtmc", "table6+LMP"]
)  # fmt: skip
VALUES = st.recursive(
    PLAIN | st.integers() | st.floats() | st.text(max_size=6) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(PLAIN.filter(bool), inner, max_size=3)
    ),
    max_leaves=5,
)

CONFIG = ["set", "pairs", "profile", "x"]


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, list[tuple[Way, str, Any]]]:
    """A form of the parameters, and values that are replaced, keys that are lost or added."""
    form = draw(st.sampled_from(sorted(FORMS)))
    kinds = st.sampled_from(["replace", "replace", "lose", "rename", "add", "copy"])
    places = FORMS[form][1]
    change = st.tuples(st.sampled_from(places), kinds, VALUES | st.sampled_from(places))
    return form, draw(st.lists(change, min_size=1, max_size=3))


def changed(form: str, steps: list[tuple[Way, str, Any]]) -> Any:
    values = copy.deepcopy(FORMS[form][0])
    for (*way, last), kind, new in steps:
        home = values
        try:
            for key in way:
                home = home[key]
            old = home[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier step took it away
        if kind == "lose":
            del home[last]
        elif kind == "copy":
            home[last] = copy.deepcopy(values)
        elif kind == "replace" or not isinstance(home, dict) or isinstance(new, dict | list):
            home[last] = new
        elif kind == "rename":
            home[new] = home.pop(last)
        else:
            home[new] = copy.deepcopy(old)
    return values


def check(folder: str, text: str | bytes) -> None:
    path = Path(folder) / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    try:
        found = parameters.load(path)
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
        return
    for stage in ("make_table", "weigh_claims", "extract_masks"):
        parameters.slice_of(stage, found)
    path.write_text(yaml.safe_dump(found, sort_keys=False))
    assert parameters.digest(parameters.load(path)) == parameters.digest(found)


@settings(max_examples=20 * MORE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes())
@example(("written", [(("profiles",), "replace", {"site.v2": {"data": {}}})]))
@example(("written", [(("profiles", "paper", "gan", "batch"), "rename", None)]))
@example(("resolved", [(("matrix", "gan", 0, "model"), "lose", None)]))
@example(("written", [(("handcrafted", "lomo"), "replace", [])]))
@example(("written", [(("profiles", "smoke", "run"), "replace", date(2000, 1, 1))]))
@example(("resolved", [(("matrix",), "replace", "text")]))
def test_values_and_keys(change: tuple[str, list[tuple[Way, str, Any]]]) -> None:
    form, steps = change
    with tempfile.TemporaryDirectory() as folder:
        check(folder, yaml.dump(changed(form, steps), sort_keys=False))


@settings(max_examples=15 * MORE, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 60), st.text(max_size=20)),
                min_size=1, max_size=3))  # fmt: skip
def test_text_cut_and_pasted(cuts: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for place, length, new in cuts:
        text = text[:place] + new + text[place + length :]
    with tempfile.TemporaryDirectory() as folder:
        check(folder, text)


@settings(max_examples=15 * MORE, deadline=None)
@given(st.dictionaries(st.sampled_from(CONFIG), VALUES, max_size=2) | VALUES)
@example({"set": ""})
@example({"set": 5})
@example({True: None, "0": None})
@example({"set": [f"{'.'.join(['a'] * 2000)}=1"]})
def test_what_snakemake_is_given(config: Any) -> None:
    config = config if isinstance(config, dict) else {"set": [config]}
    try:
        parameters.effective(config)
    except UserError as error:
        assert str(error)  # noqa: PT017


@settings(max_examples=15 * MORE, deadline=None)
@given(
    st.sampled_from([w for w in FORMS["written"][1] if all(isinstance(k, str) for k in w)]), VALUES
)
def test_settings_of_the_command_line(way: Way, value: Any) -> None:
    text = yaml.safe_dump(value, default_flow_style=True).strip()
    try:
        parameters.load(ROOT / "params.yaml", [f"{'.'.join(way)}={text}"])
    except UserError as error:
        assert str(error)  # noqa: PT017
