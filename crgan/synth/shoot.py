"""One image: a person in front of a camera, cropped by a detector, as the sensor saw it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from crgan.synth.body import draw_person, sample_pose
from crgan.synth.camera import Camera
from crgan.synth.canvas import BEHIND, FRONT, PERSON, Canvas, FloatArray, View
from crgan.synth.config import DemoConfig
from crgan.synth.identity import Identity, Wardrobe, sample_identity
from crgan.synth.occluders import OCCLUDERS, draw_occluder

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_SUPERSAMPLE = 3


@dataclass(frozen=True)
class Visit:
    """What stays the same while a person passes a camera once."""

    yaw: float  # walking direction as the camera sees it
    distance: float  # metres
    across: float  # column of the place's image
    light: FloatArray  # (3,) level and white balance
    gamma: float
    saturation: float
    sunlight: float  # share of direct light, 0 overcast


@dataclass(frozen=True)
class Crop:
    """Where the detector put its box."""

    centre: float  # person's column, share of the width
    feet: float  # person's feet, share of the height
    tall: float  # person's height, share of the box's


ALIGNED = Crop(0.5, 0.95, 0.88)


def sample_crop(rng: np.random.Generator, quality: str) -> Crop:
    """A detector's box: `detected` is roughly right, `junk` badly off."""
    if quality == "detected":
        return Crop(*(float(v) for v in rng.normal((0.5, 0.945, 0.86), (0.06, 0.038, 0.065))))
    low = rng.random() < 0.5  # only the legs, or a small person far off centre
    tall = rng.uniform(1.3, 2.0) if low else rng.uniform(0.4, 0.6)
    feet = rng.uniform(0.9, 1.9) if low else rng.uniform(0.6, 1.0)
    return Crop(float(rng.uniform(-0.1, 1.1)), float(feet), float(tall))


def sample_visit(camera: Camera, rng: np.random.Generator, config: DemoConfig) -> Visit:
    """A walk past the camera, along its path one way or the other, at some time of day."""
    way = np.pi * rng.integers(2)
    sunny = rng.random() < camera.style.sunny
    level, warm, green, contrast, vivid = config.weather * rng.normal(
        0, (0.08, 0.035, 0.012, 0.05, 0.05)
    )
    return Visit(
        yaw=float(camera.path + way + rng.normal(0, 0.4)),
        distance=float(rng.uniform(4.2, 7.5)),
        across=float(rng.uniform(200, 1000)),
        light=camera.brightness * np.exp(level + np.array([warm, green, -warm])),
        gamma=float(camera.gamma * np.exp(contrast)),
        saturation=float(camera.saturation * np.exp(vivid)),
        sunlight=float(rng.uniform(0.3, 0.6) if sunny else rng.uniform(0.12, 0.25)),
    )


def _draw(
    canvas: Canvas, view: View, who: Identity | None, metre: float, dataset: str,
    wardrobe: Wardrobe, config: DemoConfig, rng: np.random.Generator,
) -> None:  # fmt: skip
    """The person (if any) with passers-by behind and things in front."""

    def passer(owner: int, apart: tuple[float, float], rise: float) -> None:
        shift = float(rng.choice([-1, 1]) * rng.uniform(*apart)) * view.scale
        origin = (view.origin[0] + shift, view.origin[1] + rise * view.scale)
        size = view.scale * (1 + 0.6 * rise)
        canvas.owner = owner
        other = View(origin, size, float(rng.uniform(-np.pi, np.pi)), view.elevation)
        draw_person(canvas, other, sample_identity(rng, wardrobe), sample_pose(rng))

    if rng.random() < 1.5 * config.occlusion:
        passer(BEHIND, (0.2, 0.4), -float(rng.uniform(0.03, 0.15)))
    if who is not None:
        canvas.owner = PERSON
        draw_person(canvas, view, who, sample_pose(rng))
    if rng.random() < config.occlusion:
        name = str(rng.choice(OCCLUDERS[dataset]))
        if name == "person":
            passer(FRONT, (0.19, 0.36), float(rng.uniform(0.02, 0.1)))
        else:
            canvas.owner = FRONT
            draw_occluder(canvas, name, view.origin, metre, rng)


