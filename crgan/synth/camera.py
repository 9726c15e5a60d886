"""The demo's cameras: where each stands, what it looks at, its light, optics and colours."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crgan.synth.canvas import FloatArray
from crgan.synth.config import DATASETS, DemoConfig
from crgan.synth.places import KINDS, Colour, Kind, Place, build_place


@dataclass(frozen=True)
class Style:
    """Ranges (low, high) from which a network's cameras draw; gain and offset are per channel."""

    gain: tuple[float, float, float]
    offset: tuple[float, float, float]  # grey levels
    gamma: tuple[float, float]
    saturation: tuple[float, float]
    brightness: tuple[float, float]
    sunny: float  # share of visits in direct sun
    mast: tuple[float, float]  # camera height, metres
    blur: tuple[float, float]  # sigma, sensor pixels
    noise: tuple[float, float]  # sigma, grey levels
    detail: tuple[float, float]  # sensor pixels over stored pixels
    quality: tuple[float, float]  # JPEG
    size: tuple[float, float]  # stored height over the configured one


_COLOUR = ("gain", "offset", "gamma", "saturation")
_LIGHT = ("brightness", "sunny")
_OPTICS = ("mast", "blur", "noise", "detail", "quality", "size")
STYLES: dict[str, Style] = {
    "market1501": Style(
        gain=(1.05, 1.0, 0.92), offset=(5, 3, -3), gamma=(0.88, 1.0), saturation=(0.92, 1.08),
        brightness=(0.94, 1.12), sunny=0.65, mast=(2.0, 3.4), blur=(0.3, 0.7), noise=(5, 9),
        detail=(0.75, 1.0), quality=(55, 75), size=(1.0, 1.0),
    ),
    "dukemtmc": Style(
        gain=(0.84, 0.95, 1.12), offset=(0, 4, 16), gamma=(0.95, 1.12), saturation=(0.5, 0.7),
        brightness=(1.05, 1.25), sunny=0.25, mast=(2.8, 4.8), blur=(0.35, 0.75), noise=(5, 9),
        detail=(0.65, 0.9), quality=(50, 72), size=(0.9, 1.5),
    ),
    "cuhk03": Style(
        gain=(0.89, 1.0, 0.87), offset=(16, 20, 14), gamma=(0.85, 1.0), saturation=(0.65, 0.85),
        brightness=(0.85, 1.0), sunny=0.15, mast=(2.6, 4.2), blur=(0.35, 0.7), noise=(4, 7),
        detail=(0.55, 0.8), quality=(50, 75), size=(1.0, 1.4),
    ),
    "campus": Style(
        gain=(1.1, 0.88, 1.06), offset=(28, 10, 26), gamma=(1.05, 1.2), saturation=(0.5, 0.7),
        brightness=(0.78, 0.96), sunny=0.2, mast=(3.2, 5.2), blur=(0.38, 0.78), noise=(5, 9),
        detail=(0.58, 0.82), quality=(55, 75), size=(0.9, 1.3),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Camera:
    """One camera of a network, the same for all its images."""

    place: Place
    style: Style
    gain: FloatArray  # (3,)
    offset: FloatArray  # (3,), grey levels
    gamma: float
    saturation: float
    brightness: float
    blur: float
    noise: float
    detail: float
    quality: int
    sun: float  # azimuth of the light, radians; 0 from behind the camera, +pi/2 from the right
    path: float  # yaw of the usual walking direction, radians; many look along a walk


def _towards(own: object, middle: object, gap: float) -> object:
    values = np.asarray(middle) + gap * (np.asarray(own, float) - np.asarray(middle))
    return tuple(float(v) for v in values) if values.ndim else float(values)


def style_of(dataset: str, config: DemoConfig) -> Style:
    """The network's style, each concern moved from the networks' mean by its gap."""
    own = STYLES[dataset]
    gaps = {
        **dict.fromkeys(_COLOUR, config.colour_gap),
        **dict.fromkeys(_LIGHT, config.light_gap),
        **dict.fromkeys(_OPTICS, config.camera_gap),
    }
    moved = {}
    for name, gap in gaps.items():
        mean = np.mean([getattr(STYLES[other], name) for other in DATASETS], axis=0)
        moved[name] = _towards(getattr(own, name), mean, gap)
    return replace(own, **moved)  # type: ignore[arg-type]


def kind_of(dataset: str, config: DemoConfig) -> Kind:
    """The network's surroundings, their colours moved from the networks' mean by the gap."""
    own = KINDS[dataset]
    moved: dict[str, tuple[Colour, ...]] = {}
    for name in ("grounds", "walls", "verges"):
        mean = np.mean([np.mean(getattr(kind, name), axis=0) for kind in KINDS.values()], axis=0)
        colours = mean + config.background_gap * (np.array(getattr(own, name)) - mean)
        moved[name] = tuple((float(r), float(g), float(b)) for r, g, b in np.clip(colours, 0, 255))
    return replace(own, grounds=moved["grounds"], walls=moved["walls"], verges=moved["verges"])


def build_camera(dataset: str, number: int, config: DemoConfig) -> Camera:
    """Camera `number` (from 1) of a network; the same for the same configuration."""
    rng = np.random.default_rng([config.seed, DATASETS.index(dataset), 1, number])
    style = style_of(dataset, config)
    place = build_place(kind_of(dataset, config), float(rng.uniform(*style.mast)), rng)
    spread = 0.07 * config.colour_gap  # of cameras' white balances
    return Camera(
        place=place,
        style=style,
        gain=np.array(style.gain) * (1 + spread * rng.uniform(-1, 1, 3)),
        offset=np.array(style.offset) + config.colour_gap * rng.uniform(-4, 4, 3),
        gamma=float(rng.uniform(*style.gamma)),
        saturation=float(rng.uniform(*style.saturation)),
        brightness=float(rng.uniform(*style.brightness)),
        blur=max(float(rng.uniform(*style.blur)), 0.0),
        noise=max(float(rng.uniform(*style.noise)), 0.0),
        detail=float(np.clip(rng.uniform(*style.detail), 0.3, 1.0)),
        quality=int(np.clip(rng.uniform(*style.quality), 30, 98)),
        sun=float(rng.uniform(-np.pi, np.pi)),
        path=float(rng.normal(0, 0.3) if rng.random() < 0.6 else rng.uniform(-np.pi, np.pi)),
    )
