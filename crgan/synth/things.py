"""Images of things, no person among them: what the demo's small CNN first learns to see on.

They stand for ImageNet: boxes, balls, poles, bottles and signs with stripes, checks and spots in
any colour, before the places of no network of the benchmark.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from crgan.synth.canvas import FRONT, Canvas, FloatArray, Tube, View
from crgan.synth.identity import Colour
from crgan.synth.occluders import draw_occluder
from crgan.synth.places import TALL, WIDE, Kind, Place, build_place

_DRAWN = (192, 96)  # height, width of the canvas
_PLACES = 24
_OUTDOORS = ("bicycle", "car", "bush", "post", "sign", "rail")


def images_of_things(count: int, size: tuple[int, int], seed: int) -> npt.NDArray[np.uint8]:
    """Draw `count` images, uint8 (count, H, W, 3) RGB; the same seed gives the same bytes."""
    rng = np.random.default_rng(seed)
    places = [build_place(_any_kind(rng), float(rng.uniform(2, 5)), rng) for _ in range(_PLACES)]
    return np.stack([_image(places[k % _PLACES], size, rng) for k in range(count)])


def _any_colour(rng: np.random.Generator) -> Colour:
    value = 255 * rng.random() ** 0.7
    red, green, blue = np.clip(value * (1 + rng.uniform(0, 1) * rng.uniform(-1, 0.3, 3)), 5, 250)
    return float(red), float(green), float(blue)


def _any_kind(rng: np.random.Generator) -> Kind:
    def colours() -> tuple[Colour, ...]:
        return tuple(_any_colour(rng) for _ in range(4))

    return Kind(
        grounds=colours(),
        walls=colours(),
        accents=colours(),
        verges=colours(),
        paving=float(rng.choice([0.0, 0.6, 1.0])),
        windows=0.7,
        trees=5,
        roofed=bool(rng.random() < 0.3),
    )


def _image(place: Place, size: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    high, wide = _DRAWN
    canvas = Canvas(high, wide)
    canvas.owner = FRONT
    for _ in range(int(rng.integers(1, 5))):
        if rng.random() < 0.25:
            foot = (float(rng.uniform(0, wide)), float(rng.uniform(0.6, 1.0) * high))
            unit = float(rng.uniform(50, 130))
            draw_occluder(canvas, str(rng.choice(_OUTDOORS)), foot, unit, rng)
        else:
            _thing(canvas, rng)
    light = np.array([rng.uniform(-0.7, 0.7), -0.5, 0.6])
    drawn = canvas.shaded(light / np.linalg.norm(light), 0.75, 0.45, 1.0, rng)
    solid = (canvas.pixels[..., 3] > 0)[..., None]
    scene = np.where(solid, drawn, _behind(place, rng))
    scene = cv2.resize(scene.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    scene = np.asarray(scene) * np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.06, 3))
    scene = 255 * np.clip(scene / 255, 0, 1) ** np.exp(rng.normal(0, 0.15))
    return np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)


def _behind(place: Place, rng: np.random.Generator) -> FloatArray:
    high, wide = _DRAWN
    zoom = float(rng.uniform(0.6, 2.0))
    tall, broad = round(high * zoom), round(wide * zoom)
    top, left = int(rng.integers(0, TALL - tall)), int(rng.integers(0, WIDE - broad))
    part = place.image[top : top + tall, left : left + broad]
    return np.asarray(cv2.resize(part, (wide, high), interpolation=cv2.INTER_AREA))


def _thing(canvas: Canvas, rng: np.random.Generator) -> None:
    """A turned body (box, bottle, drum), a ball or a bar; the body with a pattern."""
    high, wide = _DRAWN
    where = (float(rng.uniform(0, wide)), float(rng.uniform(0.3, 1.1) * high))
    view = View(where, float(rng.uniform(40, 180)), float(rng.uniform(-3, 3)), 0.2)
    colour, second = _any_colour(rng), _any_colour(rng)
    kind = rng.random()
    if kind < 0.2:
        canvas.ball(view, (0, 0, 0.3), float(rng.uniform(0.05, 0.3)), rng.uniform(0.6, 1.6), colour)
        return
    if kind < 0.4:
        ends = rng.uniform(-0.4, 0.8, (2, 3))
        canvas.limb(view, ends[0], ends[1], tuple(rng.uniform(0.01, 0.1, 2)), colour)
        return
    levels = np.sort(rng.uniform(0, 1, 4)) + np.arange(4) * 0.02
    radii = rng.uniform(0.05, 0.3, (4, 2))
    tube = Tube(
        tuple((float(z), float(a), float(b)) for z, (a, b) in zip(levels, radii, strict=True))
    )
    canvas.tube(view, tube, colour)
    low, top = tube.rows[0][0], tube.rows[-1][0]
    pattern, step = rng.random(), float(rng.uniform(0.06, 0.25))
    if pattern < 0.55:  # rings, and with what follows a check
        for z in np.arange(low, top, step):
            for turn in (-np.pi, 0.0):
                end = min(float(z) + 0.5 * step, top)
                canvas.patch(view, tube, (turn, turn + np.pi), (float(z), end), second)
    if 0.4 < pattern < 0.75:
        for angle in np.arange(-np.pi, np.pi, 4 * step):
            span = (float(angle), float(angle) + 2 * step)
            canvas.patch(view, tube, span, (low, top), second)
    elif pattern > 0.75:
        for _ in range(int(rng.integers(1, 9))):
            angle, z = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(low, top))
            span = (z, min(z + float(rng.uniform(0.03, 0.2)), top))
            canvas.patch(view, tube, (angle, angle + float(rng.uniform(0.2, 1.2))), span, second)
