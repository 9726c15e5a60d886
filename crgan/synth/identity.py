"""Who a demo pedestrian is: build, hair, clothes, bags, and the attributes that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]

# HSV boxes (OpenCV: hue 0-180) from which a colour of that name is drawn.
PALETTE: dict[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    "black": ((0, 180), (0, 90), (14, 56)),
    "white": ((0, 180), (0, 28), (195, 250)),
    "gray": ((0, 180), (0, 45), (72, 180)),
    "red": ((-7, 7), (130, 225), (95, 220)),
    "purple": ((128, 152), (60, 160), (60, 190)),
    "yellow": ((19, 30), (105, 215), (150, 245)),
    "blue": ((97, 122), (75, 215), (50, 215)),
    "green": ((36, 88), (60, 180), (45, 180)),
    "brown": ((7, 19), (85, 175), (50, 150)),
    "pink": ((156, 174), (45, 135), (160, 240)),
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


_UPPER = {
    "black": 4, "white": 3, "gray": 2.5, "red": 3, "purple": 1.5, "yellow": 2, "blue": 3.5,
    "green": 2.5, "brown": 1.5, "pink": 1.5,
}  # fmt: skip
_LOWER = {
    "black": 4, "white": 1.5, "gray": 3, "blue": 4, "green": 1.5, "brown": 2.5, "pink": 0.7,
    "red": 0.8, "purple": 0.6,
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
        upper={**_UPPER, "white": 5, "black": 3, "yellow": 2.5, "pink": 2},
        lower={**_LOWER, "black": 3.5, "white": 2},
        tops={"tshirt": 6, "shirt": 3, "hoodie": 1, "jacket": 1, "coat": 0.2, "dress": 2},
        bottoms={"trousers": 4, "shorts": 4, "skirt": 1.5},
        short_sleeves=0.85,
        backpack=0.27,
        bag=0.24,
        handbag=0.12,
        hat=0.04,
    ),
    "dukemtmc": Wardrobe(  # winter in the open
        upper={**_UPPER, "black": 5, "gray": 3, "blue": 4, "white": 2},
        lower={**_LOWER, "black": 4.5, "blue": 4.5},
        tops={"tshirt": 1, "shirt": 2, "hoodie": 3, "jacket": 5, "coat": 4, "dress": 0.3},
        bottoms={"trousers": 9, "shorts": 0.7, "skirt": 0.7},
        short_sleeves=0.4,
        backpack=0.38,
        bag=0.16,
        handbag=0.08,
        hat=0.14,
    ),
    "cuhk03": Wardrobe(  # mild weather, under a roof
        upper={**_UPPER, "white": 4},
        lower={**_LOWER, "gray": 4},
        tops={"tshirt": 3, "shirt": 4, "hoodie": 2, "jacket": 2, "coat": 0.7, "dress": 1},
        bottoms={"trousers": 6, "shorts": 2, "skirt": 1.5},
        short_sleeves=0.55,
        backpack=0.3,
        bag=0.24,
        handbag=0.12,
        hat=0.03,
    ),
}


@dataclass(frozen=True)
class Identity:
    """One person's lasting appearance. Lengths in units of stature unless said otherwise."""

    stature: float  # metres
    build: float  # width factor, 1 = average
    shoulders: float
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
    sleeve_colour: Colour
    pattern: str  # plain, stripes, yoke, logo, check, open, band
    pattern_size: float
    long_sleeves: bool
    bottom: str
    bottom_name: str
    bottom_colour: Colour
    leg_length: float  # where a short garment ends: 0 at the hip, 1 at the ankle
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
    """An RGB colour (0-255) that one would call `name`."""
    hue, saturation, value = (rng.uniform(*span) for span in PALETTE[name])
    pixel = np.array([[[hue % 180, saturation, value]]], dtype=np.uint8)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    return float(red), float(green), float(blue)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...], spread: float) -> Colour:
    base = np.array(colours[int(rng.integers(len(colours)))])
    red, green, blue = np.clip(base * rng.uniform(1 - spread, 1 + spread), 5, 250)
    return float(red), float(green), float(blue)


def sample_identity(rng: np.random.Generator, wardrobe: Wardrobe) -> Identity:
    """Draw one person."""
    female = bool(rng.random() < 0.45)
    top = _choose(rng, wardrobe.tops)
    if top == "dress" and not female:
        top = "tshirt"
    bottom = "skirt" if top == "dress" else _choose(rng, wardrobe.bottoms)
    if bottom == "skirt" and not female:
        bottom = "trousers"
    top_name, bottom_name = _choose(rng, wardrobe.upper), _choose(rng, wardrobe.lower)
    top_colour = named_colour(rng, top_name)
    bottom_colour = named_colour(rng, bottom_name)
    if top == "dress":
        bottom_name, bottom_colour = top_name, top_colour
    second = named_colour(rng, _choose(rng, wardrobe.upper))
    patterns = {"plain": 4, "stripes": 1.8, "yoke": 1.8, "logo": 2, "check": 1.2, "band": 1.6}
    layered = top in ("jacket", "coat", "hoodie")
    if layered or top == "shirt":
        patterns["open"] = 2.5
    pattern = _choose(rng, patterns)
    styles = (
        {"long": 4, "ponytail": 3, "bun": 1, "short": 2}
        if female
        else {"short": 8, "bald": 1, "long": 0.5}
    )

    def maybe(share: float, names: Mapping[str, float]) -> Colour | None:
        colour = named_colour(rng, _choose(rng, names))
        return colour if rng.random() < share else None

    gear = {
        "black": 5,
        "blue": 2,
        "red": 2,
        "gray": 2,
        "brown": 2,
        "green": 1,
        "white": 1,
        "pink": 1,
        "purple": 1,
    }
    shoes = {"black": 5, "white": 3, "gray": 2, "brown": 2, "red": 1, "blue": 1}
    return Identity(
        stature=float(rng.normal(1.63 if female else 1.75, 0.06)),
        build=float(np.clip(rng.normal(1.0, 0.1), 0.82, 1.3)),
        shoulders=float(rng.normal(0.93 if female else 1.05, 0.04)),
        female=female,
        age=int(rng.choice([1, 2, 3, 4], p=[0.03, 0.72, 0.21, 0.04])),
        skin=_pick(rng, SKINS, 0.06),
        hair=_pick(rng, HAIRS, 0.12),
        hair_style=_choose(rng, styles),
        beard=bool(not female and rng.random() < 0.2),
        hat=maybe(wardrobe.hat, gear),
        top=top,
        top_name=top_name,
        top_colour=top_colour,
        second_colour=second,
        sleeve_colour=second if rng.random() < 0.25 else top_colour,
        pattern=pattern,
        pattern_size=float(rng.uniform(0.6, 1.4)),
        long_sleeves=bool(layered or rng.random() > wardrobe.short_sleeves),
        bottom=bottom,
        bottom_name=bottom_name,
        bottom_colour=bottom_colour,
        leg_length=float(rng.uniform(0.3, 0.58)),
        shoe=named_colour(rng, _choose(rng, shoes)),
        boots=bool(rng.random() < 0.12),
        backpack=maybe(wardrobe.backpack, gear),
        bag=maybe(wardrobe.bag, gear),
        handbag=maybe(wardrobe.handbag, gear),
        bag_side=int(rng.choice([-1, 1])),
    )  # fmt: skip
