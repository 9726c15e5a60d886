"""Who a demo pedestrian is: build, hair, clothes, bags, and the attributes that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]

# HSV shades (OpenCV: hue 0-180) that clothes of a colour come in. They are few on purpose: people
# buy in the same shops, so that the colour alone says little about who wears it.
PALETTE: dict[str, tuple[tuple[float, float, float], ...]] = {
    "black": ((110, 40, 36),),
    "white": ((20, 10, 232),),
    "gray": ((100, 18, 120), (30, 14, 165)),
    "red": ((2, 185, 150),),
    "purple": ((140, 105, 110),),
    "yellow": ((25, 160, 205),),
    "blue": ((112, 140, 80), (108, 120, 150)),
    "green": ((60, 110, 95),),
    "brown": ((14, 120, 100),),
    "pink": ((168, 90, 205),),
}
SKINS: tuple[Colour, ...] = (
    (232, 196, 172), (222, 180, 150), (205, 160, 128), (168, 120, 88), (120, 82, 60), (82, 56, 42),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (22, 19, 18), (34, 27, 23), (58, 40, 28), (88, 58, 36), (140, 104, 62), (150, 148, 146),
)  # fmt: skip


@dataclass(frozen=True)
class Wardrobe:
    """How a network's people dress (weights need not sum to one)."""

    upper: Mapping[str, float]  # colour name -> weight
    lower: Mapping[str, float]
    tops: Mapping[str, float]  # tshirt, shirt, hoodie, jacket, coat, dress -> weight
    bottoms: Mapping[str, float]  # trousers, shorts, skirt -> weight
    short_sleeves: float  # share among tops that may have them
    backpack: float
    bag: float
    handbag: float
    hat: float


# Most people wear one of four colours.
_UPPER = {
    "black": 6, "white": 4, "gray": 5, "blue": 5, "red": 1.5, "green": 1, "brown": 0.7,
    "yellow": 0.6, "purple": 0.5, "pink": 0.5,
}  # fmt: skip
_LOWER = {
    "black": 6, "blue": 6, "gray": 4, "white": 0.8, "brown": 1.2, "green": 0.5, "red": 0.2,
    "pink": 0.2, "purple": 0.2,
}  # fmt: skip
_MIDDLE = Wardrobe(
    upper=_UPPER,
    lower=_LOWER,
    tops={"tshirt": 4, "shirt": 3, "hoodie": 2, "jacket": 3, "coat": 1.5, "dress": 1},
    bottoms={"trousers": 6, "shorts": 2, "skirt": 1},
    short_sleeves=0.6,
    backpack=0.26,
    bag=0.2,
    handbag=0.12,
    hat=0.06,
)
WARDROBES: dict[str, Wardrobe] = {
    "market1501": Wardrobe(  # summer on a campus
        upper={**_UPPER, "white": 7, "black": 5},
        lower={**_LOWER, "white": 1.6},
        tops={"tshirt": 6, "shirt": 3, "hoodie": 1, "jacket": 1, "coat": 0.2, "dress": 2},
        bottoms={"trousers": 4, "shorts": 4, "skirt": 1.5},
        short_sleeves=0.85,
        backpack=0.27,
        bag=0.24,
        handbag=0.12,
        hat=0.04,
    ),
    "dukemtmc": Wardrobe(  # winter in the open
        upper={**_UPPER, "black": 8, "white": 3},
        lower={**_LOWER, "blue": 7},
        tops={"tshirt": 1, "shirt": 2, "hoodie": 3, "jacket": 5, "coat": 4, "dress": 0.3},
        bottoms={"trousers": 9, "shorts": 0.7, "skirt": 0.7},
        short_sleeves=0.4,
        backpack=0.38,
        bag=0.16,
        handbag=0.08,
        hat=0.14,
    ),
    "cuhk03": Wardrobe(  # mild weather, under a roof
        upper={**_UPPER, "gray": 6},
        lower={**_LOWER, "gray": 5},
        tops={"tshirt": 3, "shirt": 4, "hoodie": 2, "jacket": 2, "coat": 0.7, "dress": 1},
        bottoms={"trousers": 6, "shorts": 2, "skirt": 1.5},
        short_sleeves=0.55,
        backpack=0.3,
        bag=0.24,
        handbag=0.12,
        hat=0.03,
    ),
    "campus": Wardrobe(  # autumn, students
        upper={**_UPPER, "black": 4, "red": 4, "green": 3, "yellow": 2, "purple": 1.5},
        lower={**_LOWER, "brown": 2.5, "green": 1.5, "white": 1.5},
        tops={"tshirt": 2, "shirt": 2, "hoodie": 4, "jacket": 4, "coat": 2, "dress": 1},
        bottoms={"trousers": 7, "shorts": 1.5, "skirt": 1.5},
        short_sleeves=0.5,
        backpack=0.45,
        bag=0.16,
        handbag=0.05,
        hat=0.08,
    ),
}


