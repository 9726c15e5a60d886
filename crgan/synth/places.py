"""The places the demo cameras look at: one larger image per camera, drawn once in perspective.

A place is drawn with a pinhole camera over flat ground: a ground point (X metres to the right,
Z metres away) falls at column `centre + focal X / Z`, row `horizon + focal * mast / Z`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from crgan.synth.canvas import FloatArray
from crgan.synth.identity import Colour

WIDE, TALL = 1200, 640  # pixels of a place's image
_FOCAL = 620.0


@dataclass(frozen=True)
class Kind:
    """The look of a network's surroundings; colours are RGB 0-255."""

    grounds: tuple[Colour, ...]
    walls: tuple[Colour, ...]
    accents: tuple[Colour, ...]
    verges: tuple[Colour, ...]
    paving: float  # metres between joints; 0 for asphalt
    windows: float  # share of cameras with windows in the wall
    trees: int  # most trees
    roofed: bool


KINDS: dict[str, Kind] = {
    "market1501": Kind(  # a shop front on a sunny plaza
        grounds=((188, 172, 146), (176, 164, 148), (196, 178, 158)),
        walls=((196, 160, 118), (172, 116, 88), (206, 190, 160), (150, 168, 140)),
        accents=((200, 60, 44), (232, 186, 60), (60, 120, 76), (236, 232, 220)),
        verges=((112, 136, 64), (128, 142, 76)),
        paving=0.8,
        windows=0.8,
        trees=4,
        roofed=False,
    ),
    "dukemtmc": Kind(  # streets between stone buildings
        grounds=((104, 108, 114), (92, 96, 102), (120, 120, 122)),
        walls=((112, 110, 108), (96, 92, 100), (124, 112, 104), (84, 92, 104)),
        accents=((230, 230, 224), (216, 190, 70), (60, 80, 130), (120, 44, 40)),
        verges=((70, 92, 58), (84, 96, 62), (106, 92, 70)),
        paving=0.0,
        windows=0.9,
        trees=6,
        roofed=False,
    ),
    "campus": Kind(  # brick halls, lawns and paths
        grounds=((150, 138, 124), (132, 128, 122), (164, 150, 138)),
        walls=((150, 92, 76), (168, 110, 86), (188, 176, 158), (126, 98, 90)),
        accents=((40, 84, 120), (214, 208, 190), (180, 120, 50), (70, 110, 70)),
        verges=((92, 124, 60), (104, 134, 70)),
        paving=0.5,
        windows=0.95,
        trees=7,
        roofed=False,
    ),
    "cuhk03": Kind(  # covered walks of a campus
        grounds=((168, 156, 158), (190, 178, 170), (148, 140, 150)),
        walls=((208, 204, 210), (186, 186, 196), (176, 160, 160), (214, 206, 194)),
        accents=((110, 60, 120), (60, 110, 130), (224, 218, 206), (150, 40, 60)),
        verges=((140, 128, 128), (96, 120, 84)),
        paving=0.6,
        windows=0.5,
        trees=1,
        roofed=True,
    ),
}


@dataclass(frozen=True)
class Place:
    """A camera's surroundings."""

    image: FloatArray  # (TALL, WIDE, 3) float32 RGB, 0-255
    horizon: float  # row
    mast: float  # camera height, metres

    def ground_row(self, distance: float) -> float:
        """Pixels row of the ground at a distance in metres."""
        return self.horizon + _FOCAL * self.mast / distance

    def metre(self, distance: float) -> float:
        """Pixels per metre at a distance."""
        return _FOCAL / distance


class _Painter:
    """Draws in ground coordinates on one image."""

    def __init__(self, horizon: float, mast: float) -> None:
        self.image = np.zeros((TALL, WIDE, 3), np.float32)
        self.horizon, self.mast = horizon, mast

    def point(self, x: float, z: float, up: float = 0.0) -> tuple[float, float]:
        z = max(z, 0.6)
        return WIDE / 2 + _FOCAL * x / z, self.horizon + _FOCAL * (self.mast - up) / z

    def polygon(self, corners: list[tuple[float, float]], colour: Colour) -> None:
        points = np.clip(np.array(corners), -8000, 8000)
        cv2.fillPoly(self.image, [np.round(points * 16).astype(np.int32)], colour, cv2.LINE_8, 4)

    def upright(
        self, x0: float, x1: float, low: float, high: float, z: float, colour: Colour
    ) -> None:
        """A rectangle facing the camera."""
        corners = [(x0, low), (x1, low), (x1, high), (x0, high)]
        self.polygon([self.point(x, z, up) for x, up in corners], colour)

    def flat(self, corners: list[tuple[float, float]], colour: Colour) -> None:
        """A polygon on the ground, corners (x, z)."""
        self.polygon([self.point(x, z) for x, z in corners], colour)

    def stroke(self, ends: list[tuple[float, float, float]], thick: float, colour: Colour) -> None:
        """A line through points (x, z, up); `thick` in metres at the first point's distance."""
        points = np.array([self.point(x, z, up) for x, z, up in ends])
        width = max(round(thick * _FOCAL / max(ends[0][1], 0.6)), 1)
        cv2.polylines(self.image, [np.round(points).astype(np.int32)], False, colour, width)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(value * factor, 255.0) for value in colour)
    return red, green, blue


