"""The articulated pedestrian: a walking skeleton dressed as its identity and drawn on a canvas.

Lengths are in units of stature; axes as in `canvas.View`: x right, y forward, z up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from crgan.synth.canvas import HIP, Canvas, FloatArray, Tube, View
from crgan.synth.identity import Colour, Identity

_HIP, _KNEE, _ANKLE, _SHOULDER, _WAIST = HIP, 0.275, 0.045, 0.81, 0.62
_STRAP_SHADE = 0.7


@dataclass(frozen=True)
class Pose:
    """One moment of a walk."""

    phase: float  # of the gait cycle, radians
    stride: float  # largest thigh angle, radians; near 0 when standing
    arm_swing: float  # largest upper-arm angle, radians
    elbows: tuple[float, float]  # left, right bend, radians
    lift: tuple[float, float]  # extra forward angle of the upper arms, radians
    lean: float  # forward lean of the trunk, stature units at the shoulders
    bob: float  # head offset sideways, stature units


def sample_pose(rng: np.random.Generator) -> Pose:
    """Mostly walking, sometimes standing; now and then a raised forearm (phone, cup, pocket)."""
    standing = rng.random() < 0.2
    elbows, lift = rng.uniform(0.1, 0.6, 2), np.zeros(2)
    if rng.random() < 0.22:
        side = int(rng.integers(2))
        elbows[side], lift[side] = rng.uniform(1.2, 2.2), rng.uniform(0.1, 0.6)
    return Pose(
        phase=float(rng.uniform(0, 2 * np.pi)),
        stride=float(rng.uniform(0, 0.1) if standing else rng.uniform(0.3, 0.55)),
        arm_swing=float(rng.uniform(0, 0.1) if standing else rng.uniform(0.2, 0.6)),
        elbows=(float(elbows[0]), float(elbows[1])),
        lift=(float(lift[0]), float(lift[1])),
        lean=float(rng.uniform(-0.005, 0.035)),
        bob=float(rng.normal(0, 0.006)),
    )


def _darker(colour: Colour, factor: float) -> Colour:
    red, green, blue = (float(np.clip(value * factor, 3, 252)) for value in colour)
    return red, green, blue


@dataclass(frozen=True)
class _Leg:
    hip: FloatArray
    knee: FloatArray
    ankle: FloatArray
    toe: FloatArray
    heel: FloatArray


def _leg(identity: Identity, pose: Pose, side: int) -> _Leg:
    """Joint positions; `side` -1 left, +1 right. The legs are half a cycle apart."""
    cycle = pose.phase + (np.pi if side > 0 else 0.0)
    thigh = pose.stride * np.sin(cycle)
    bend = 0.06 + 1.5 * pose.stride * max(np.cos(cycle), 0.0)  # the knee bends in the swing
    x = side * 0.05 * identity.build
    hip = np.array([x, 0.0, _HIP])
    upper, lower = _HIP - _KNEE, _KNEE - _ANKLE
    knee = hip + upper * np.array([side * 0.02, np.sin(thigh), -np.cos(thigh)])
    shin = thigh - bend
    ankle = knee + lower * np.array([-side * 0.02, np.sin(shin), -np.cos(shin)])
    tilt = 0.35 * (thigh - bend)
    along = np.array([side * 0.15, np.cos(tilt), np.sin(tilt)])
    return _Leg(
        hip,
        knee,
        ankle,
        ankle + 0.085 * along - [0, 0, 0.026],
        ankle - 0.025 * along - [0, 0, 0.02],
    )


def _lowest(identity: Identity, pose: Pose) -> float:
    legs = [_leg(identity, pose, side) for side in (-1, 1)]
    return min(float(min(leg.toe[2], leg.heel[2])) for leg in legs) - 0.016


def _draw_leg(canvas: Canvas, view: View, who: Identity, leg: _Leg, side: int) -> None:
    wide = who.build
    loose = 1.12 if who.bottom == "trousers" else 1.0
    covered = who.bottom == "trousers"
    cloth, second = who.bottom_colour, who.leg_colour
    thigh, shin = (0.064 * wide, 0.042 * wide * loose), (0.038 * wide * loose, 0.024 * loose)

    def along(share: float) -> FloatArray:
        return leg.knee + share * (leg.ankle - leg.knee)

    canvas.limb(view, leg.heel, leg.toe, (0.026, 0.021), who.shoe)
    canvas.limb(view, leg.knee, leg.ankle, shin, cloth if covered else who.skin)
    if not covered and who.socks:
        canvas.limb(view, along(1 - who.socks), leg.ankle, (0.034 * wide, 0.027), who.sock_colour)
    if covered and who.leg_pattern == "hem":
        canvas.limb(view, along(0.5), leg.ankle, (0.032 * wide * loose, 0.028 * loose), second)
    if who.boots:
        canvas.limb(view, along(0.5), leg.ankle, (0.036, 0.03), who.shoe)
    if who.bottom == "skirt":
        canvas.limb(view, leg.hip, leg.knee, (0.05 * wide, 0.036 * wide), who.skin)
        return
    canvas.limb(view, leg.hip, leg.knee, thigh, cloth if covered else who.skin)
    if not covered:
        reach = min(who.leg_length / 0.5, 1.15)
        hem = leg.hip + reach * (leg.knee - leg.hip)
        canvas.limb(view, leg.hip, hem, (0.066 * wide, 0.056 * wide), cloth)
    if who.leg_pattern == "side":
        end = leg.ankle if covered else leg.knee
        out = np.array([side * 0.035 * wide, 0.0, 0.0])
        canvas.limb(view, leg.hip + out, 0.5 * (leg.hip + end) + out, (0.014, 0.014), second)
        canvas.limb(view, 0.5 * (leg.hip + end) + out, end + 0.5 * out, (0.014, 0.012), second)
    elif who.leg_pattern == "knee" and covered:
        canvas.limb(view, leg.knee + 0.3 * (leg.hip - leg.knee), along(0.25),
                    (0.046 * wide * loose, 0.04 * wide * loose), second)  # fmt: skip
    elif who.leg_pattern == "block":
        low = leg.knee + 0.45 * (leg.hip - leg.knee)
        canvas.limb(view, leg.hip, low, (0.068 * wide, 0.058 * wide), second)


def _arm_joints(who: Identity, pose: Pose, side: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    cycle = pose.phase + (0.0 if side > 0 else np.pi)  # opposite to the leg of that side
    index = 0 if side < 0 else 1
    swing = pose.arm_swing * np.sin(cycle) + pose.lift[index]
    shoulder = np.array([side * 0.1 * who.shoulders * who.build**0.5, pose.lean, _SHOULDER - 0.014])
    out = 0.14 + 0.12 * (who.build - 0.9)
    elbow = shoulder + 0.165 * np.array([side * out, np.sin(swing), -np.cos(swing)])
    fore = swing + pose.elbows[index]
    hand = elbow + 0.15 * np.array([side * 0.02, np.sin(fore), -np.cos(fore)])
    return shoulder, elbow, hand


def _draw_arm(canvas: Canvas, view: View, who: Identity, pose: Pose, side: int) -> None:
    shoulder, elbow, hand = _arm_joints(who, pose, side)
    thick = 1.13 if who.top in ("coat", "jacket", "hoodie") else 1.0
    sleeve = who.second_colour if who.sleeves == "contrast" else who.top_colour
    fore = sleeve if who.long_sleeves else who.skin
    canvas.ball(view, hand + 0.02 * (hand - elbow) / 0.15, 0.02, 1.2, who.skin)
    canvas.limb(view, elbow, hand, (0.027 * thick, 0.021 * thick), fore)
    upper_end = elbow if who.long_sleeves else shoulder + 0.72 * (elbow - shoulder)
    if not who.long_sleeves:
        canvas.limb(view, shoulder, elbow, (0.032, 0.027), who.skin)
    canvas.limb(view, shoulder, upper_end, (0.036 * thick * who.build**0.5, 0.031 * thick), sleeve)
    if who.sleeves == "rings":
        for share in (0.25, 0.6):
            start = shoulder + share * (elbow - shoulder)
            canvas.limb(view, start, start + 0.12 * (elbow - shoulder),
                        (0.036 * thick, 0.035 * thick), who.second_colour)  # fmt: skip
    elif who.sleeves == "cuffs" and who.long_sleeves:
        canvas.limb(view, elbow + 0.45 * (hand - elbow), hand, (0.028 * thick, 0.024 * thick),
                    who.second_colour)  # fmt: skip
    if who.handbag and side == who.bag_side:
        low = hand - np.array([0, 0, 0.09])
        canvas.limb(view, hand, low, (0.008, 0.008), _darker(who.handbag, 0.6))
        bag = Tube(((low[2] - 0.075, 0.03, 0.075), (low[2] + 0.03, 0.025, 0.06)), (low[0], low[1]))
        canvas.tube(view, bag, who.handbag)


def _torso(who: Identity, pose: Pose) -> Tube:
    wide, shoulders = who.build, who.shoulders
    bulk = {"coat": 1.12, "jacket": 1.12, "hoodie": 1.08, "shirt": 1.02}.get(who.top, 1.0)
    hem = {"coat": 0.38, "jacket": 0.49, "hoodie": 0.49, "shirt": 0.485}.get(who.top, 0.5)
    waist = 0.074 if who.female else 0.084
    chest = 0.063 * wide * bulk
    return Tube(
        (
            (hem, 0.1 * wide * bulk * (1.06 if hem < 0.45 else 1), 0.072 * wide * bulk),
            (0.54, 0.097 * wide * bulk, 0.07 * wide * bulk),
            (_WAIST, waist * wide * bulk, 0.058 * wide * bulk),
            (0.72, 0.093 * wide**0.5 * bulk * shoulders, chest),
            (0.785, 0.108 * shoulders * wide**0.5, 0.056 * bulk),
            (0.822, 0.082 * shoulders, 0.045),
            (0.85, 0.036, 0.034),
        ),
        (0.0, 0.5 * pose.lean),
    )


def _skirt(who: Identity) -> Tube:
    hem = _HIP - who.leg_length * 0.5
    flare = 0.115 + 0.03 * who.pattern_size
    return Tube(
        (
            (hem, flare * who.build, 0.1 * who.build),
            (0.52, 0.099 * who.build, 0.075),
            (_WAIST, 0.076 * who.build, 0.06),
        )
    )


def _draw_pattern(canvas: Canvas, view: View, who: Identity, torso: Tube) -> None:
    """Clothing patterns: rings, blocks and panels painted on the trunk's surface."""
    second, size = who.second_colour, who.pattern_size
    low, high = torso.rows[0][0], 0.82

    def ring(z0: float, z1: float, colour: Colour = second) -> None:
        for start in (-np.pi, 0.0):  # two halves: a region wider than the view cannot be clipped
            canvas.patch(view, torso, (start, start + np.pi), (z0, min(z1, high)), colour)

    def bars(step: float, wide: float) -> None:
        for angle in np.arange(-np.pi, np.pi - 0.5 * step, step):
            canvas.patch(view, torso, (float(angle), float(angle) + wide), (low, high), second)

    if who.pattern == "stripes":
        step = 0.085 * size
        share = 0.3 + 0.1 * sum(who.code[:4])
        for z in np.arange(low + 0.02 * sum(who.code[4:7]), high - 0.02, step):
            ring(float(z), float(z) + share * step)
    elif who.pattern == "bars":
        step = 2 * np.pi / (8 + sum(who.code[:6]))
        bars(step, (0.3 + 0.1 * sum(who.code[6:9])) * step)
    elif who.pattern == "check":
        step = 0.1 * size
        for z in np.arange(low + 0.02, high - 0.02, step):
            ring(float(z), float(z) + 0.3 * step)
        bars(0.75 * size, 0.22 * size)
    elif who.pattern == "blocks":
        edges = np.linspace(low, high, 6)
        for row in range(5):
            if who.code[row]:
                ring(float(edges[row]), float(edges[row + 1]))
    elif who.pattern == "print":
        _draw_print(canvas, view, who, torso)
    elif who.pattern == "yoke":
        ring(0.74 - 0.06 * (size - 1), 0.84)
    elif who.pattern == "band":
        start = 0.56 + 0.14 * size / 1.4
        ring(start, start + 0.04 + 0.02 * sum(who.code[:3]))
    elif who.pattern == "sash":
        slope = 1.3 if who.code[0] else -1.3
        for turn in (0.0, np.pi):
            way = slope if turn == 0 else -slope
            ends = [(turn - way, 0.8), (turn + way, low + 0.02)]
            canvas.line(view, torso, ends, 0.045 * size, second)
    elif who.pattern == "open":
        canvas.patch(view, torso, (-0.32 * size, 0.32 * size), (low, 0.83), second)
    if who.top in ("jacket", "shirt", "coat") and who.pattern != "open":
        canvas.patch(view, torso, (-0.035, 0.035), (low, 0.83), _darker(who.top_colour, 0.65))


