"""What a cluster is asked for: every rule has its line, and no line is of a rule that is gone."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.cluster.profiles import asked, profile
from tests.stub_project import ROOT


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
    assert {"train_gan", "finetune_set", "evaluate"} <= found
    assert set(profile("default")["set-resources"]) == found


@pytest.mark.parametrize("rule", sorted(rules()))
def test_a_second_attempt_asks_for_more(rule: str) -> None:
    assert set(profile("default")["set-resources"][rule]) == {"mem_mb", "runtime"}
    for resource in ("mem_mb", "runtime"):
        first, second = (asked(rule, attempt)[resource] for attempt in (1, 2))
        assert isinstance(first, int)
        assert second == pytest.approx(2 * first, abs=1)


def test_the_slurm_profile_repeats_nothing_of_the_default_one() -> None:
    assert profile("slurm")["executor"] == "slurm"
    assert profile("slurm")["retries"] > 0
    assert not set(profile("slurm")) & set(profile("default"))


def test_the_default_profiles_one_gpu_does_not_limit_a_cluster() -> None:
    assert profile("default")["resources"] == ["gpu=1"]
    assert profile("slurm")["set-resource-scopes"] == {"gpu": "local"}
