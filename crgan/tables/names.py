"""Names and warnings as people read them on tables and figures."""

from __future__ import annotations

from crgan.data.layout import label_of

_PROFILES = {
    "demo": "measured on the generated demo benchmark; not comparable with the paper's numbers",
    "study": "measured on the generated benchmark; not comparable with the paper's numbers",
    "smoke": "a test run of a few iterations; no number here means anything",
    "paper": "the paper's scale; the notes say where the setting differs from the paper's",
}
_IMAGES = {
    "demo": "generated demo benchmark, not the data sets themselves",
    "study": "generated benchmark, not the data sets themselves",
    "smoke": "test run of a few iterations on generated images",
}


def dataset_label(name: str) -> str:
    """A data set's name; its own name where no layout is called so."""
    return label_of(name)


def image_label(name: str, profile: str) -> str:
    """A data set's name over its images; says so where they are generated ones."""
    return dataset_label(name) + (" (generated)" if profile in _IMAGES else "")


def profile_warning(profile: str) -> str:
    """What a reader of numbers must know about the profile they were measured with."""
    return _PROFILES.get(profile, "a profile of your own; see its section in params.yaml")


def image_note(profile: str) -> str:
    """The line under a figure: the profile, and that its images are generated where they are."""
    about = _IMAGES.get(profile)
    return f"Profile {profile}: {about}." if about else f"Profile {profile}."
