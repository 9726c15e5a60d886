"""One thread for every test: nets this small gain nothing from two, and on a machine with other
work two threads that wait for each other are fifty times slower than one."""

import os

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is loaded, so before any test module

# Minutes each, so they come first: with several processes nobody waits for one of them at the end.
# A process takes its next file when it has two tests left.
LONGEST = ("test_dvc", "test_e2e_smoke", "test_kill", "test_tour", "test_verify", "test_adapt")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, else the order as it is."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))