def _draw_print(canvas: Canvas, view: View, who: Identity, torso: Tube) -> None:
    """A coarse figure of 4 x 4 cells on the chest and, mirrored by the surface, on the back."""
    across = np.linspace(-0.95, 0.95, 5)
    up = np.linspace(0.58, 0.79, 5)
    for cell, filled in enumerate(who.code):
        row, column = divmod(cell, 4)
        if filled:
            for turn in (0.0, np.pi):
                angles = (float(across[column] + turn), float(across[column + 1] + turn))
                heights = (float(up[row]), float(up[row + 1]))
                canvas.patch(view, torso, angles, heights, who.second_colour)


def _draw_trunk(canvas: Canvas, view: View, who: Identity, pose: Pose) -> None:
    torso = _torso(who, pose)
    if who.bottom == "skirt":
        canvas.tube(view, _skirt(who), who.bottom_colour)
    else:
        seat = Tube(((0.46, 0.088 * who.build, 0.066 * who.build), (0.56, 0.09 * who.build, 0.064)))
        canvas.tube(view, seat, who.bottom_colour)
    canvas.tube(view, torso, who.top_colour)
    _draw_pattern(canvas, view, who, torso)
    hem = torso.rows[0][0]
    canvas.patch(view, torso, (-np.pi, 0.0), (hem, hem + 0.008), _darker(who.top_colour, 0.7))
    canvas.patch(view, torso, (0.0, np.pi), (hem, hem + 0.008), _darker(who.top_colour, 0.7))
    if who.backpack:
        for side in (-1, 1):
            harness = [(side * 0.85, 0.82), (side * 0.75, 0.74), (side * 1.2, 0.64)]
            canvas.line(view, torso, harness, 0.02, _darker(who.backpack, _STRAP_SHADE))
    if who.bag:
        over, to = -who.bag_side * 0.7, who.bag_side * 1.4
        strap = _darker(who.bag, _STRAP_SHADE)
        canvas.line(view, torso, [(over, 0.825), (to, 0.56)], 0.014, strap)
        canvas.line(view, torso, [(np.pi - over, 0.825), (np.pi - to, 0.56)], 0.014, strap)
    collar = 0.842 if who.top in ("coat", "jacket") else 0.836
    neck = who.top_colour if who.top in ("coat", "hoodie") else who.skin
    y = 0.8 * pose.lean
    canvas.limb(view, (0, y, collar - 0.01), (pose.bob, y, 0.875), (0.034, 0.03), neck)
    if who.top == "hoodie":
        canvas.ball(view, (0, y - 0.045, 0.835), 0.05, 0.55, _darker(who.top_colour, 0.9))


