"""`card.md`: what an adapted model is, how it was made, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crgan.common.io import atomic_path, load_torch, sha256_file
from crgan.data.manifest import read_manifest
from crgan.deploy.page import printable
from crgan.deploy.plan import GENERATED, START, Plan
from crgan.deploy.site import Site

CRITERIA = {
    "snd": ("soft neighbourhood density", "higher: denser neighbourhoods"),
    "reciprocity": (
        "reciprocity between cameras",
        "higher: more pairs that are each other's nearest",
    ),
    "camera_mixing": ("camera mixing", "towards 1: cameras show less in the features"),
}
"""Of stage `select`, which reads no label of the target: name, how to read it."""

_SCALES = {
    "demo": "a short training, of minutes: a first look, and not what a site should rely on",
    "smoke": "a test run of a few iterations: **the model is of no use**",
}


def write_card(
    path: Path,
    what: Plan,
    site: Site,
    work: Path,
    criteria: Mapping[str, Mapping[str, Any]],
    pt: Path,
) -> None:
    """Write the card of a model.

    Args:
        what, site: what was run, on which cameras.
        work: the work folder.
        criteria: by method, what stage `select` gave.
        pt: the model.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(card(what, site, work, criteria, pt), encoding="utf-8")


def card(
    what: Plan, site: Site, work: Path, criteria: Mapping[str, Mapping[str, Any]], pt: Path
) -> str:
    """The text of a card; the same for the same model."""
    method = what.params["methods"][what.method]
    file = load_torch(pt)
    source = read_manifest(work / what.manifest(what.source))
    rows = source.rows("train")
    people = len(set(source.pid[rows][source.pid[rows] > 0].tolist()))
    cameras = "\n".join(
        f"| {number} | {_cell(name)} | {count:,} |"
        for number, (name, count) in enumerate(site.cameras.items(), 1)
    )
    size = f"{file['height']}x{file['width_px']}"
    scale = _SCALES.get(what.profile, "see its section in params.yaml")
    generated = what.source_label == _generated(what)
    return f"""# A re-id model for {len(site.cameras)} cameras

It gives each image of a person a feature of {file["features"]} numbers and length 1; the dot
product of two features says how much two people look alike. `model.onnx` takes RGB images of size
{size}, uint8 (N, H, W, 3), and needs onnxruntime alone; `model.pt` is the same network for PyTorch.

## How it was made

| | |
|---|---|
| method | {method["label"]} |
| network | {file["backbone"]}, images {size}, started from {_started(file)} |
| learned people from | {what.source_label}: {len(rows):,} images of {people:,} people |
| adapted to | {site.images:,} images of {len(site.cameras)} cameras, without labels |
| supervision used | {", ".join(method["uses"]) or "none"} |
| scale | profile {what.profile}: {scale} |
| masks of people by | {what.params["profiles"][what.profile]["masks"]["backend"]} |
| SHA-256 of model.pt | `{sha256_file(pt)}` |

| camera | folder | images |
|---|---|---|
{cameras}

## Before and after

Measured on the cameras' own images, without labels. "Before" is the network that learned from
{what.source_label} and has seen no image of these cameras. These numbers compare models of the
same images with each other; **they are no accuracy**: how often the right person is found is
not known, and only labelled images of these cameras can tell.

{_before_and_after(what, criteria)}

Look at `report.html` beside this card before you use the model.

## What it must not be used for

- Deciding who somebody is. It ranks images by likeness of clothes and build; the first of a
  ranking is a suggestion for a person to check, never evidence.
- Anything about a person by which they are refused, accused, paid or policed; any use where the
  law or the people in view have not agreed to being matched between cameras.
- Recognising somebody on another day: clothes carry most of what it sees. It knows no faces.
- Cameras other than those above, or these after they were moved, refitted or turned to another
  season: adapt again.
{_of_generated() if generated else ""}"""


def _before_and_after(what: Plan, criteria: Mapping[str, Mapping[str, Any]]) -> str:
    names = ("before", "after") if len(what.methods) > 1 else ("this model",)
    lines = [f"| | {' | '.join(names)} | how to read it |", "|---|" + "---|" * (len(names) + 1)]
    for key, (label, reading) in CRITERIA.items():
        values = " | ".join(f"{criteria[method][key]:.4f}" for method in what.methods)
        lines.append(f"| {label} | {values} | {reading} |")
    return "\n".join(lines)


def _generated(what: Plan) -> str:
    scaled = what.params["profiles"][what.profile]["data"][what.source]
    return what.source_label if scaled["source"] == GENERATED else ""


def _of_generated() -> str:
    return (
        "- Anything but a try: the people it learned from are drawn, not photographed. Take a "
        "labelled\n  set of photographs as `--source`.\n"
    )


def _started(file: Mapping[str, Any]) -> str:
    origin = file["provenance"]["weights"]
    if origin == START:
        return "a model that was given (--start)"
    return "random weights" if origin in ("none", "random", "") else printable(str(origin))


def _cell(text: str) -> str:
    """A folder's name in a table of Markdown, which also knows HTML."""
    escaped = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return escaped.replace("`", "'")