def _backdrop(
    camera: Camera, visit: Visit, foot: tuple[float, float], unit: float, size: tuple[int, int],
    step: float,
) -> FloatArray:  # fmt: skip
    """The place behind the box: (height, width, 3) float32; `unit` pixels a metre at the feet."""
    zoom = camera.place.metre(visit.distance) / unit
    x = visit.across + step
    y = camera.place.ground_row(visit.distance)
    move = np.array([[zoom, 0, x - zoom * foot[0]], [0, zoom, y - zoom * foot[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        camera.place.image, move, size[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )


def _shadow(
    person: FloatArray, foot: tuple[float, float], tall: float, sun: float, sunlight: float
) -> FloatArray:
    """How much light reaches the ground (H, W): a contact shadow, and a cast one in the sun."""
    height, width = person.shape
    lean = -np.sin(sun) * 1.1
    flat = 0.34 * np.cos(sun)
    flat = np.copysign(max(abs(flat), 0.08), flat)  # the shadow's rise per unit of height
    # A body point `h` above the feet shades the ground at (h * lean, h * flat) from them.
    inverse = np.array(
        [[1, -lean / flat, foot[1] * lean / flat], [0, -1 / flat, foot[1] * (1 + 1 / flat)]]
    )
    cast = cv2.warpAffine(
        person, inverse, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    cast = cv2.GaussianBlur(cast, (0, 0), 0.012 * tall)
    touch = np.zeros_like(person)
    axes = (max(int(0.15 * tall), 1), max(int(0.03 * tall), 1))
    cv2.ellipse(touch, (int(foot[0]), int(foot[1])), axes, 0, 0, 360, 1.0, -1)
    touch = cv2.GaussianBlur(touch, (0, 0), 0.03 * tall)
    return (1 - 0.6 * sunlight * cast) * (1 - 0.4 * touch)


def _dapple(size: tuple[int, int], visit: Visit, rng: np.random.Generator) -> FloatArray:
    """Light that leaves, walls and awnings let through (H, W): the edge of a shadow over all."""
    high, wide = size
    if rng.random() > 0.1 + 0.5 * visit.sunlight:
        return np.ones(size, np.float32)
    turn, depth = rng.uniform(-np.pi, np.pi), rng.uniform(0.35, 0.65)
    rows, columns = np.mgrid[0:high, 0:wide].astype(np.float32)
    across = np.cos(turn) * (columns - rng.uniform(0.2, 0.8) * wide)
    across += np.sin(turn) * (rows - rng.uniform(0.2, 0.8) * high)
    if rng.random() < 0.5:  # a bar of shadow: a trunk, a post
        across = np.abs(across) - rng.uniform(0.08, 0.2) * high
    return 1 - depth / (1 + np.exp(np.clip(across / (0.012 * high), -30, 30)))


def _sense(scene: FloatArray, camera: Camera, visit: Visit, rng: np.random.Generator) -> FloatArray:
    """Light level, colour, blur and noise of the sensor; float32 RGB, 0-255."""
    height, width = scene.shape[:2]
    slope = rng.uniform(-0.1, 0.1, 2)
    ramp = (
        1
        + slope[0] * np.linspace(-1, 1, width)[None, :]
        + slope[1] * np.linspace(-1, 1, height)[:, None]
    )
    scene = scene * (ramp[..., None] * camera.gain * visit.light).astype(np.float32)
    grey = scene @ np.array([0.3, 0.59, 0.11], np.float32)
    scene = grey[..., None] + visit.saturation * (scene - grey[..., None]) + camera.offset
    scene = cv2.GaussianBlur(scene, (0, 0), max(camera.blur * rng.uniform(0.8, 1.25), 0.05))
    if rng.random() < 0.15:
        reach = int(rng.integers(2, 5))
        scene = cv2.blur(scene, (reach, 1))  # moving past a slow shutter
    scene = 255 * np.clip(scene / 255, 0, 1) ** visit.gamma
    return scene + camera.noise * rng.standard_normal(scene.shape)


def shoot(
    dataset: str, camera: Camera, visit: Visit, who: Identity | None, crop: Crop,
    wardrobe: Wardrobe, config: DemoConfig, rng: np.random.Generator,
) -> tuple[Pixels, Mask]:  # fmt: skip
    """Render one crop.

    Args:
        dataset: Network name: chooses what may stand in front.
        camera, visit: Where and when.
        who: The person; None for a detection on nothing.
        crop: The detector's box.
        wardrobe: How passers-by dress.
        config: Sizes and occlusion.
        rng: Source of pose, noise and everything of the moment.

    Returns:
        RGB image (H, W, 3) before JPEG, and the mask (H, W) of the person's visible pixels.
    """
    grow = float(rng.uniform(*camera.style.size))
    size = max(round(config.height * grow), 16), max(round(config.width * grow), 8)
    high, wide = config.height * _SUPERSAMPLE, config.width * _SUPERSAMPLE
    stature = who.stature if who else 1.7
    visit = replace(visit, distance=visit.distance * float(rng.uniform(0.8, 1.2)))
    elevation = float(np.arctan2(camera.place.mast - 0.9, visit.distance))
    scale = high * crop.tall / np.cos(elevation)
    foot = (crop.centre * wide, crop.feet * high)
    view = View(foot, scale, visit.yaw + float(rng.normal(0, 0.25)), elevation)
    metre = scale / stature
    canvas = Canvas(high, wide)
    _draw(canvas, view, who, metre, dataset, wardrobe, config, rng)
    light = np.array([0.75 * np.sin(camera.sun), -0.55, 0.55 + 0.35 * np.cos(camera.sun)])
    drawn = canvas.shaded(
        light / np.linalg.norm(light), 0.98 - 0.62 * visit.sunlight, 0.1 + 0.85 * visit.sunlight,
        1.0, rng,
    )  # fmt: skip

    sensor = max(round(size[0] * camera.detail), 16), max(round(size[1] * camera.detail), 8)
    owner = canvas.pixels[..., 3]
    shrink = sensor[0] / high
    solid = cv2.resize((owner > 0).astype(np.float32), sensor[::-1], interpolation=cv2.INTER_AREA)
    drawn = cv2.resize(drawn, sensor[::-1], interpolation=cv2.INTER_AREA)
    near = (foot[0] * shrink, foot[1] * shrink)
    scene = _backdrop(camera, visit, near, metre * shrink, sensor, float(rng.uniform(-260, 260)))
    scene *= _shadow(solid, near, scale * shrink, camera.sun, visit.sunlight)[..., None]
    scene = (drawn + scene * (1 - solid[..., None])) * _dapple(sensor, visit, rng)[..., None]
    sensed = np.clip(_sense(scene, camera, visit, rng), 0, 255).astype(np.uint8)
    image = cv2.resize(sensed, size[::-1], interpolation=cv2.INTER_CUBIC)
    share = cv2.resize(
        (owner == PERSON).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA
    )
    return np.asarray(image, np.uint8), np.asarray(share) > 0.5