def _vary(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    base = np.array(colours[int(rng.integers(len(colours)))]) * rng.uniform(0.85, 1.12)
    red, green, blue = np.clip(base + rng.normal(0, 5, 3), 0, 255)
    return float(red), float(green), float(blue)


def _ground(paint: _Painter, kind: Kind, rng: np.random.Generator) -> None:
    base = _vary(rng, kind.grounds)
    paint.image[:] = base
    if kind.paving:
        joint = _shade(base, 0.82)
        step = kind.paving * rng.uniform(0.8, 1.6)
        for x in np.arange(-24, 24, step):
            paint.stroke([(x, 2.2, 0), (x, 40, 0)], 0.012, joint)
        for z in np.arange(2.2, 22, step):
            paint.stroke([(-24, z, 0), (24, z, 0)], 0.03, joint)
        for _ in range(int(rng.integers(60, 150))):
            x, z = step * rng.integers(-12, 12), 2.2 + step * rng.integers(0, 16)
            tone = _shade(base, rng.uniform(0.72, 1.18))
            paint.flat([(x, z), (x + step, z), (x + step, z + step), (x, z + step)], tone)
    else:
        for _ in range(int(rng.integers(15, 40))):
            x, z, span = rng.uniform(-7, 7), rng.uniform(3, 14), rng.uniform(0.3, 2.0)
            tone = _shade(base, rng.uniform(0.74, 1.15))
            paint.flat(
                [(x, z), (x + span, z), (x + span * 1.2, z + span), (x + 0.2, z + span)], tone
            )
        mark = kind.accents[int(rng.integers(2))]
        slope = rng.uniform(-0.6, 0.6)
        for offset in rng.uniform(-5, 5, int(rng.integers(1, 4))):
            ends = [
                (offset, 2.3),
                (offset + 0.14, 2.3),
                (offset + 0.14 + 14 * slope, 24),
                (offset + 14 * slope, 24),
            ]
            paint.flat(ends, _shade(mark, 0.85))
        if rng.random() < 0.5:
            start, z = rng.uniform(-4, 1), rng.uniform(4, 8)
            for bar in range(6):
                x = start + 0.9 * bar
                paint.flat([(x, z), (x + 0.45, z), (x + 0.45, z + 3), (x, z + 3)], (205, 205, 200))
    if rng.random() < 0.75:  # a strip of lawn or kerb across or along
        verge = _vary(rng, kind.verges)
        edge, depth = rng.uniform(5.5, 11), rng.uniform(1, 4)
        tilt = rng.uniform(-0.3, 0.3)
        near = [(-30, edge - 30 * tilt), (30, edge + 30 * tilt)]
        corners = [*near, (30, edge + 30 * tilt + depth), (-30, edge - 30 * tilt + depth)]
        paint.flat([(x, max(z, 3.0)) for x, z in corners], verge)
        paint.stroke([(x, max(z, 3.0), 0) for x, z in near], 0.12, _shade(base, 1.15))


def _wall(paint: _Painter, kind: Kind, rng: np.random.Generator, far: float) -> None:
    base = _vary(rng, kind.walls)
    height = 2.9 if kind.roofed else rng.uniform(5, 9)
    if not kind.roofed:
        paint.image[: int(paint.horizon) + 1] = (198, 208, 218)
    paint.upright(-60, 60, 0, height, far, base)
    for up in np.arange(0.3, height, 0.42):  # courses
        paint.stroke([(-40, far, up), (40, far, up)], 0.02, _shade(base, 0.93))
    paint.upright(-60, 60, 0, 0.25, far, _shade(base, 0.7))
    if rng.random() < kind.windows:
        pitch, wide = rng.uniform(1.6, 3.2), rng.uniform(0.8, 1.5)
        sill, head = rng.uniform(0.3, 1.0), rng.uniform(2.1, 2.6)
        glass = _vary(rng, ((60, 72, 84), (92, 104, 112), (48, 52, 60)))
        for x in np.arange(-20, 20, pitch):
            tone = _shade(glass, rng.uniform(0.7, 1.3))
            paint.upright(x, x + wide, sill, head, far, _shade(base, 1.2))
            paint.upright(x + 0.06, x + wide - 0.06, sill + 0.06, head - 0.06, far, tone)
            paint.stroke(
                [(x + wide / 2, far, sill), (x + wide / 2, far, head)], 0.05, _shade(base, 1.1)
            )
            if height > 5:
                paint.upright(x, x + wide, 3.4, 4.9, far, tone)
    for _ in range(int(rng.integers(5, 13))):  # signs, posters, doors
        x, low = rng.uniform(-8, 8), rng.choice([0.0, 1.0, 2.0])
        wide, tall = rng.uniform(0.5, 2.2), rng.uniform(0.4, 1.1) + (1.2 if low == 0 else 0)
        paint.upright(x, x + wide, low, low + tall, far - 0.05, _vary(rng, kind.accents))
        paint.upright(
            x + 0.1,
            x + wide * 0.6,
            low + tall * 0.55,
            low + tall * 0.8,
            far - 0.05,
            (235, 232, 226),
        )
    if kind.roofed:
        for x in np.arange(-16, 16, rng.uniform(2.5, 4.5)):
            near = rng.uniform(0.55, 0.8) * far
            paint.upright(x, x + 0.45, 0, 3.4, near, _shade(base, rng.uniform(0.85, 1.1)))
            paint.upright(x + 0.33, x + 0.45, 0, 3.4, near, _shade(base, 0.75))


def paint_bicycle(paint: _Painter, x: float, z: float, colour: Colour) -> None:
    """A parked bicycle seen from its side."""
    rubber = (36.0, 36.0, 38.0)
    for hub in (x - 0.52, x + 0.52):
        turn = np.linspace(0, 2 * np.pi, 20)
        rim = [(hub + 0.33 * np.cos(a), z, 0.34 + 0.33 * np.sin(a)) for a in turn]
        paint.stroke(rim, 0.05, rubber)
    frame = [(-0.52, 0.34), (-0.2, 0.85), (0.38, 0.85), (0, 0.34), (-0.2, 0.85), (-0.52, 0.34)]
    paint.stroke([(x + px, z, up) for px, up in frame], 0.05, colour)
    paint.stroke([(x + 0.52, z, 0.34), (x + 0.36, z, 1.0), (x + 0.5, z, 1.05)], 0.045, colour)
    paint.stroke([(x - 0.3, z, 0.92), (x - 0.1, z, 0.92)], 0.07, rubber)


def paint_car(paint: _Painter, x: float, z: float, colour: Colour) -> None:
    """A parked car seen from its side."""
    outline = [
        (-2.1, 0.3),
        (-2.1, 0.8),
        (-1.5, 0.95),
        (-0.9, 1.42),
        (0.8, 1.42),
        (1.4, 0.95),
        (2.1, 0.85),
        (2.1, 0.3),
    ]
    paint.polygon([paint.point(x + px, z, up) for px, up in outline], colour)
    glass = [(-1.3, 0.95), (-0.82, 1.34), (0.72, 1.34), (1.2, 0.95)]
    paint.polygon([paint.point(x + px, z, up) for px, up in glass], (52, 60, 70))
    paint.upright(x - 2.1, x + 2.1, 0.22, 0.45, z, _shade(colour, 0.6))
    for hub in (-1.3, 1.3):
        turn = np.linspace(0, 2 * np.pi, 18)
        wheel = [paint.point(x + hub + 0.33 * np.cos(a), z, 0.33 + 0.33 * np.sin(a)) for a in turn]
        paint.polygon(wheel, (30, 30, 32))


def _furniture(paint: _Painter, kind: Kind, rng: np.random.Generator, far: float) -> None:
    """Trees, parked things, bins, poles; far ones first."""
    things: list[tuple[float, str]] = [
        (float(rng.uniform(0.5, 0.97)) * far, "tree")
        for _ in range(int(rng.integers(0, kind.trees + 1)))
    ]
    names = ("bench", "bin", "rail") if kind.roofed else ("bicycle", "car", "bin", "bench", "hedge")
    things += [
        (float(rng.uniform(0.45, 0.95)) * far, str(rng.choice(names)))
        for _ in range(int(rng.integers(8, 15)))
    ]
    for z, name in sorted(things, reverse=True):
        x = float(rng.uniform(-0.8, 0.8)) * z
        shadow = [(x - 0.9, z - 0.3), (x + 0.9, z - 0.3), (x + 1.1, z + 0.3), (x - 0.7, z + 0.3)]
        paint.flat(shadow, tuple(0.72 * paint.image[-1, 0].astype(float)))
        colour = _vary(rng, kind.accents)
        if name == "tree":
            _tree(paint, rng, x, z)
        elif name == "bicycle":
            for k in range(int(rng.integers(1, 4))):
                paint_bicycle(paint, x + 0.6 * k, z, _vary(rng, kind.accents))
        elif name == "car":
            paint_car(paint, x, z, _vary(rng, (*kind.accents, (150, 150, 155), (50, 54, 62))))
        elif name == "bin":
            paint.upright(x, x + 0.55, 0, 0.95, z, _shade(colour, 0.7))
            paint.upright(x, x + 0.55, 0.8, 0.95, z, _shade(colour, 0.5))
        elif name == "bench":
            paint.upright(x, x + 1.7, 0.38, 0.48, z, (112, 84, 60))
            paint.upright(x, x + 1.7, 0.62, 0.85, z, (120, 90, 64))
            for leg in (x + 0.1, x + 1.55):
                paint.upright(leg, leg + 0.08, 0, 0.85, z, (60, 60, 62))
        elif name == "rail":
            for up in (0.5, 1.0):
                paint.stroke([(x - 2, z, up), (x + 2, z, up)], 0.06, (150, 152, 158))
            for post in np.arange(x - 2, x + 2.1, 0.8):
                paint.stroke([(post, z, 0), (post, z, 1.0)], 0.05, (140, 142, 148))
        else:
            paint.upright(x - 1.2, x + 1.2, 0, 0.7, z, (58, 82, 46))
            _leaves(paint, rng, (x, z, 0.6), (1.3, 0.35), (64, 92, 50))


def _leaves(paint: _Painter, rng: np.random.Generator, where: tuple[float, float, float],
            size: tuple[float, float], colour: Colour) -> None:  # fmt: skip
    x, z, up = where
    for _ in range(60):
        a, r = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        centre = paint.point(x + size[0] * r * np.cos(a), z, up + size[1] * r * np.sin(a))
        tone = _shade(colour, rng.uniform(0.6, 1.35))
        radius = max(int(0.12 * _FOCAL / z * rng.uniform(0.6, 1.5)), 1)
        cv2.circle(paint.image, (int(centre[0]), int(centre[1])), radius, tone, -1)


def _tree(paint: _Painter, rng: np.random.Generator, x: float, z: float) -> None:
    girth = rng.uniform(0.12, 0.22)
    paint.upright(x - girth, x + girth, 0, 2.6, z, (88, 70, 54))
    paint.upright(x + 0.3 * girth, x + girth, 0, 2.6, z, (62, 50, 40))
    _leaves(paint, rng, (x, z, 3.1), (1.4, 1.0), (78, 104, 56))


def _texture(rng: np.random.Generator, horizon: float) -> FloatArray:
    """Grain and stains (TALL, WIDE, 1), around 1: finer towards the horizon."""
    total = np.zeros((TALL, WIDE), np.float32)
    for cell, weight in ((3, 0.06), (9, 0.06), (60, 0.06)):
        grid = rng.standard_normal((TALL // cell + 2, WIDE // (2 * cell) + 2)).astype(np.float32)
        total += weight * cv2.resize(grid, (WIDE, TALL), interpolation=cv2.INTER_LINEAR)
    calm = np.where(np.arange(TALL) < horizon, 0.6, 1.0).astype(np.float32)
    return 1 + total[..., None] * calm[:, None, None]


def build_place(kind: Kind, mast: float, rng: np.random.Generator) -> Place:
    """Draw a camera's surroundings.

    Args:
        kind: The network's style.
        mast: Camera height in metres; a high one sees people against the ground.
        rng: Source of all choices.
    """
    horizon = float(rng.uniform(0.1, 0.2) * TALL)
    paint = _Painter(horizon, mast)
    far = float(rng.uniform(9, 15))
    _ground(paint, kind, rng)
    _wall(paint, kind, rng, far)
    _furniture(paint, kind, rng, far)
    image = cv2.GaussianBlur(paint.image, (0, 0), 0.8) * _texture(rng, horizon)
    return Place(np.clip(image, 0, 255).astype(np.float32), horizon, mast)
