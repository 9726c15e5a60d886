"""Settings of the demo benchmark: sizes, and the strength of each source of the domain gap."""

from __future__ import annotations

from dataclasses import dataclass, fields

from crgan.common.errors import UserError

DATASETS = ("market1501", "dukemtmc", "cuhk03", "campus")


@dataclass(frozen=True)
class DemoConfig:
    """What the demo benchmark holds and how hard it is.

    Sizes are counts per network. The `*_gap` fields scale how far each network's style stands from
    a common middle (0: the networks look alike, 1: as calibrated). They were set from
    within-network and direct-transfer rank-1 alone, never from how an adaptation method fares.
    """

    seed: int = 1
    height: int = 128  # Market crops, pixels; the other networks' crops vary around this
    width: int = 64
    train_ids: int = 88
    test_ids: int = 50
    cuhk03_ids: int = 90  # all of them train in the default protocol
    cuhk03_test_ids: int = 36  # of which held out by the new protocol
    images_per_camera: int = 3  # Market and Duke
    images_per_view: int = 4  # CUHK03: up to 5 fit the layout
    min_cameras: int = 2
    max_cameras: int = 4
    junk_images: int = 80  # Market "-1": bad detections
    distractor_images: int = 80  # Market "0000"
    distractor_ids: int = 20  # Duke identities seen only in the gallery
    occlusion: float = 0.15  # share of images with something in front of the person
    background_gap: float = 1.0
    colour_gap: float = 1.0
    light_gap: float = 1.0
    camera_gap: float = 1.0  # height, blur, noise, resolution, JPEG
    clothing_gap: float = 1.0  # season of the wardrobe
    weather: float = 1.0  # how much light and white balance change between visits to a camera

    def __post_init__(self) -> None:
        """Refuse settings the layouts cannot hold."""
        for name, least, most in (
            ("seed", 0, 2**31 - 1),
            ("height", 32, 400),
            ("width", 16, 400),
            ("train_ids", 2, 700),
            ("test_ids", 2, 700),
            ("cuhk03_ids", 5, 999),
            ("cuhk03_test_ids", 1, self.cuhk03_ids - 1),
            ("images_per_camera", 2, 20),
            ("images_per_view", 2, 5),
            ("min_cameras", 2, 6),
            ("max_cameras", self.min_cameras, 6),
            ("junk_images", 0, 5000),
            ("distractor_images", 0, 5000),
            ("distractor_ids", 0, 700),
            ("occlusion", 0, 1),
            ("weather", 0, 3),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UserError(f"demo.{name} is {value}; it must lie in [{least}, {most}]")
        for field in fields(self):
            if field.name.endswith("_gap") and not 0 <= getattr(self, field.name) <= 3:
                raise UserError(
                    f"demo.{field.name} is {getattr(self, field.name)}; it must lie in [0, 3]"
                )