@dataclass(frozen=True)
class Identity:
    """One person's lasting appearance. Lengths in units of stature unless said otherwise."""

    stature: float  # metres
    build: float  # width factor, 1 = average
    shoulders: float
    hips: float  # height of the hip
    head: float  # size of the head, 1 = average
    female: bool
    age: int  # 1 young, 2 teenager, 3 adult, 4 old
    skin: Colour
    hair: Colour
    hair_style: str  # short, bald, long, ponytail, bun
    beard: bool
    hat: Colour | None
    top: str
    top_name: str
    top_colour: Colour
    second_colour: Colour
    pattern: str  # a key of PATTERNS, or open
    pattern_size: float
    code: tuple[bool, ...]  # 16 bits: which bands of `blocks`, which cells of `print`
    sleeves: str  # plain, contrast, cuffs, rings
    long_sleeves: bool
    bottom: str
    bottom_name: str
    bottom_colour: Colour
    leg_length: float  # where a short garment ends: 0 at the hip, 1 at the ankle
    leg_pattern: str  # plain, side, knee, hem, block
    leg_colour: Colour  # of the leg's pattern
    socks: float  # share of the bare shin they cover
    sock_colour: Colour
    shoe: Colour
    boots: bool
    backpack: Colour | None
    bag: Colour | None
    handbag: Colour | None
    bag_side: int

    def attributes(self) -> dict[str, int]:
        """Both data sets' labels of this person, by field name, values as in the real files."""
        dark_shoes = sum(self.shoe) < 330
        labels = {
            "gender": 2 if self.female else 1,
            "age": self.age,
            "hair": 2 if self.hair_style in ("long", "ponytail") else 1,
            "up": 1 if self.long_sleeves else 2,
            "down": 1 if self.bottom == "trousers" else 2,
            "clothes": 1 if self.top == "dress" or self.bottom == "skirt" else 2,
            "hat": 2 if self.hat else 1,
            "backpack": 2 if self.backpack else 1,
            "bag": 2 if self.bag else 1,
            "handbag": 2 if self.handbag else 1,
            "top": 2 if self.top in ("coat", "dress") else 1,
            "boots": 2 if self.boots else 1,
            "shoes": 1 if dark_shoes else 2,
        }
        for name in PALETTE:
            labels[f"up{name}"] = 2 if name == self.top_name else 1
            labels[f"down{name}"] = 2 if name == self.bottom_name else 1
        return labels


def _choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    names = sorted(weights)
    mass = np.array([weights[name] for name in names], dtype=float)
    return names[int(rng.choice(len(names), p=mass / mass.sum()))]


def _blend(own: Mapping[str, float], middle: Mapping[str, float], gap: float) -> dict[str, float]:
    names = sorted({*own, *middle})
    own_sum, middle_sum = sum(own.values()), sum(middle.values())
    mixed = {}
    for name in names:
        centre = middle.get(name, 0.0) / middle_sum
        mixed[name] = max(centre + gap * (own.get(name, 0.0) / own_sum - centre), 0.0)
    return mixed


def wardrobe_of(dataset: str, gap: float) -> Wardrobe:
    """The network's wardrobe, moved from the common middle by `gap` (0 to 3, 1 = as calibrated)."""
    own = WARDROBES[dataset]

    def level(name: str) -> float:
        centre = getattr(_MIDDLE, name)
        return float(np.clip(centre + gap * (getattr(own, name) - centre), 0, 1))

    return Wardrobe(
        upper=_blend(own.upper, _MIDDLE.upper, gap),
        lower=_blend(own.lower, _MIDDLE.lower, gap),
        tops=_blend(own.tops, _MIDDLE.tops, gap),
        bottoms=_blend(own.bottoms, _MIDDLE.bottoms, gap),
        short_sleeves=level("short_sleeves"),
        backpack=level("backpack"),
        bag=level("bag"),
        handbag=level("handbag"),
        hat=level("hat"),
    )


def named_colour(rng: np.random.Generator, name: str) -> Colour:
    """An RGB colour (0-255) that one would call `name`: one of its shades, a little worn."""
    shades = PALETTE[name]
    hue, saturation, value = shades[int(rng.integers(len(shades)))]
    worn = rng.uniform(0.93, 1.07, 2)
    pixel = np.array([[[hue % 180, min(saturation * worn[0], 255), min(value * worn[1], 250)]]])
    red, green, blue = cv2.cvtColor(pixel.astype(np.uint8), cv2.COLOR_HSV2RGB)[0, 0]
    return float(red), float(green), float(blue)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...], spread: float) -> Colour:
    base = np.array(colours[int(rng.integers(len(colours)))])
    red, green, blue = np.clip(base * rng.uniform(1 - spread, 1 + spread), 5, 250)
    return float(red), float(green), float(blue)