def _draw_backpack(canvas: Canvas, view: View, who: Identity, pose: Pose) -> None:
    assert who.backpack is not None
    pack = Tube(
        ((0.575, 0.075, 0.045), (0.6, 0.085, 0.058), (0.74, 0.082, 0.055), (0.8, 0.055, 0.03)),
        (0.0, 0.5 * pose.lean - 0.062 * who.build - 0.05),
    )
    canvas.tube(view, pack, who.backpack)
    back = (np.pi - 0.75, np.pi + 0.75)
    canvas.patch(view, pack, back, (0.6, 0.655), _darker(who.backpack, 0.72))
    canvas.patch(view, pack, back, (0.715, 0.722), _darker(who.backpack, 1.4))


def _draw_bag(canvas: Canvas, view: View, who: Identity) -> None:
    assert who.bag is not None
    x = who.bag_side * (0.1 * who.build + 0.035)
    bag = Tube(((0.435, 0.024, 0.07), (0.45, 0.034, 0.085), (0.545, 0.03, 0.08)), (x, -0.015))
    canvas.tube(view, bag, who.bag)
    canvas.patch(view, bag, (-np.pi, np.pi), (0.51, 0.545), _darker(who.bag, 0.8))


def _draw_head(canvas: Canvas, view: View, who: Identity, pose: Pose) -> None:
    """Face before or after the hair by which of the two is nearer."""
    x, y = pose.bob, pose.lean + 0.012
    centre = np.array([x, y, 0.93])
    facing = float(np.cos(view.yaw))

    def face() -> None:
        middle = centre + np.array([0, 0.016, -0.008])
        canvas.ball(view, middle, 0.044 * who.head, 1.36, who.skin)
        look = np.array([0, 0.040, 0.0])
        if facing > -0.2:
            brow = view.place(middle + look + [0, 0, 0.012])[0]
            half = 0.022 * view.scale * max(facing, 0.25)
            drop = 0.006 * view.scale
            box = np.array([[-half, -drop], [half, -drop], [half, drop], [-half, drop]]) + brow
            canvas.fill(box, _darker(who.skin, 0.6))
            mouth = (box - brow) * [0.6, 0.6] + view.place(middle + look - [0, 0, 0.03])[0]
            canvas.fill(mouth, _darker(who.skin, 0.72))
            if who.beard:
                stubble = _darker(who.skin, 0.55)
                jaw = middle + np.array([0, 0.012, -0.034])
                canvas.ball(view, jaw, 0.028, 0.7, stubble, relief=False)

    def hair() -> None:
        if who.hair_style == "bald":
            return
        back = centre + np.array([0, -0.014, 0.014])
        canvas.ball(view, back, 0.049 * who.head, 1.12, who.hair)
        if who.hair_style == "bun":
            canvas.ball(view, centre + np.array([0, -0.06, 0.045]), 0.026, 1.0, who.hair)

    def fringe() -> None:
        if who.hair_style != "bald" and facing > -0.3:
            canvas.ball(view, centre + np.array([0, 0.006, 0.047]), 0.040, 0.48, who.hair)

    if facing > -0.35:
        hair()
        face()
        fringe()
    else:
        face()
        hair()
    if who.hat:
        canvas.ball(view, centre + np.array([0, 0.0, 0.036]), 0.051, 0.66, who.hat)
        if facing > -0.3:
            canvas.ball(
                view, centre + np.array([0, 0.04, 0.022]), 0.035, 0.25, _darker(who.hat, 0.75)
            )


