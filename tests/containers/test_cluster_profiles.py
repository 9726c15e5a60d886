"""What a cluster is asked for: every rule has its line, and no line is of a rule that is gone."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.cluster.profiles import asked, profile
from tests.stub_project import ROOT

CLUSTERS = ("slurm", "kubernetes")


@cache
def rules() -> set[str]:
    """Rules that run a command, `use rule` included."""
    found = set()
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        blocks = re.split(r"^(?=(?:use )?rule )", file.read_text(), flags=re.M)
        for block in blocks:
            new = re.match(r"rule (\w+):", block) or re.match(r"use rule \w+ as (\w+) with:", block)
            if new and ("    shell:" in block or block.startswith("use rule")):
                found.add(new[1])
    return found


def test_every_rule_says_what_it_needs_and_no_line_is_stale() -> None:
    found = rules()
    assert {"train_gan", "evaluate_features", "evaluate_adapted"} <= found
    assert set(profile("default")["set-resources"]) == found


@pytest.mark.parametrize("rule", sorted(rules()))
def test_a_second_attempt_asks_for_more(rule: str) -> None:
    assert set(profile("default")["set-resources"][rule]) == {"mem_mb", "runtime"}
    for resource in ("mem_mb", "runtime"):
        first, second = (asked(rule, attempt)[resource] for attempt in (1, 2))
        assert isinstance(first, int)
        assert second == pytest.approx(2 * first, abs=1)


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_profile_repeats_nothing_of_the_default_one(name: str) -> None:
    assert profile(name)["executor"] == name
    assert profile(name)["retries"] > 0
    assert not set(profile(name)) & set(profile("default"))


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_default_profiles_one_gpu_does_not_limit_a_cluster(name: str) -> None:
    assert profile("default")["resources"] == ["gpu=1"]
    assert profile(name)["set-resource-scopes"] == {"gpu": "local"}


def test_pins_agree_with_the_lock() -> None:
    lock = (ROOT / "requirements-cluster.lock").read_text().splitlines()
    for line in (ROOT / "requirements-cluster.in").read_text().splitlines():
        pin = line.split("#")[0].strip().replace("[s3]", "")
        assert not pin or pin in lock


def test_the_cluster_lock_changes_no_version_of_the_environment() -> None:
    def pins(path: Path) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for line in path.read_text().splitlines():
            name, _, version = line.split(" ;")[0].partition("==")
            found.setdefault(name, set()).add(version)
        return found

    ours, added = pins(ROOT / "requirements.lock"), pins(ROOT / "requirements-cluster.lock")
    both = ours.keys() & added.keys()
    assert "dvc" in both
    assert {name: added[name] for name in both} == {name: ours[name] for name in both}
