"""Things that stand between the camera and the person, drawn on the person's canvas."""

from __future__ import annotations

import cv2
import numpy as np

from crgan.synth.canvas import Canvas, FloatArray
from crgan.synth.identity import Colour, named_colour

OCCLUDERS: dict[str, tuple[str, ...]] = {
    "market1501": ("bicycle", "sign", "person", "person", "bush", "post"),
    "dukemtmc": ("car", "post", "person", "person", "bush", "bicycle"),
    "campus": ("bicycle", "bicycle", "person", "person", "post", "sign"),
    "cuhk03": ("rail", "pillar", "person", "person", "person", "sign"),
}


def _box(
    canvas: Canvas, left: float, right: float, top: float, bottom: float, colour: Colour
) -> None:
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    canvas.fill(corners, colour)
    canvas.raise_to(corners, 0.0)


def _ring(hub: tuple[float, float], radius: float) -> FloatArray:
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.array(hub) + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _lines(canvas: Canvas, points: FloatArray, thick: float, colour: Colour, closed: bool) -> None:
    width = max(round(thick), 1)
    path = [np.round(points).astype(np.int32)]
    cv2.polylines(canvas.pixels, path, closed, (*colour, canvas.owner), width)
    cv2.polylines(canvas.relief, path, closed, 0.0, width)


def _bicycle(canvas: Canvas, x: float, ground: float, unit: float, colour: Colour) -> None:
    """`unit` is one metre in pixels; (x, ground) the point below the pedals."""

    def at(px: float, up: float) -> tuple[float, float]:
        return x + unit * px, ground - unit * up

    for hub in (-0.52, 0.52):
        _lines(canvas, _ring(at(hub, 0.34), 0.33 * unit), 0.045 * unit, (34, 34, 36), True)
    frame = [(-0.52, 0.34), (-0.2, 0.85), (0.38, 0.85), (0, 0.34), (-0.2, 0.85)]
    _lines(canvas, np.array([at(*p) for p in frame]), 0.05 * unit, colour, False)
    fork = [(0.52, 0.34), (0.36, 1.0), (0.52, 1.06)]
    _lines(canvas, np.array([at(*p) for p in fork]), 0.045 * unit, colour, False)
    _lines(canvas, np.array([at(-0.32, 0.93), at(-0.08, 0.93)]), 0.08 * unit, (30, 30, 32), False)


def _car(canvas: Canvas, x: float, ground: float, unit: float, colour: Colour) -> None:
    """The front half of a car: bonnet and part of the cabin."""
    body = [(-0.2, 0.1), (-0.2, 0.7), (0.9, 0.86), (1.5, 1.3), (3.5, 1.34), (3.5, 0.1)]
    shape = np.array([(x + unit * px, ground - unit * up) for px, up in body])
    canvas.fill(shape, colour)
    canvas.raise_to(shape, 0.0)
    glass = [(1.05, 0.9), (1.55, 1.24), (3.4, 1.26), (3.4, 0.9)]
    canvas.fill(np.array([(x + unit * px, ground - unit * up) for px, up in glass]), (54, 62, 72))
    _box(canvas, x - 0.2 * unit, x + 3.5 * unit, ground - 0.3 * unit, ground - 0.12 * unit,
         (40, 40, 44))  # fmt: skip
    for share, tone in ((0.3, (28, 28, 30)), (0.16, (130, 130, 134))):
        canvas.fill(_ring((x + 0.55 * unit, ground - 0.3 * unit), share * unit), tone)


def _bush(canvas: Canvas, x: float, ground: float, unit: float, rng: np.random.Generator) -> None:
    for _ in range(45):
        px, up = rng.normal(0, 0.3), abs(rng.normal(0, 0.28))
        tone = rng.uniform(0.55, 1.3)
        leaf = _ring((x + unit * px, ground - unit * up), unit * rng.uniform(0.05, 0.13))
        canvas.fill(leaf, (min(66 * tone, 255), min(94 * tone, 255), 48 * tone))
        canvas.raise_to(leaf, 0.0)


def draw_occluder(
    canvas: Canvas, name: str, foot: tuple[float, float], unit: float, rng: np.random.Generator
) -> None:
    """Draw a thing a little nearer than the person.

    Args:
        canvas: Drawn on with its present owner.
        name: A name of `OCCLUDERS` other than "person".
        foot: Pixel where the person stands.
        unit: Pixels per metre at the person.
        rng: Source of place and colours.
    """
    side = float(rng.choice([-1, 1]))
    ground = foot[1] + unit * rng.uniform(0.05, 0.25)
    x = foot[0] + side * unit * rng.uniform(0.05, 0.4)
    bright = named_colour(rng, str(rng.choice(["red", "blue", "green", "yellow", "white", "gray"])))
    dull = named_colour(rng, str(rng.choice(["gray", "black", "white", "brown"])))
    if name == "bicycle":
        _bicycle(canvas, x, ground, unit, bright)
    elif name == "car":
        _car(canvas, foot[0] - unit * rng.uniform(-0.15, 0.5), ground + 0.2 * unit, unit,
             bright if rng.random() < 0.4 else dull)  # fmt: skip
    elif name == "bush":
        _bush(canvas, x, ground + 0.1 * unit, unit, rng)
    elif name in ("post", "pillar"):
        wide = unit * (rng.uniform(0.05, 0.09) if name == "post" else rng.uniform(0.2, 0.3))
        _box(canvas, x - wide, x + wide, 0, ground, dull)
        lit = (min(dull[0] * 1.3, 255), min(dull[1] * 1.3, 255), min(dull[2] * 1.3, 255))
        _box(canvas, x - wide, x - 0.4 * wide, 0, ground, lit)
    elif name == "sign":
        _box(canvas, x - 0.03 * unit, x + 0.03 * unit, ground - 1.5 * unit, ground, (120, 122, 126))
        top = ground - unit * rng.uniform(1.0, 1.5)
        _box(canvas, x - 0.22 * unit, x + 0.22 * unit, top, top + 0.5 * unit, bright)
        _box(
            canvas,
            x - 0.15 * unit,
            x + 0.15 * unit,
            top + 0.1 * unit,
            top + 0.18 * unit,
            (240, 240, 238),
        )
    elif name == "rail":
        for up in (0.45, 0.95):
            y = ground - up * unit
            _box(
                canvas, 0, canvas.relief.shape[1], y - 0.03 * unit, y + 0.03 * unit, (150, 152, 158)
            )
        for post in np.arange(x % (0.7 * unit), canvas.relief.shape[1], 0.7 * unit):
            _box(canvas, post, post + 0.05 * unit, ground - unit, ground, (138, 140, 146))
    else:
        raise ValueError(f"unknown occluder {name!r}")