def _draw_long_hair(canvas: Canvas, view: View, who: Identity, pose: Pose) -> None:
    y = pose.lean - 0.035
    crown = (pose.bob, y + 0.01, 0.935)
    if who.hair_style == "long":
        canvas.limb(view, crown, (pose.bob, y - 0.022, 0.79 - 0.05 * who.pattern_size),
                    (0.046, 0.052), who.hair)  # fmt: skip
    elif who.hair_style == "ponytail":
        canvas.limb(view, (pose.bob, y - 0.025, 0.94), (pose.bob, y - 0.045, 0.83),
                    (0.018, 0.024), who.hair)  # fmt: skip


def draw_person(canvas: Canvas, view: View, who: Identity, pose: Pose) -> None:
    """Draw all parts, far ones first. The lowest point of the feet stands on the view's origin."""
    ground = _lowest(who, pose)
    sink = ground * view.scale * np.cos(view.elevation)
    view = replace(view, origin=(view.origin[0], view.origin[1] + sink), hips=who.hips)
    parts: list[tuple[float, Callable[[], None]]] = []

    def add(where: FloatArray | tuple[float, float, float], draw: Callable[[], None]) -> None:
        parts.append((view.nearness((where[0], where[1], 0.0)), draw))

    for side in (-1, 1):
        leg = _leg(who, pose, side)
        near = view.nearness((leg.knee[0], leg.knee[1], 0)) * 0.1 - 0.2  # legs under the trunk
        parts.append((near, lambda leg=leg, side=side: _draw_leg(canvas, view, who, leg, side)))  # type: ignore[misc]
        elbow = _arm_joints(who, pose, side)[1]
        add(elbow, lambda side=side: _draw_arm(canvas, view, who, pose, side))  # type: ignore[misc]
    parts.append((-0.005, lambda: _draw_trunk(canvas, view, who, pose)))
    parts.append((0.02, lambda: _draw_head(canvas, view, who, pose)))
    if who.hair_style in ("long", "ponytail"):
        behind = 0.03 if np.cos(view.yaw) < 0.1 else -0.03
        parts.append((behind, lambda: _draw_long_hair(canvas, view, who, pose)))
    if who.backpack:
        add((0.0, -0.12, 0.0), lambda: _draw_backpack(canvas, view, who, pose))
    if who.bag:
        add((who.bag_side * 0.135, 0.0, 0.0), lambda: _draw_bag(canvas, view, who))
    for _, draw in sorted(parts, key=lambda part: part[0]):
        draw()