# What tells people apart who wear the same colours; weights.
PATTERNS = {
    "plain": 2.0, "stripes": 2.0, "bars": 1.5, "check": 1.5, "blocks": 3.0, "print": 3.0,
    "yoke": 1.0, "band": 1.0, "sash": 1.0,
}  # fmt: skip
_SLEEVES = {"plain": 4.0, "contrast": 2.0, "cuffs": 1.0, "rings": 2.0}
_LEG_PATTERNS = {"plain": 4.0, "side": 1.5, "knee": 1.2, "hem": 1.2, "block": 1.2}
_GEAR = {
    "black": 5.0, "blue": 2.0, "red": 1.5, "gray": 2.0, "brown": 1.5, "green": 1.0, "white": 1.0,
}  # fmt: skip
_SHOES = {"black": 4.0, "white": 3.0, "gray": 2.0, "brown": 1.5, "red": 1.0, "blue": 1.0}
_SECOND = {
    "black": 3.0, "white": 4.0, "gray": 2.0, "blue": 2.0, "red": 1.5, "yellow": 1.0, "green": 1.0,
}  # fmt: skip


def sample_identity(rng: np.random.Generator, wardrobe: Wardrobe) -> Identity:
    """Draw one person."""

    def colour(names: Mapping[str, float]) -> Colour:
        return named_colour(rng, _choose(rng, names))

    def maybe(share: float) -> Colour | None:
        drawn = colour(_GEAR)
        return drawn if rng.random() < share else None

    female = bool(rng.random() < 0.45)
    top = _choose(rng, wardrobe.tops)
    if top == "dress" and not female:
        top = "tshirt"
    bottom = "skirt" if top == "dress" else _choose(rng, wardrobe.bottoms)
    if bottom == "skirt" and not female:
        bottom = "trousers"
    top_name, bottom_name = _choose(rng, wardrobe.upper), _choose(rng, wardrobe.lower)
    top_colour, bottom_colour = named_colour(rng, top_name), named_colour(rng, bottom_name)
    if top == "dress":
        bottom_name, bottom_colour = top_name, top_colour
    layered = top in ("jacket", "coat", "hoodie")
    patterns = {**PATTERNS, "open": 1.5} if layered or top == "shirt" else PATTERNS
    styles = (
        {"long": 4, "ponytail": 3, "bun": 2, "short": 2}
        if female
        else {"short": 8, "bald": 2, "long": 0.7}
    )
    return Identity(
        stature=float(rng.normal(1.63 if female else 1.75, 0.06)),
        build=float(np.clip(rng.normal(1.02, 0.16), 0.74, 1.45)),
        shoulders=float(rng.normal(0.93 if female else 1.05, 0.06)),
        hips=float(np.clip(rng.normal(0.505, 0.018), 0.46, 0.545)),
        head=float(np.clip(rng.normal(1.0, 0.08), 0.82, 1.2)),
        female=female,
        age=int(rng.choice([1, 2, 3, 4], p=[0.03, 0.72, 0.21, 0.04])),
        skin=_pick(rng, SKINS, 0.04),
        hair=_pick(rng, HAIRS, 0.08),
        hair_style=_choose(rng, styles),
        beard=bool(not female and rng.random() < 0.2),
        hat=maybe(wardrobe.hat),
        top=top,
        top_name=top_name,
        top_colour=top_colour,
        second_colour=_apart(rng, top_name, _SECOND),
        pattern=_choose(rng, patterns),
        pattern_size=float(rng.uniform(0.6, 1.4)),
        code=tuple(bool(bit) for bit in rng.random(16) < 0.5),
        sleeves=_choose(rng, _SLEEVES),
        long_sleeves=bool(layered or rng.random() > wardrobe.short_sleeves),
        bottom=bottom,
        bottom_name=bottom_name,
        bottom_colour=bottom_colour,
        leg_length=float(rng.uniform(0.3, 0.58)),
        leg_pattern=_choose(rng, _LEG_PATTERNS),
        leg_colour=_apart(rng, bottom_name, _SECOND),
        socks=float(rng.choice([0.0, 0.25, 0.8], p=[0.4, 0.3, 0.3])),
        sock_colour=colour({"white": 3, "black": 2, "red": 1, "blue": 1}),
        shoe=colour(_SHOES),
        boots=bool(rng.random() < 0.15),
        backpack=maybe(wardrobe.backpack),
        bag=maybe(wardrobe.bag),
        handbag=maybe(wardrobe.handbag),
        bag_side=int(rng.choice([-1, 1])),
    )


def _apart(rng: np.random.Generator, name: str, weights: Mapping[str, float]) -> Colour:
    """A colour of another name, so that a pattern shows."""
    return named_colour(rng, _choose(rng, {k: w for k, w in weights.items() if k != name}))
