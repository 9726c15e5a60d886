"""Code that counts: the layout or backend that is chosen, and no other."""

from __future__ import annotations

from crgan.pipeline.code import code_of
from crgan.pipeline.identity import model_of
from crgan.pipeline.params import load, slice_of


def test_a_layout_is_code_of_its_own_data_alone() -> None:
    layouts = [f for f in code_of("prepare_data", "msmt17") if f.startswith("crgan/data/layouts")]
    assert layouts == ["crgan/data/layouts/msmt17.py"]


def test_a_backend_is_code_of_its_own_masks_alone() -> None:
    files = code_of("extract_masks", "grabcut")
    assert "crgan/masks/grabcut.py" in files
    others = ("mediapipe", "jppnet", "truth", "crgan/synth")
    assert not [f for f in files if any(other in f for other in others)]
    assert "crgan/masks/jppnet/network.py" in code_of("extract_masks", "jppnet")


def test_the_parameters_say_which() -> None:
    params = load()
    assert model_of("extract_masks", {}, slice_of("extract_masks", params)) == "grabcut"
    data = slice_of("prepare_data", params, dataset="cuhk03")
    assert model_of("prepare_data", {}, data) == "cuhk03"
