"""A supersampled drawing surface that keeps colour, owner and relief, and shades by the relief."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from crgan.synth.identity import Colour

FloatArray = npt.NDArray[Any]  # float32 or float64
BACKGROUND, BEHIND, PERSON, FRONT = 0, 1, 2, 3  # owners of a pixel, far to near

HIP = 0.505  # height of the hips

Point = FloatArray | tuple[float, float, float]

_SHIFT = 4  # sub-pixel bits of cv2's polygon filler
_ARC = np.linspace(-np.pi / 2, np.pi / 2, 7)
# A rounded part is drawn as nested shapes: (share of the radius, height in radii), outermost first.
_RELIEF = tuple((share, float(np.sqrt(1 - share**2))) for share in (1.0, 0.86, 0.65, 0.4))
_RISE = tuple((angle, float(np.cos(angle))) for angle in np.radians((90.0, 66.0, 42.0, 16.0)))


def _noise_tile(seed: int, size: int = 640) -> FloatArray:
    """Folds: smooth noise a little longer along the vertical, zero mean, unit deviation."""
    rng = np.random.default_rng(seed)
    tile = np.zeros((size, size), np.float32)
    for sigma_x, sigma_y, weight in ((2, 4, 0.6), (5, 4, 1.6), (9, 13, 2.2)):
        layer = cv2.GaussianBlur(
            rng.standard_normal((size, size)).astype(np.float32), (0, 0), sigma_x, sigmaY=sigma_y
        )
        tile += weight * layer / layer.std()
    return tile / tile.std()


_FOLDS = _noise_tile(7)


@dataclass(frozen=True)
class View:
    """From body coordinates to canvas pixels (orthographic, looking down by `elevation`).

    Body axes: x to the person's right, y forward, z up, in units of stature; the origin is the
    ground below the hips. `yaw` 0 faces the camera, +90 degrees walks to the viewer's right.
    """

    origin: tuple[float, float]  # pixel of the body origin
    scale: float  # pixels per unit
    yaw: float  # radians
    elevation: float  # radians
    hips: float = HIP  # where the body's hips, drawn at `HIP`, come to lie: long legs or short ones

    def place(self, points: npt.ArrayLike) -> FloatArray:
        """Project (N, 3) body points to (N, 2) pixels."""
        body = np.asarray(points, dtype=float).reshape(-1, 3)
        if self.hips != HIP:
            z = body[:, 2]
            above = self.hips + (z - HIP) * ((1 - self.hips) / (1 - HIP))
            body = body.copy()
            body[:, 2] = np.where(z < HIP, z * (self.hips / HIP), above)
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        fall, rise = math.sin(self.elevation), math.cos(self.elevation)
        axes = self.scale * np.array([[-c, s * fall], [s, c * fall], [0.0, -rise]])
        return body @ axes + self.origin

    def nearness(self, point: Point) -> float:
        """How far towards the camera a body point lies, in units of stature."""
        flat = point[0] * math.sin(self.yaw) + point[1] * math.cos(self.yaw)
        return flat * math.cos(self.elevation) + point[2] * math.sin(self.elevation)


@dataclass(frozen=True)
class Tube:
    """An upright surface with elliptic sections: rows of (z, half width, half depth), z rising."""

    rows: tuple[tuple[float, float, float], ...]
    centre: tuple[float, float] = (0.0, 0.0)  # x, y

    def at(self, angle: FloatArray, z: FloatArray) -> FloatArray:
        """Surface points (N, 3) at N angles and heights; angle 0 is the front, +pi/2 the right."""
        levels, half_widths, half_depths = zip(*self.rows, strict=True)
        points = np.empty((len(z), 3))
        points[:, 0] = self.centre[0] + np.interp(z, levels, half_widths) * np.sin(angle)
        points[:, 1] = self.centre[1] + np.interp(z, levels, half_depths) * np.cos(angle)
        points[:, 2] = z
        return points

    def facing(self, yaw: float) -> float:
        """Surface angle that points at the camera."""
        _, half_width, half_depth = self.rows[len(self.rows) // 2]
        return float(np.arctan2(np.sin(yaw) / half_width, np.cos(yaw) / half_depth))


class Canvas:
    """Colour and owner of each pixel, and the relief that shading needs."""

    def __init__(self, height: int, width: int) -> None:
        self.pixels = np.zeros((height, width, 4), np.uint8)  # RGB and owner
        self.relief = np.zeros((height, width), np.float32)  # pixels towards the camera
        self.owner = PERSON

    def fill(self, points: FloatArray, colour: Colour) -> None:
        """Fill a polygon given in pixels."""
        corners = np.round(points * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(self.pixels, [corners], (*colour, self.owner), cv2.LINE_8, _SHIFT)

    def raise_to(self, points: FloatArray, height: float) -> None:
        """Set the relief inside a polygon, in pixels towards the camera."""
        corners = np.round(points * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(self.relief, [corners], height, cv2.LINE_8, _SHIFT)

    def limb(
        self, view: View, start: Point, end: Point, radii: tuple[float, float],
        colour: Colour,
    ) -> None:  # fmt: skip
        """A tapering capsule between two body points; radii in units of stature."""
        ends = view.place(np.array([start, end]))
        outline = _Capsule(ends)
        first, last = radii[0] * view.scale, radii[1] * view.scale
        base = 0.5 * (view.nearness(start) + view.nearness(end)) * view.scale
        self.fill(outline.at(first, last), colour)
        for share, height in _RELIEF:
            bulge = height * 0.5 * (first + last)
            self.raise_to(outline.at(first * share, last * share), 0.4 * base + bulge)

    def ball(self, view: View, centre: Point, radius: float, tall: float, colour: Colour,
             relief: bool = True) -> None:  # fmt: skip
        """An upright ellipsoid; `radius` in units of stature, `tall` its height over its width."""
        middle = view.place(centre)[0]
        turn = np.linspace(0, 2 * np.pi, 18, endpoint=False)
        ring = np.stack([np.cos(turn), tall * np.sin(turn)], axis=1) * radius * view.scale
        self.fill(middle + ring, colour)
        base = 0.4 * view.nearness(centre) * view.scale
        if relief:
            for share, height in _RELIEF:
                self.raise_to(middle + ring * share, base + height * radius * view.scale)

    def tube(self, view: View, tube: Tube, colour: Colour) -> None:
        """The visible side of an upright surface."""
        low, high = tube.rows[0][0], tube.rows[-1][0]
        front = tube.facing(view.yaw)
        depth = 0.5 * (tube.rows[0][2] + tube.rows[-1][2]) * view.scale
        base = 0.4 * view.nearness((*tube.centre, 0.5 * (low + high))) * view.scale
        self.fill(
            view.place(_outline(tube, front - np.pi / 2, front + np.pi / 2, low, high)), colour
        )
        for reach, height in _RISE:
            outline = _outline(tube, front - reach, front + reach, low, high)
            self.raise_to(view.place(outline), base + height * depth)

    def patch(
        self, view: View, tube: Tube, angles: tuple[float, float], heights: tuple[float, float],
        colour: Colour,
    ) -> None:  # fmt: skip
        """Paint the visible part of a region of a tube's surface (no relief of its own)."""
        front = tube.facing(view.yaw)
        middle = 0.5 * (angles[0] + angles[1])
        # Bring the region into the half turn around the camera's side before clipping.
        shift = 2 * np.pi * np.round((front - middle) / (2 * np.pi))
        start = max(angles[0] + shift, front - np.pi / 2)
        end = min(angles[1] + shift, front + np.pi / 2)
        if end - start > 0.02:
            self.fill(view.place(_outline(tube, start, end, *heights)), colour)

    def line(
        self, view: View, tube: Tube, knots: npt.ArrayLike, width: float, colour: Colour
    ) -> None:
        """A strap over a tube's surface through (angle, z) knots; `width` in units of stature."""
        path = np.asarray(knots, dtype=float)
        along = np.linspace(0, len(path) - 1, 10)
        angle = np.interp(along, np.arange(len(path)), path[:, 0])
        z = np.interp(along, np.arange(len(path)), path[:, 1])
        seen = np.cos(angle - tube.facing(view.yaw)) > 0
        points = view.place(tube.at(angle, z))
        thickness = max(round(width * view.scale), 1)
        for k in range(len(points) - 1):
            if seen[k] and seen[k + 1]:
                piece = [np.round(points[k : k + 2]).astype(np.int32)]
                cv2.polylines(self.pixels, piece, False, (*colour, self.owner), thickness)

    def shaded(
        self, light: FloatArray, ambient: float, diffuse: float, folds: float,
        rng: np.random.Generator,
    ) -> FloatArray:  # fmt: skip
        """The drawing as float32 RGB (0-255), lit from the unit vector `light`.

        `light` points right, down and towards the camera; `folds` is the depth of the creases.
        """
        height, width = (length // 2 for length in self.relief.shape)  # light varies slowly
        top = int(rng.integers(0, _FOLDS.shape[0] - height))
        left = int(rng.integers(0, _FOLDS.shape[1] - width))
        relief = 0.5 * np.asarray(
            cv2.resize(self.relief, (width, height), interpolation=cv2.INTER_AREA)
        )
        soft = np.asarray(cv2.GaussianBlur(relief, (0, 0), height / 170))
        crease = np.float32(folds * height / 384) * _FOLDS[top : top + height, left : left + width]
        relief = soft + crease
        slope_x = np.asarray(cv2.Sobel(relief, cv2.CV_32F, 1, 0, scale=1 / 8))
        slope_y = np.asarray(cv2.Sobel(relief, cv2.CV_32F, 0, 1, scale=1 / 8))
        facing = light[2] - light[0] * slope_x - light[1] * slope_y
        facing /= np.sqrt(1 + slope_x**2 + slope_y**2)
        shade = (ambient + diffuse * np.maximum(facing, 0)).astype(np.float32)
        full = cv2.resize(shade, self.relief.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return self.pixels[..., :3] * np.asarray(full)[..., None]


class _Capsule:
    """Outlines of one segment at several radii: the directions are worked out once."""

    def __init__(self, ends: FloatArray) -> None:
        along = ends[1] - ends[0]
        turn = math.atan2(along[1], along[0])
        cap = np.stack([np.cos(turn + _ARC), np.sin(turn + _ARC)], axis=1)
        self._rim = np.concatenate([cap, -cap])
        self._spine = np.repeat(ends[::-1], len(cap), axis=0)

    def at(self, start: float, end: float) -> FloatArray:
        """Border (N, 2) for the radii at the two ends, pixels."""
        half = len(_ARC)
        points = self._spine.copy()
        points[:half] += end * self._rim[:half]
        points[half:] += start * self._rim[half:]
        return points


def _outline(tube: Tube, start: float, end: float, low: float, high: float) -> FloatArray:
    """The border (N, 3) of the region start..end, low..high of a tube's surface."""
    across = np.linspace(start, end, 6)
    up = np.array([low, *(row[0] for row in tube.rows if low < row[0] < high), high])
    angles = np.concatenate([across, np.full(len(up), end), across[::-1], np.full(len(up), start)])
    heights = np.concatenate([np.full(6, high), up[::-1], np.full(6, low), up])
    return tube.at(angles, heights)
