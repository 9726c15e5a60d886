"""Charts as Vega-Lite specifications, and the script that draws them.

Vega-Lite (BSD-3) because a chart is data, not code: a specification is JSON, checked by its own
compiler, and draws as SVG, so that it prints, scales, and takes the page's light or dark colours.
`vl-convert-python` brings the scripts inside its wheel: nothing is fetched, the version is pinned
with the other requirements, and the bundle is 0.9 MB (plotly's is 4.5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crgan.common.io import atomic_path

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"  # a name: it is never fetched
VEGA_LITE = "6.4"
_CACHE = Path(".scratch/report")

# Of lines and points that must be told apart: 3:1 or more on the light and on the dark page.
_COLOURS = (
    "#2f7fd6", "#d4700a", "#2e9648", "#dc3f3a", "#9560cf", "#9a6a45", "#d94f9c", "#858a93",
    "#8b8612", "#12928d",
)  # fmt: skip
_DASHES = ([1, 0], [7, 4], [2, 3])


@cache
def script() -> str:
    """Vega, Vega-Lite and vega-embed as one script; ten seconds once, then read from scratch."""
    import vl_convert

    path = _CACHE / f"vega-{version('vl-convert-python')}-{VEGA_LITE}.js"
    if not path.is_file():
        text = vl_convert.javascript_bundle(None, VEGA_LITE)  # type: ignore[arg-type]  # its stub forgets the default
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    assert "</script" not in text
    return f"(function(){{{text}\n}})();"


def cmc(points: Sequence[Mapping[str, Any]], shown: Sequence[str]) -> Spec:
    """CMC curves: rank, percent of queries and method; those of `shown` stand out at first.

    Methods are in the order of the points: ten colours, then the same ten with another dash, so
    that no two of a table's methods look alike.
    """
    return {
        "$schema": SCHEMA,
        "data": {"values": list(points)},
        "width": "container",
        "height": 400,
        "params": [
            {
                "name": "picked",
                "select": {"type": "point", "fields": ["method"], "toggle": "true"},
                "bind": "legend",
                "value": [{"method": name} for name in shown],
            }
        ],
        "mark": {"type": "line", "point": {"size": 14}},
        "encoding": {
            "x": {
                "field": "rank", "type": "quantitative", "title": "rank",
                "scale": {"zero": False, "nice": False},
            },
            "y": {
                "field": "percent", "type": "quantitative", "title": "queries answered, %",
                "scale": {"zero": False},
            },
            "color": {
                "field": "method", "type": "nominal", "sort": None,
                "scale": {"range": [*_COLOURS] * len(_DASHES)},
                "legend": {
                    "columns": 1, "labelLimit": 200, "symbolLimit": 40, "symbolType": "stroke",
                    "symbolSize": 600, "symbolStrokeWidth": 2, "symbolFillColor": "transparent",
                },
            },
            "strokeDash": {
                "field": "method", "type": "nominal", "sort": None,
                "scale": {"range": [dash for dash in _DASHES for _ in _COLOURS]},
            },
            "opacity": {"condition": {"param": "picked", "value": 1}, "value": 0.5},
            "size": {"condition": {"param": "picked", "value": 2.5}, "value": 1},
            "tooltip": [
                {"field": "method"}, {"field": "rank"},
                {"field": "percent", "format": ".1f", "title": "queries answered, %"},
            ],
        },
    }  # fmt: skip


def curves(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """Losses by iteration, a panel each; rows of iteration, series and value."""
    return {
        "$schema": SCHEMA,
        "data": {"values": list(rows)},
        "facet": {"field": "series", "type": "nominal", "title": None, "sort": None},
        "columns": 3,
        "spec": {
            "width": 220,
            "height": 120,
            # A line through one row, as a training's first, is not to be seen; a point is.
            "mark": {"type": "line", "point": {"size": 14}, "tooltip": True},
            "encoding": {
                "x": {"field": "iteration", "type": "quantitative", "title": None},
                "y": {
                    "field": "value", "type": "quantitative", "title": None,
                    "scale": {"zero": False},
                },
            },
        },
        "resolve": {"scale": {"y": "independent"}, "axis": {"x": "independent"}},
    }  # fmt: skip


def scatter(points: Sequence[Mapping[str, Any]], colour: str) -> Spec:
    """Places of images in the plane, in colours and shapes by camera or by person."""
    inside = {"zero": False, "padding": 12}
    encoding: Spec = {
        "x": {"field": "x", "type": "quantitative", "axis": None, "scale": inside},
        "y": {"field": "y", "type": "quantitative", "axis": None, "scale": inside},
        "color": {"field": colour, "type": "nominal", "scale": {"range": [*_COLOURS]}},
        "tooltip": [{"field": "person"}, {"field": "camera"}],
    }
    if colour == "camera":  # a person is one of many: shapes would run out
        encoding["shape"] = {"field": colour, "type": "nominal"}
    return {
        "$schema": SCHEMA,
        "data": {"values": list(points)},
        "width": "container",
        "height": 340,
        "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.85},
        "encoding": encoding,
    }


def timeline(bars: Sequence[Mapping[str, Any]], lanes: int) -> Spec:
    """Jobs as bars from start to end, below each other where they ran at the same time."""
    return {
        "$schema": SCHEMA,
        "data": {"values": list(bars)},
        "width": "container",
        "height": max(60, 26 * lanes),
        "params": [
            {"name": "zoom", "select": {"type": "interval", "encodings": ["x"]}, "bind": "scales"},
            {"name": "picked", "select": {"type": "point", "fields": ["group"]}, "bind": "legend"},
        ],
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": {"field": "from", "type": "quantitative", "title": "minutes since the first job"},
            "x2": {"field": "to"},
            "y": {
                "field": "lane", "type": "ordinal", "title": None,
                "axis": {"labels": False, "ticks": False},
            },
            "color": {
                "field": "group", "type": "nominal", "scale": {"scheme": "tableau20"},
                "legend": {
                    "title": "stage", "orient": "bottom",
                    "columns": {"expr": "max(2, floor(width / 150))"},
                },
            },
            "opacity": {"condition": {"param": "picked", "value": 1}, "value": 0.15},
            "tooltip": [
                {"field": "job"}, {"field": "stage"},
                {"field": "seconds", "format": ".1f"}, {"field": "memory", "title": "peak MB"},
            ],
        },
    }  # fmt: skip
