"""The demo's renderer: geometry, masks under occlusion, identity against moment, gaps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from crgan.synth.body import draw_person, sample_pose
from crgan.synth.camera import build_camera, kind_of, style_of
from crgan.synth.canvas import FRONT, HIP, PERSON, Canvas, Tube, View
from crgan.synth.config import DATASETS, DemoConfig
from crgan.synth.identity import PALETTE, named_colour, sample_identity, wardrobe_of
from crgan.synth.occluders import OCCLUDERS, draw_occluder
from crgan.synth.shoot import ALIGNED, sample_visit, shoot

_THINGS = sorted({name for names in OCCLUDERS.values() for name in names} - {"person"})
WARDROBE = wardrobe_of("market1501", 1.0)


def _view(yaw: float, elevation: float = 0.0) -> View:
    return View((60.0, 200.0), 100.0, yaw, elevation)


def test_facing_the_camera_the_right_hand_is_on_the_left() -> None:
    right_hand = np.array([[0.3, 0.0, 0.5]])
    assert _view(0.0).place(right_hand) == pytest.approx(np.array([[30.0, 150.0]]))
    assert _view(np.pi).place(right_hand) == pytest.approx(np.array([[90.0, 150.0]]))


def test_walking_right_shows_the_right_side() -> None:
    view = _view(np.pi / 2)
    assert view.nearness((0.1, 0.0, 0.0)) > view.nearness((-0.1, 0.0, 0.0))
    assert view.place(np.array([[0.0, 0.2, 0.0]]))[0, 0] == pytest.approx(80.0)


def test_a_raised_camera_puts_near_ground_lower() -> None:
    near, far = _view(0.0, 0.3).place(np.array([[0, 0.5, 0], [0, -0.5, 0]]))
    assert near[1] > far[1]


def test_a_patch_on_the_chest_is_hidden_from_behind() -> None:
    tube = Tube(((0.5, 0.1, 0.06), (0.8, 0.1, 0.06)))
    red = (200.0, 0.0, 0.0)
    painted = {}
    for name, yaw in (("front", 0.0), ("back", np.pi)):
        canvas = Canvas(220, 120)
        canvas.patch(_view(yaw), tube, (-0.4, 0.4), (0.55, 0.75), red)
        painted[name] = int((canvas.pixels[..., 0] == 200).sum())
    assert painted["front"] > 100
    assert painted["back"] == 0


@pytest.mark.parametrize("yaw", [0.0, 1.5, 3.1])
def test_a_person_stands_on_the_ground_and_is_one_stature_tall(yaw: float) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        canvas = Canvas(240, 200)
        view = View((100.0, 220.0), 180.0, yaw, 0.0)
        draw_person(canvas, view, sample_identity(rng, WARDROBE), sample_pose(rng))
        rows = np.nonzero((canvas.pixels[..., 3] == PERSON).any(axis=1))[0]
        assert abs(rows.max() - 220) <= 4
        assert 0.9 * 180 < rows.max() - rows.min() < 1.1 * 180


@pytest.mark.parametrize("name", _THINGS)
def test_things_in_front_take_the_persons_pixels(name: str) -> None:
    rng = np.random.default_rng(3)
    canvas = Canvas(384, 192)
    view = View((96.0, 365.0), 338.0, 0.3, 0.2)
    draw_person(canvas, view, sample_identity(rng, WARDROBE), sample_pose(rng))
    whole = canvas.pixels[..., 3] == PERSON
    canvas.owner = FRONT
    draw_occluder(canvas, name, view.origin, 200.0, np.random.default_rng(0))
    seen = canvas.pixels[..., 3] == PERSON
    assert (canvas.pixels[..., 3] == FRONT).any()
    assert seen.sum() < whole.sum()
    assert not (seen & ~whole).any()


def test_an_unknown_thing_is_an_error() -> None:
    with pytest.raises(ValueError, match="unicorn"):
        draw_occluder(Canvas(90, 45), "unicorn", (20.0, 80.0), 40.0, np.random.default_rng(0))


@pytest.mark.parametrize("name", sorted(PALETTE))
def test_a_named_colour_looks_like_its_name(name: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        red, green, blue = named_colour(rng, name)
        brightest = max(red, green, blue)
        if name == "black":
            assert brightest < 60
        elif name == "white":
            assert min(red, green, blue) > 160
        elif name in ("red", "brown", "yellow", "pink"):
            assert red == brightest
        elif name in ("green", "blue"):
            assert {"green": green, "blue": blue}[name] == brightest


def test_a_image_depends_on_person_and_moment() -> None:
    config = DemoConfig(height=64, width=32, occlusion=0)
    camera = build_camera("dukemtmc", 2, config)
    visit = sample_visit(camera, np.random.default_rng(1), config)
    people = [sample_identity(np.random.default_rng(k), WARDROBE) for k in (1, 2)]

    def take(person: int | None, moment: int) -> tuple[np.ndarray, np.ndarray]:
        who = None if person is None else people[person]
        rng = np.random.default_rng(moment)
        return shoot("dukemtmc", camera, visit, who, ALIGNED, WARDROBE, config, rng)

    image, mask = take(0, 7)
    assert np.array_equal(image, take(0, 7)[0])
    assert not np.array_equal(image[mask], take(1, 7)[0][mask])
    assert not np.array_equal(image, take(0, 8)[0])
    assert not take(None, 7)[1].any()


def test_no_gap_makes_the_networks_alike() -> None:
    flat = DemoConfig(background_gap=0, colour_gap=0, light_gap=0, camera_gap=0, clothing_gap=0)
    styles = [style_of(dataset, flat) for dataset in DATASETS]
    assert styles[0] == styles[1] == styles[2]
    grounds = [np.mean(kind_of(dataset, flat).grounds, axis=0) for dataset in DATASETS]
    assert grounds[0] == pytest.approx(grounds[1])
    wardrobes = [wardrobe_of(dataset, 0.0) for dataset in DATASETS]
    assert wardrobes[0] == wardrobes[1] == wardrobes[2]
    assert style_of("dukemtmc", DemoConfig()) != style_of("market1501", DemoConfig())


def test_cameras_of_a_network_differ_and_repeat() -> None:
    config = DemoConfig()
    first, again, other = (build_camera("market1501", n, config) for n in (1, 1, 2))
    assert np.array_equal(first.place.image, again.place.image)
    assert first.gamma == again.gamma
    assert not np.array_equal(first.place.image, other.place.image)
    assert first.gamma != other.gamma


def test_people_share_the_colours_of_their_clothes_and_differ_in_patterns() -> None:
    people = [sample_identity(np.random.default_rng(k), WARDROBE) for k in range(200)]
    shades = sum(len(names) for names in PALETTE.values())
    worn = {tuple(np.round(np.array(who.top_colour) / 24)) for who in people}
    assert len(worn) < 3 * shades  # many wear the same
    same = [who for who in people if (who.top_name, who.bottom_name) == ("black", "blue")]
    designs = {(w.pattern, w.code, w.sleeves, w.leg_pattern) for w in same}
    assert len(same) > 5
    assert len(designs) == len(same)


def test_light_changes_between_visits_as_strongly_as_asked() -> None:
    camera = build_camera("campus", 1, DemoConfig())

    def spread(weather: float) -> float:
        config = DemoConfig(weather=weather)
        lights = [sample_visit(camera, np.random.default_rng(k), config).light for k in range(50)]
        return float(np.std(lights, axis=0).max())

    assert spread(0.0) == pytest.approx(0, abs=1e-9)
    assert spread(2.0) > 1.5 * spread(1.0) > 0.05


def test_hips_stand_where_the_body_has_them() -> None:
    hip = np.array([[0.0, 0.0, HIP], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    long_legs = dataclasses.replace(_view(0.0), hips=0.55)
    rows = long_legs.place(hip)[:, 1]
    assert rows == pytest.approx([200 - 55, 100, 200])
